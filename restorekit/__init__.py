"""restorekit: plugin-based image restoration.

The public face: `entries` and `create` for components, `load` and `restore` for trained models. Importing this
package does not import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from restorekit.plugin.entry import Kind
from restorekit.plugin.registry import Component, create, registry
from restorekit.version import __version__

if TYPE_CHECKING:
    from restorekit.restoring.load import load, restore

__all__ = ["Component", "__version__", "create", "entries", "load", "restore"]


def entries(kind: Kind) -> list[Component]:
    """Return the installed components of one kind, sorted by id.

    Raises `PluginError` when the kind is unknown.
    """
    return registry().components(kind)


def __getattr__(name: str) -> Any:
    if name in ("load", "restore"):
        from restorekit.restoring import load as loading  # torch is imported here, on first use

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
