"""``restorekit plugins``: list the plugins, or say what is wrong with one."""

from __future__ import annotations

import sys

import click
from click.shell_completion import CompletionItem

from restorekit.cli.listing import echo_json, echo_table
from restorekit.errors import UnknownNameError, closest
from restorekit.plugin.discovery import Plugin
from restorekit.plugin.entry import KINDS
from restorekit.plugin.registry import PLURALS, registry


def _facts(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "usable": not plugin.error,
        "error": plugin.error,
        "entries": [{"kind": entry.kind, "name": entry.name} for entry in plugin.entries],
    }


def _offers(plugin: Plugin) -> str:
    if plugin.error:
        return f"NOT USABLE: {plugin.error}"
    counts = {kind: sum(entry.kind == kind for entry in plugin.entries) for kind in KINDS}
    parts = [f"{n} {kind if n == 1 else PLURALS[kind]}" for kind, n in counts.items() if n]
    return ", ".join(parts) or "nothing"


@click.group("plugins", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plugins(context: click.Context, as_json: bool) -> None:
    """List the installed plugins, or check one."""
    if context.invoked_subcommand is not None:
        return
    found = registry().plugins
    if as_json:
        echo_json([_facts(plugin) for plugin in found])
    else:
        rows = [[p.name, p.distribution, p.version, _offers(p)] for p in found]
        echo_table(["name", "distribution", "version", "offers"], rows)


class _PluginName(click.ParamType):  # type: ignore[type-arg]
    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(p.name) for p in registry().plugins if p.name.startswith(incomplete)]


def _find(name: str) -> list[Plugin]:
    found = [plugin for plugin in registry().plugins if plugin.name == name]
    if not found:
        names = [plugin.name for plugin in registry().plugins]
        raise UnknownNameError(
            f"there is no plugin called {name!r}.{closest(name, names)} Installed: {', '.join(names)}."
        )
    return found


def _device(name: str) -> str:
    from restorekit.devices import pick_device

    return str(pick_device(name))


@plugins.command("check")
@click.argument("name", type=_PluginName())
@click.argument("components", metavar="[COMPONENT]...", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--no-engine", is_flag=True, help="Leave out the checks that train (the slow ones).")
@click.option("--only", multiple=True, metavar="CHECK", help="Make this check alone; 'weights-*' takes several.")
@click.option("--device", default="cpu", show_default=True, help="Where networks run: cpu, cuda, cuda:N or mps.")
def check(
    name: str, components: tuple[str, ...], as_json: bool, no_engine: bool, only: tuple[str, ...], device: str
) -> None:
    """Say what is wrong with the plugin NAME: why it cannot be loaded, or which checks it fails.

    Of a COMPONENT alone, when some are named: such as unet, or generator:unet where names repeat.
    """
    broken = [plugin for plugin in _find(name) if plugin.error]
    if broken:
        if as_json:
            echo_json({"plugin": name, "errors": [{**_facts(p), "traceback": p.traceback} for p in broken]})
        else:
            for plugin in broken:
                click.echo(plugin.traceback + plugin.warning.partition("; see `restorekit")[0])
        sys.exit(1)
    from restorekit.testing import run_checks

    report = run_checks(
        name,
        engine=not no_engine,
        device=_device(device),
        components=components,
        only=only,
        on_result=None if as_json else click.echo,
    )
    if as_json:
        echo_json(report.plain())
    else:
        click.echo(report.summary)
    sys.exit(0 if report.passed else 1)


COMMANDS: dict[str, click.Command] = {"plugins": plugins}
