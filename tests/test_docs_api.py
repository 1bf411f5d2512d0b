"""The Python API is documented whole: every public module has a page, every public name and field a sentence."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from field_docs import bare_fields

from restorekit.plugin import Entry, hookspecs

REPOSITORY = Path(__file__).resolve().parents[1]
API = REPOSITORY / "docs" / "reference" / "api"
GUIDE = REPOSITORY / "docs" / "plugins"
_DIRECTIVE = re.compile(r"^::: (\S+)\n((?:    .*\n?)*)", re.MULTILINE)


def directives() -> dict[str, list[str]]:
    """Return module -> the names of it that the pages show."""
    found = {}
    for page in sorted(API.glob("*.md")):
        for module, settings in _DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            options = (yaml.safe_load(settings) or {}).get("options", {})
            found[module] = options.get("members") or public_names(importlib.import_module(module))
    return found


def public_names(module: Any) -> list[str]:
    """Return a module's `__all__`, else what it defines itself under a public name."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not name.startswith("_")]
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return [name for name in own if not name.startswith("_")]


def public_packages() -> list[str]:
    """Return the packages of restorekit that say what they offer."""
    files = sorted((REPOSITORY / "restorekit").glob("*/__init__.py"))
    names = ["restorekit", *(f"restorekit.{file.parent.name}" for file in files)]
    return [name for name in names if hasattr(importlib.import_module(name), "__all__")]


def documented() -> Iterator[tuple[str, Any]]:
    """Yield (full name, object) of everything that the pages show, methods of classes included."""
    for module, names in directives().items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            yield f"{module}.{name}", value
            if inspect.isclass(value):
                for member, method in vars(value).items():
                    if not member.startswith("_") and (inspect.isfunction(method) or isinstance(method, property)):
                        yield f"{module}.{name}.{member}", method


def test_every_public_package_has_a_page():
    assert [name for name in public_packages() if name not in directives()] == []


def test_every_page_is_in_the_overview():
    text = (API / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in API.glob("*.md") if page.name != "index.md" and f"({page.name})" not in text] == []


@pytest.mark.parametrize("module", sorted(directives()))
def test_names_have_docstrings(module):
    shown = {name: value for name, value in documented() if name.rpartition(".")[0].startswith(module)}
    described = {
        n: v for n, v in shown.items() if inspect.isclass(v) or inspect.isroutine(v) or isinstance(v, property)
    }
    assert described
    assert [name for name, value in described.items() if not inspect.getdoc(value)] == []


def fields_of(value: Any) -> list[str]:
    """Return the public fields of a dataclass or of a pydantic model."""
    if dataclasses.is_dataclass(value):
        return [field.name for field in dataclasses.fields(value) if not field.name.startswith("_")]
    return list(getattr(value, "model_fields", ()))


def test_fields_are_explained():
    silent = [
        f"{name}.{field}"
        for name, value in documented()
        if inspect.isclass(value)
        for field in fields_of(value)
        if not re.search(rf"\b{field}\b", inspect.getdoc(value) or "")
        and field in bare_fields(inspect.getsource(value))
    ]
    assert silent == []


def rows(page: str) -> dict[str, list[str]]:
    """Return the rows of a page's tables by every name in backticks of their first cell."""
    lines = re.findall(r"^\| (.+) \|$", (GUIDE / page).read_text(encoding="utf-8"), re.MULTILINE)
    cells = [line.split(" | ") for line in lines]
    return {name: row for row in cells for name in re.findall(r"`([^`]+)`", row[0])}


def test_guide_has_a_row_for_every_field_of_an_entry():
    table = rows("entries.md")
    assert [field.name for field in dataclasses.fields(Entry) if len(table.get(field.name, [])) < 2] == []


def hooks() -> dict[str, Any]:
    """Return the hooks that a plugin may implement."""
    return {name: value for name, value in vars(hookspecs).items() if hasattr(value, "restorekit_spec")}


def test_guide_and_reference_have_every_hook_with_its_argument_types():
    table = rows("hooks.md")
    assert set(hooks()) <= set(directives()["restorekit.plugin.hookspecs"])
    for name, hook in hooks().items():
        parameters = inspect.signature(hook).parameters.values()
        call = f"{name}({', '.join(p.name for p in parameters)})"
        assert call in table, f"docs/plugins/hooks.md lacks `{call}`"
        for parameter in parameters:
            wanted = f"`{parameter.name}`: `{parameter.annotation}`"
            assert wanted in table[call][2], f"docs/plugins/hooks.md: {call} lacks {wanted}"
