"""Building networks within the memory that there is: a width of a hundred million is refused, and not tried.

A system that promises more memory than it has ends the process, without a word, once it is used.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

import psutil
import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from restorekit.errors import RecipeError

_LEAST = 4096  # bytes that count for the smallest tensor: thousands of layers are no small thing either


class Bounded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, tensors of more bytes than are free, counted together, raise `RecipeError` before they are made.

    `what` is to be built, such as ``generator 'unet'``.
    """

    def __init__(self, what: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.what = what
        self.free = int(psutil.virtual_memory().available)
        self.asked = 0

    def __torch_dispatch__(
        self,
        func: OpOverload[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        given = kwargs or {}
        arguments = func._schema.arguments
        if arguments and arguments[0].name == "size" and args:
            size, dtype = cast(tuple[int, ...], args[0]), cast("torch.dtype | None", given.get("dtype"))
            self._count(math.prod(size), dtype or torch.get_default_dtype())
        return func(*args, **given)

    def _count(self, numbers: int, dtype: torch.dtype) -> None:
        self.asked += max(_LEAST, numbers * dtype.itemsize)
        if self.asked > self.free:
            raise RecipeError(
                f"{self.what} needs at least {self.asked / 2**30:,.1f} GiB for its weights, and"
                f" {self.free / 2**30:,.1f} GiB are free; give it smaller settings, such as width"
            )
