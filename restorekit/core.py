"""The core's own plugin: what restorekit itself offers, declared through the hooks that every plugin uses."""

from __future__ import annotations

from restorekit.components import CORE_ENTRIES
from restorekit.data.entries import DATASET_ENTRIES
from restorekit.plugin import Entry, hookimpl


@hookimpl
def restorekit_entries() -> list[Entry]:
    """Declare the core's losses, metrics, priors, generators and data sets."""
    return [*CORE_ENTRIES, *DATASET_ENTRIES]
