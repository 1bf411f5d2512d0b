"""Write the generated pages: ``reference/commands.md``, ``reference/components.md``, and the tables of recipes.

`python docs/generate.py` writes them; with ``--check`` it only says which are out of date, and exits with 1.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from restorekit.cli.main import cli
from restorekit.commands import COMMANDS
from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import PLURALS, Component, registry
from restorekit.recipe import Recipe, parts

DOCS = Path(__file__).resolve().parent
NOTE = "<!-- Written by docs/generate.py (`make docs`); changes made here are lost. -->"
OURS = ("core", "attngan", "pix2pix", "rain2avoid", "remaen", "derain")
TABLES = (
    Recipe, parts.Named, parts.Term, parts.Optim, parts.Schedule, parts.Phases, parts.Phase, parts.Data, parts.Augment,
    parts.Synthesis, parts.Adapt, parts.Network, parts.OwnPhase,
)  # fmt: skip
PLACES = {
    "Recipe": "The recipe itself",
    "Named": "`generator`, `discriminator`, `prior`, `procedure`",
    "Term": "`losses.NAME`, `critic_losses.NAME`",
    "Optim": "`optim.generator`, `optim.discriminator`",
    "Schedule": "`schedule`",
    "Phases": "`phases`",
    "Phase": "`phases.generator`, `phases.discriminator`",
    "Data": "`data`",
    "Augment": "`data.augment`",
    "Synthesis": "`data.synthesis`",
    "Adapt": "`adapt`",
    "Network": "`networks.NAME`",
    "OwnPhase": "`phases.NAME`",
}


def cell(text: str) -> str:
    """Return text as one Markdown table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell(c) for c in line) + " |" for line in lines)


def prose(documentation: str | None) -> str:
    """Return a docstring's text without what it says about errors, in Markdown."""
    paragraphs = inspect.cleandoc(documentation or "").split("\n\n")
    kept = (" ".join(p.split()) for p in paragraphs if not p.lstrip().startswith("Raises"))
    return "\n\n".join(kept).replace("``", "`")


# commands.md


def option_names(option: click.Parameter) -> str:
    """Return how an argument or option is typed, such as `-o`, `--output FILE`."""
    if isinstance(option, click.Argument):
        return f"`{option.make_metavar(click.Context(cli))}`"
    names = [*option.opts, *option.secondary_opts]
    takes_value = isinstance(option, click.Option) and not option.is_flag
    value = f" {option.make_metavar(click.Context(cli))}" if takes_value else ""
    return ", ".join(f"`{name}`" for name in names[:-1]) + (", " if names[1:] else "") + f"`{names[-1]}{value}`"


def option_help(option: click.Parameter) -> str:
    """Return an option's help with its default."""
    if not isinstance(option, click.Option):
        return "required" if option.required else "optional"
    text = option.help or ""
    notes = ["required"] if option.required else []
    if option.show_default and option.default is not None and not option.is_flag:
        notes.append(f"default: {option.default}")
    if option.secondary_opts:
        notes.append(f"default: {option.opts[0] if option.default else option.secondary_opts[0]}")
    if option.multiple:
        notes.append("may be repeated")
    return f"{text} ({'; '.join(notes)})" if notes else text


def command_section(path: str, command: click.Command) -> Iterator[str]:
    """Yield the section of a command, and those of its subcommands."""
    yield f"{'##' if path.count(' ') == 1 else '###'} {path}"
    yield prose(command.help)
    context = click.Context(command, info_name=path)
    yield "```text\n" + " ".join([path, *command.collect_usage_pieces(context)]) + "\n```"
    rows = [(option_names(p), option_help(p)) for p in command.params if not getattr(p, "hidden", False)]
    if rows:
        yield table(("given as", "meaning"), rows)
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from command_section(f"{path} {name}", inner)


def commands_page() -> str:
    """Return the page of all commands of the core."""
    sections = ["# Commands", NOTE, "Every command takes `-h`, `--help`; `restorekit --version` prints the version."]
    with click.Context(cli) as context:
        for name in COMMANDS:
            command = cli.get_command(context, name)
            assert command is not None
            sections += command_section(f"restorekit {name}", command)
    return "\n\n".join(section for section in sections if section) + "\n"


# components.md


def settings_of(component: Component) -> str:
    """Return the settings of a component as its constructor has them: names with defaults."""
    if component.entry.kind in ("dataset", "task", "model"):
        return ""
    parameters = inspect.signature(component.load()).parameters.values()
    return ", ".join(f"`{p.name}={p.default!r}`" for p in parameters if p.default is not p.empty)


def component_row(component: Component) -> tuple[str, ...]:
    """Return name, plugin, summary, what it needs and gives, settings."""
    entry = component.entry
    needs, gives = (", ".join(sorted(names)) or "–" for names in (entry.needs, entry.gives))
    return f"`{entry.name}`", component.plugin.name, entry.summary, needs, gives, settings_of(component) or "–"


def components_page() -> str:
    """Return the page of all components of the core and of the four plugins of this repository."""
    kinds: tuple[Kind, ...] = (
        "model", "generator", "discriminator", "prior", "loss", "metric", "synthesizer", "task"
    )  # fmt: skip
    sections = [
        "# Components",
        NOTE,
        "What the core and the four plugins offer. `restorekit generators`, `losses` and so on list what is installed."
        " A setting is changed in a [recipe](../guide/recipes.md), beside the component's name:"
        " `--set generator.width=16`, `--set losses.edge.weight=0.2`.",
    ]
    header = ("name", "plugin", "what it is", "needs", "gives", "settings")
    for kind in kinds:
        rows = [component_row(c) for c in registry().components(kind) if c.plugin.name in OURS]
        drop = -1 if kind == "model" else None
        sections += [f"## {PLURALS[kind].capitalize()}", table(header[:drop], [row[:drop] for row in rows])]
    return "\n\n".join(sections) + "\n"


# the tables in recipes.md


def bounds(metadata: list[Any]) -> str:
    """Return the limits of a number, such as `, at least 1`."""
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = [f"{word} {getattr(m, key):g}" for m in metadata for key, word in words.items() if hasattr(m, key)]
    return f", {' and '.join(found)}" if found else ""


def type_words(annotation: Any, metadata: list[Any]) -> str:
    """Return a field's type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        inner = [item for field in arguments[1:] for item in getattr(field, "metadata", [])]
        return type_words(arguments[0], metadata + inner)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return "list of: " + type_words(arguments[0], [])
    if origin is dict:
        return f"tables by name ({arguments[1].__name__})"
    if type(None) in arguments or origin is Union:
        return " or ".join(type_words(a, metadata) for a in arguments if a is not type(None)) + "; may be absent"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"table ({annotation.__name__})"
    words = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}
    return words[annotation] + bounds(metadata)


def default_words(field: FieldInfo) -> str:
    """Return a field's default as TOML has it."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined:
        return "absent"
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, str):
        return f'`"{value}"`'
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def field_texts(model: type[BaseModel]) -> dict[str, str]:
    """Return what stands under each field of a table, those that it inherits too: only the source has it."""
    found: dict[str, str] = {}
    for own in (c for c in reversed(model.__mro__) if c.__module__.startswith("restorekit.")):
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(own))).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[ast.unparse(field.target)] = prose(str(text.value.value)).replace("\n\n", " ")
    return found


def recipe_tables() -> str:
    """Return one section for each table of a recipe."""
    sections = []
    for model in TABLES:
        texts = field_texts(model)
        rows = [
            (f"`{name}`", texts[name], type_words(f.annotation, f.metadata), default_words(f))
            for name, f in model.model_fields.items()
        ]
        title = f"### {PLACES[model.__name__]}" + ("" if model is Recipe else f" ({model.__name__})")
        sections += [title, prose(model.__doc__), table(("field", "what it is", "value", "default"), rows)]
    return "\n\n".join(sections)


def filled(path: Path, name: str, text: str) -> str:
    """Return a page with `text` between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``."""
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{path}: the marks {begin} and {end} are missing")
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def pages() -> dict[Path, str]:
    """Return every generated page as it should be."""
    recipes = DOCS / "guide" / "recipes.md"
    return {
        DOCS / "reference" / "commands.md": commands_page(),
        DOCS / "reference" / "components.md": components_page(),
        recipes: filled(recipes, "fields", recipe_tables()),
    }


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` say which are out of date."""
    stale = [(p, text) for p, text in pages().items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    for path, text in stale:
        if "--check" in arguments:
            click.echo(f"{path} is out of date; run `make docs`")
        else:
            path.write_text(text, encoding="utf-8")
            click.echo(f"wrote {path}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
