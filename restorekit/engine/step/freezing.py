"""Which parameters learn: those of the phase's own network, without the parts that the recipe freezes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import nn

from restorekit.errors import RecipeError, closest


class Learning:
    """Switches the gradients of all networks from phase to phase.

    `frozen` names modules of the generator that stay as they are. A parameter that a network froze itself, while it
    was built, stays frozen too. Raises `RecipeError` for a name that is none, and when nothing is left to learn.
    """

    def __init__(self, networks: Mapping[str, nn.Module], frozen: Collection[str] = ()) -> None:
        self._still = [_module(networks["generator"], name) for name in frozen]
        for module in self._still:
            module.requires_grad_(False)
        self._parameters = {n: [p for p in net.parameters() if p.requires_grad] for n, net in networks.items()}
        for name, own in self._parameters.items():
            if not own:
                why = f" with frozen={list(frozen)!r}" if name == "generator" and frozen else ""
                raise RecipeError(f"the {name} has no parameter left to learn{why}; leave something to train")

    def only(self, trained: str) -> None:
        """Let the network `trained` learn, and no other."""
        for name, parameters in self._parameters.items():
            for parameter in parameters:
                parameter.requires_grad_(name == trained)

    def rest(self) -> None:
        """Keep frozen modules in eval mode: no dropout, and batch norms with the statistics that they have."""
        for module in self._still:
            module.eval()


def _module(generator: nn.Module, name: str) -> nn.Module:
    try:
        return generator.get_submodule(name)
    except AttributeError as error:
        names = [n for n, _ in generator.named_modules() if n]
        top = [n for n, _ in generator.named_children()]
        raise RecipeError(
            f"frozen names {name!r}, which {type(generator).__name__} does not have.{closest(name, names)}"
            f" Its parts: {', '.join(top) or 'none'}; parts of these are named with dots"
        ) from error
