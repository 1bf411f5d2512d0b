"""Average the weights of training runs that began at the same weights, into a run folder that `ship_weights.py` takes.

    python benchmarks/tools/average_weights.py runs/derain-v=0.5 runs/derain-w=0.3 derain=0.2 -o runs/derain

The average of runs that went different ways from one point is often better than each of them (model soups, Wortsman et
al., ICML 2022). The first must be a run folder, whose recipe and facts the result takes over; the others may be weights
of any kind. The shares are made to add up to 1. ``command.txt`` gets the commands of the first and this one.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import click
import torch
from safetensors.torch import save_file
from torch import Tensor

from restorekit.engine.run.folder import FACTS, RECIPE, STATUS
from restorekit.plugin.registry import registry
from restorekit.recipe.toml import read_recipe_file
from restorekit.weights import find_weights
from restorekit.weights.files import read_facts, read_state, write_whole

COMMAND = "command.txt"
Share = tuple[str, float]


def _shares(context: click.Context, parameter: click.Parameter, words: tuple[str, ...]) -> list[Share]:
    parts = []
    for word in words:
        weights, _, text = word.rpartition("=")
        try:
            share = float(text)
        except ValueError:
            share = 0.0
        if not weights or not 0 < share < float("inf"):
            raise click.BadParameter(
                f"{word!r} is not WEIGHTS=SHARE with a share above 0, such as runs/derain-v=0.5", context, parameter
            )
        parts.append((weights, share))
    return parts


def average(states: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """Return the weighted mean of states, tensor by tensor, in the type of the first. The shares add up to 1.

    Raises `ValueError` where the tensors differ in name or shape: these are weights of different networks.
    """
    first = {name: value.shape for name, value in states[0].items()}
    for number, state in enumerate(states[1:], start=2):
        differing = sorted(set(first.items()) ^ {(name, value.shape) for name, value in state.items()})
        if differing:
            raise ValueError(
                f"number {number} are weights of another network: {differing[0][0]} differs; give weights of the same"
                " generator with the same settings"
            )
    return {
        name: torch.stack([share * state[name].double() for share, state in zip(shares, states, strict=True)])
        .sum(0)
        .to(value.dtype)
        for name, value in states[0].items()
    }


@click.command()
@click.argument("parts", nargs=-1, required=True, callback=_shares)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="The new run folder.")
def main(parts: list[Share], out: Path) -> None:
    """Average PARTS, each WEIGHTS=SHARE, into a new run folder."""
    run = Path(parts[0][0])
    if not (run / RECIPE).is_file():
        raise click.ClickException(f"{run} is no run folder; the first of the weights must be one, for its recipe")
    if out.exists():
        raise click.ClickException(f"{out} is there already; choose another folder, or remove it")
    model = registry().find("model", read_recipe_file(run / RECIPE).name)
    files = [find_weights(model, weights).path for weights, _ in parts]
    total = sum(share for _, share in parts)
    try:
        state = average([read_state(file) for file in files], [share / total for _, share in parts])
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    write_whole(out / "weights" / "last.safetensors", lambda path: save_file(state, path, read_facts(files[0])))
    for name in (RECIPE, FACTS, STATUS):
        shutil.copy(run / name, out / name)
    made = (run / COMMAND).read_text(encoding="utf-8") if (run / COMMAND).is_file() else ""
    own = " ".join(
        ["python benchmarks/tools/average_weights.py", *(f"{w}={share:g}" for w, share in parts), f"-o {out}"]
    )
    (out / COMMAND).write_text(f"{made.rstrip()}\n{own}\n".lstrip(), encoding="utf-8")
    click.echo(str(out))


if __name__ == "__main__":
    main()
