"""Telling a lack of memory from other failures, whatever the allocator's words are."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from restorekit.errors import RestorekitError

# torch's words for CPU and devices, C++'s, oneDNN's, cuBLAS's and cuDNN's.
_WORDS = re.compile(
    r"out of memory|not enough memory|insufficient memory|bad_alloc|_alloc_failed|could not create a primitive"
    r"|could not create a memory|(can't|cannot|can not|could not|couldn't|failed to|unable to) (be )?(re)?allocate",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether something failed because the device, or the machine, has no memory left."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_WORDS.search(str(error))))


@contextmanager
def memory_named(what: str, remedy: str) -> Iterator[None]:
    """Turn a lack of memory into one sentence: there is not enough for `what`, and what to do."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        raise RestorekitError(f"not enough memory {what}; close other programs, or {remedy}") from error
