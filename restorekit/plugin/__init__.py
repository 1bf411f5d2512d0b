"""What plugin authors import: `Entry` to declare components, `hookimpl` to mark hooks."""

from restorekit.plugin.entry import KINDS, Entry, Kind
from restorekit.plugin.hookspecs import hookimpl

__all__ = ["KINDS", "Entry", "Kind", "hookimpl"]
