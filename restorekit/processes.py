"""What a launcher, such as ``torchrun`` or ``accelerate launch``, says of the processes that it started."""

from __future__ import annotations

import os
from collections.abc import Mapping

from restorekit.errors import DataError, TrainingError


def is_first_process(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether this is the process that speaks for all; the only one without a launcher."""
    return environment.get("RANK", "0") == "0"


def process_of(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """Return (rank, number of processes); (0, 1) without a launcher.

    Raises `DataError` when they contradict each other.
    """
    texts = environment.get("RANK", "0"), environment.get("WORLD_SIZE", "1")
    rank, count = (int(text) if text.isdecimal() else -1 for text in texts)
    if not 0 <= rank < count:
        raise DataError(f"RANK is {texts[0]!r} and WORLD_SIZE {texts[1]!r}; a launcher sets 0 <= RANK < WORLD_SIZE")
    return rank, count


def process_group_size(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processes train together.

    Raises `TrainingError` when what the launcher has to say, so that they find each other, is not whole.
    """
    given = environment.get("WORLD_SIZE", "1")
    if not given.isdecimal():
        raise TrainingError(f"WORLD_SIZE is {given!r}; unset it, or start with torchrun, which sets it to a number")
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not environment.get(name)]
    if int(given) > 1 and missing:
        raise TrainingError(
            f"WORLD_SIZE is {given} and {' and '.join(missing)} is not set: start many processes with torchrun, which"
            " sets all of them, or unset WORLD_SIZE for one process"
        )
    return int(given)


def place_on_machine(environment: Mapping[str, str] = os.environ) -> str:
    """Return the number of this process on its machine, as text; empty without a launcher."""
    return environment.get("LOCAL_RANK", "")
