"""Reading the docstrings under fields, which exist in the source alone."""

from __future__ import annotations

import ast
import textwrap


def bare_fields(source: str) -> list[str]:
    """Return the annotated, public names of a class that no string follows."""
    (body,) = (node.body for node in ast.parse(textwrap.dedent(source)).body if isinstance(node, ast.ClassDef))
    bare = []
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        if statement.target.id.startswith("_"):
            continue
        value = getattr(following, "value", None) if isinstance(following, ast.Expr) else None
        if not (isinstance(value, ast.Constant) and isinstance(value.value, str)):
            bare.append(statement.target.id)
    return bare
