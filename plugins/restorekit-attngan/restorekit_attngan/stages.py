"""One part of AttentiveGAN trained alone: the recurrent network on masks, or the autoencoder under a true mask."""

from __future__ import annotations

from collections.abc import Iterable

from restorekit.contracts import restored
from restorekit.engine.step.task import Networks, RecipeTask
from restorekit.errors import RecipeError, TrainingError
from restorekit.interface import Batch, Output
from restorekit.plugin.registry import registry
from restorekit.recipe import Recipe
from restorekit_attngan.generator import AttentiveGenerator

STILL = {"attention": "autoencoder", "autoencoder": "recurrent"}  # part that learns -> module that does not
_NOT_ALONE = {"attention", "attention_map", "logits"}  # what losses of the autoencoder cannot look at


class Stage(RecipeTask):
    """The procedure ``attngan-stage``: `part` of the generator learns, the other is left out and stays as it is.

    ``attention``: the recurrent network learns the masks by the loss ``attention``; the autoencoder does not run, and
    the image is returned as it came. ``autoencoder``: it is given the batch's mask in place of a map, and learns by
    those losses of the recipe that need neither a map nor a discriminator, which learns in no stage. Evaluated is the
    whole generator. Needs masks (prior ``mask-from-pair``, or data that bring them).

    Raises `RecipeError` for an unknown part, another generator, and when no loss is left.
    """

    def __init__(self, *, recipe: Recipe, part: str = "attention") -> None:
        if part not in STILL:
            raise RecipeError(f"procedure.part is {part!r}; use {' or '.join(STILL)}")
        super().__init__(_alone(recipe, part))
        generator = self.networks["generator"]
        if not isinstance(generator, AttentiveGenerator):
            raise RecipeError(
                "procedure attngan-stage trains parts of the generator 'attngan', and this is"
                f" {recipe.generator.name!r}; set generator.name=attngan, or procedure=none"
            )
        generator.get_submodule(STILL[part]).requires_grad_(False)
        self.part = part

    def forward(self, networks: Networks, batch: Batch) -> Output:
        """Run the part that is trained alone: the recurrent network, or the autoencoder on the true mask."""
        if self.part == "attention":
            output = networks["generator"](batch.degraded, restoring=False)
        elif batch.mask is None:
            raise TrainingError("procedure attngan-stage needs masks, and there are none; set prior=mask-from-pair")
        else:
            output = networks["generator"](batch.degraded, batch.mask)
        return restored(output, batch.degraded, "the generator").float()


def _alone(recipe: Recipe, part: str) -> Recipe:
    """Return the recipe without a discriminator, and with the losses of the part alone."""
    needs = {name: registry().find("loss", name).entry.needs for name, term in recipe.losses.items() if term.weight}
    wanted = [name for name, need in needs.items() if _teaches(part, name, need)]
    if not wanted:
        raise RecipeError(
            f"procedure attngan-stage: of the recipe's losses ({', '.join(needs)}) none teaches the {part} alone; add"
            f" {'attention' if part == 'attention' else 'multi-scale, mse or another that compares images'}"
        )
    losses = {name: recipe.losses[name] for name in wanted}
    return recipe.model_copy(update={"losses": losses, "discriminator": None, "critic_losses": {}})


def _teaches(part: str, loss: str, needs: Iterable[str]) -> bool:
    return loss == "attention" if part == "attention" else _NOT_ALONE.isdisjoint(needs)
