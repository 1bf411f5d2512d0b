"""``restorekit serve``: a local page to drop photographs on. gradio is imported when it runs."""

from __future__ import annotations

import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from restorekit.serve import Limits, choices
from restorekit.serve.server import (
    PORT,
    address_of,
    bind,
    ended_by_a_signal,
    is_local,
    prepared,
    require_gradio,
    users_of,
)

if TYPE_CHECKING:
    from restorekit.restoring.restorer import BaseRestorer

_LIMITS = Limits()


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all networks.")
@click.option("--port", type=click.IntRange(0, 65535), help=f"Port [default: the first free one from {PORT} on].")
@click.option("--open/--no-open", "open_", default=True, show_default=True, help="Open the page in the browser.")
@click.option("-m", "--model", metavar="NAME", help="Model that is taken where the visitor chooses none.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--precision", default="auto", show_default=True, type=click.Choice(["auto", "fp32", "bf16", "fp16"]))
@click.option(
    "--auth",
    envvar="RESTOREKIT_SERVE_AUTH",
    metavar="NAME:PASSWORD",
    help="Ask for these; several are separated by commas. RESTOREKIT_SERVE_AUTH is not seen by other users of the"
    " machine.",
)
@click.option("--max-size", "megabytes", default=_LIMITS.megabytes, show_default=True, help="Largest upload in MB.")
@click.option("--jobs", default=_LIMITS.jobs, show_default=True, help="Files that are restored at once.")
@click.option("--queue", default=_LIMITS.queue, show_default=True, help="Files that may wait.")
@click.option("--keep", "minutes", default=_LIMITS.minutes, show_default=True, help="Minutes until files are deleted.")
def command(
    host: str, port: int | None, open_: bool, model: str | None, device: str, precision: str, auth: str | None,
    **limits: Any,
) -> None:  # fmt: skip
    """Open a page in the browser to drop photographs on.

    It runs on this machine and is for this machine alone, unless --host says otherwise. Nothing is sent anywhere.
    Uploads and results are in a temporary folder; they are deleted when the visitor removes them, some time after they
    were last looked at, and when the command ends (Ctrl-C).
    """
    from restorekit.plugin.registry import registry

    require_gradio()
    users = users_of(auth)
    offered = choices(registry(), model)
    allowed = Limits(**limits)
    _check_device(device, precision)
    with bind(host, port) as listening:
        address = address_of(listening)
        if not is_local(host) and not users:
            click.echo(
                "Warning: everybody who can reach this machine can use the page; --auth asks for a password", err=True
            )
        click.echo("starting the page ...", err=True)
        with prepared(offered, _loader(device, precision), allowed, users, host) as server:
            click.echo(f"restorekit serves {address} (Ctrl-C ends it)")
            if open_:
                webbrowser.open(address)
            with ended_by_a_signal():
                server.run(sockets=[listening])
    click.echo("the page is closed; what was brought to it is deleted", err=True)


def _check_device(device: str, precision: str) -> None:
    """Refuse what cannot compute before anybody has dropped a file."""
    from restorekit.devices import pick_device, pick_precision

    pick_precision(precision, pick_device(device))


def _loader(device: str, precision: str) -> Callable[[str], BaseRestorer]:
    def load(name: str) -> BaseRestorer:
        import restorekit

        return restorekit.load(name, device=device, precision=precision)

    return load
