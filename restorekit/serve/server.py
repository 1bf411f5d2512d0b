"""Starting and ending the page."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import socket
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from restorekit.errors import RestorekitError
from restorekit.leftovers import temporary
from restorekit.serve.choices import Choice
from restorekit.serve.limits import Limits

if TYPE_CHECKING:
    import uvicorn

    from restorekit.serve.desk import Load

PORT = 7860
_TRIES = 20
_INSTALL = "the page needs gradio, which is not installed; pip install 'restorekit[serve]'"


def require_gradio() -> None:
    """Raise `RestorekitError` when gradio is not installed."""
    if find_spec("gradio") is None:
        raise RestorekitError(_INSTALL)


def users_of(text: str | None) -> dict[str, str]:
    """Read ``NAME:PASSWORD``, several separated by commas. Raises `RestorekitError` for anything else."""
    users: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        name, colon, password = pair.partition(":")
        if not (name and colon and password):
            raise RestorekitError("--auth is not NAME:PASSWORD; several are separated by commas")
        users[name] = password
    return users


def bind(host: str, port: int | None) -> socket.socket:
    """Return a listening socket; without `port`, at the first free one from 7860 on.

    Raises `RestorekitError` when the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in [port] if port is not None else range(PORT, PORT + _TRIES):
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, candidate))
        except OSError as error:
            listening.close()
            reason = error.strerror or str(error)
            continue
        listening.listen(128)
        return listening
    ports = str(port) if port is not None else f"{PORT} to {PORT + _TRIES - 1}"
    raise RestorekitError(f"{host}, port {ports}: {reason}; give another --host or --port")


def is_local(host: str) -> bool:
    """Tell whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(listening: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


@contextlib.contextmanager
def ended_by_a_signal() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end a server in the usual way: both are how a page is closed, and not a failure.

    uvicorn stops at either, and raises the signal again once it has; SIGTERM would then end the program before it
    has deleted what visitors brought.
    """

    def leave(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def prepared(
    offered: Sequence[Choice], load: Load, limits: Limits, users: dict[str, str], host: str
) -> Iterator[uvicorn.Server]:
    """Give a server that is ready to run; at the end everything that visitors brought is deleted.

    gradio is imported here. Whatever it would ask or tell other machines is switched off before.
    """
    with temporary("serve") as folder:
        os.environ |= {
            "GRADIO_TEMP_DIR": str(folder / "uploads"),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_MCP_SERVER": "False",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        import uvicorn

        from restorekit.serve.access import LOCAL
        from restorekit.serve.app import build
        from restorekit.serve.desk import Desk
        from restorekit.serve.store import Store

        hosts = (*LOCAL, host) if is_local(host) else ()
        app = build(Desk(offered, load), Store(folder, limits), limits, users=users, hosts=hosts)
        yield uvicorn.Server(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1, server_header=False, ws="none")
        )
