"""What components must hand over; a breach is said with the component's name, and not met deep inside torch."""

from __future__ import annotations

from typing import TypeVar, cast

from torch import Tensor, nn

from restorekit.errors import PluginError
from restorekit.interface import Output

T = TypeVar("T")


def _what(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _breach(component: str, value: object, wanted: str) -> PluginError:
    return PluginError(
        f"{component} gave {_what(value)}; it must give {wanted}. `restorekit plugins check PLUGIN` tries all that a"
        " plugin must do"
    )


def expect(value: object, kind: type[T], component: str) -> T:
    """Return `value` if it is a `kind`. Raises `PluginError` otherwise."""
    if not isinstance(value, kind):
        raise _breach(component, value, f"a {kind.__name__}")
    return value


def built(value: object, component: str) -> nn.Module:
    """Return `value` if it is a network. Raises `PluginError` otherwise."""
    if not isinstance(value, nn.Module):
        raise PluginError(f"{component} is built as {_what(value)}; its target must give a torch.nn.Module")
    return value


def restored(value: object, degraded: Tensor, component: str) -> Output:
    """Return a generator's result as `Output`. Raises `PluginError` for another type or shape."""
    output = value if isinstance(value, Output) else Output(cast(Tensor, value))
    if not isinstance(output.image, Tensor) or output.image.shape != degraded.shape:
        wanted = f"the restored image {tuple(degraded.shape)}, or an Output with it"
        raise _breach(component, output.image, wanted)
    return output


def scalar(value: object, component: str) -> Tensor:
    """Return a loss if it is one value. Raises `PluginError` otherwise."""
    if not isinstance(value, Tensor) or value.dim():
        raise _breach(component, value, "one value, a tensor without dimensions")
    return value
