"""Pages of HTML: templates of Jinja2, which escapes whatever it is given, and what no encoding can write."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


def shown(text: str) -> str:
    """Return `text` with a replacement character for what no encoding can write, as in names that are no UTF-8."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _writable(value: object) -> object:
    """Jinja asks for this before it escapes a value; `Markup` is HTML already."""
    return shown(value) if type(value) is str else value


@cache
def _environment(package: str) -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(lambda name: (files(package) / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_writable,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(package: str, template: str, **values: object) -> str:
    """Return the page that `template`, a file of `package`, makes of `values`; a value that is missing is an error."""
    return _environment(package).get_template(template).render(**values)
