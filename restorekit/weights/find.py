"""Where a model's weights are: a file, a run, the user's folder, a hub, or the plugin itself."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from restorekit.errors import WeightsError
from restorekit.paths import chosen_folder
from restorekit.plugin.entry import Entry
from restorekit.plugin.registry import Component, Registry
from restorekit.weights.manifest import Shipped, folder_of, read_manifest, verify

SUFFIX = ".safetensors"
RUN_WEIGHTS = Path("weights")


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights, `path`, and in words where it comes from, `source`; `seen` as in `Shipped`."""

    path: Path
    source: str
    seen: tuple[int, ...] = ()


def user_folder() -> Path:
    """Return the user's own weights folder: ``$RESTOREKIT_WEIGHTS``, else one in the platform's data folder."""
    from platformdirs import user_data_path  # only needed here

    return chosen_folder("RESTOREKIT_WEIGHTS") or user_data_path("restorekit") / "weights"


NETWORKS = ("alexnet", "squeezenet1_1", "vgg16")
"""The pretrained networks that losses and metrics look through, by torchvision's names."""


def own_network(name: str) -> Path:
    """Return where a pretrained network is that the user brought in; it may not be there."""
    return user_folder() / "networks" / f"{name}{SUFFIX}"


def shipped_weights(entry: Entry) -> Shipped | None:
    """Return the weights that the model's plugin ships, or None."""
    if not entry.weights:
        return None
    return read_manifest(folder_of(entry.weights)).get(entry.name)


def shipped_license(entry: Entry) -> str:
    """Return the licence of the weights that the model's plugin ships: an empty string where it ships none."""
    shipped = shipped_weights(entry)
    return "" if shipped is None else shipped.license or "none stated"


def weights_state(entry: Entry) -> str:
    """Return where a model's weights would come from: ``user``, ``shipped``, ``adapts`` or ``none``."""
    if (user_folder() / f"{entry.name}{SUFFIX}").is_file():
        return "user"
    if shipped_weights(entry) is not None:
        return "shipped"
    return "adapts" if entry.adapts else "none"


def _file_in(run: Path) -> Path | None:
    folder = run / RUN_WEIGHTS if (run / RUN_WEIGHTS).is_dir() else run
    files = (folder / f"{name}{SUFFIX}" for name in ("best-psnr-rgb", "last"))
    return next((path for path in files if path.is_file()), None)


def _of_run(run: Path) -> WeightsFile:
    """Return the weights of a training run: the best by PSNR, else the last."""
    path = _file_in(run)
    if path:
        return WeightsFile(path, f"run {run.name} ({path.stem})")
    raise WeightsError(
        f"{run} holds no weights; a run keeps them as weights/last{SUFFIX} once it has saved for the first time"
    )


def _from_hub(address: str) -> WeightsFile:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository, _, revision = address.removeprefix("hf://").partition("@")
    owner, _, rest = repository.partition("/")
    name, _, file = rest.partition("/")
    if not owner or not name:
        raise WeightsError(f"{address!r} is not of the form hf://owner/repo[/file][@revision]")
    try:
        path = hf_hub_download(f"{owner}/{name}", file or f"model{SUFFIX}", revision=revision or None)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise WeightsError(
            f"{address} cannot be fetched: {textwrap.shorten(str(error), 200, placeholder=' …')} Without network, copy"
            " the file here and give its path as --weights"
        ) from error
    return WeightsFile(Path(path), address)


def given_weights(weights: str) -> WeightsFile | None:
    """Return the weights that are meant by an address, a path or a name in the user's folder, or None.

    A bare word is a folder only if weights are in it; ``./x`` always is.
    """
    if weights.startswith("hf://"):
        return _from_hub(weights)
    path = Path(weights).expanduser()
    if path.is_dir() and (_file_in(path) or path.name != weights):
        return _of_run(path)
    if path.is_file():
        return WeightsFile(path, str(path))
    own = user_folder() / f"{weights}{SUFFIX}"
    return WeightsFile(own, f"user folder ({weights})") if own.is_file() else None


def find_weights(component: Component, weights: str | Path | None = None) -> WeightsFile:
    """Return the weights to use for a model.

    `weights`: a file, a run folder, a name in the user's folder or ``hf://owner/repo[/file][@revision]``.
    Without it, or by the model's own name: the user's own file of that name, then what its plugin ships (checked
    against its SHA-256).

    Raises `WeightsError` when there are none, saying how to train some.
    """
    name = component.entry.name
    if weights is not None and (found := given_weights(str(weights))):
        return found
    if weights is not None and str(weights) != name:
        raise WeightsError(
            f"weights {str(weights)!r} for {name!r} were not found; give a {SUFFIX} file, a run folder,"
            f" hf://owner/repo, a name from {user_folder()}, or {name!r} for those that it has"
        )
    own = user_folder() / f"{name}{SUFFIX}"
    if own.is_file():
        return WeightsFile(own, "user folder")
    shipped = shipped_weights(component.entry)
    if shipped is None:
        needs = " and needs none to restore, because it adapts to each image" if component.entry.adapts else ""
        raise WeightsError(
            f"model {name!r} has no weights{needs}; train it with `restorekit train {name} --data FOLDER -o RUN` and"
            " give --weights RUN"
        )
    verify(shipped)
    plugin = component.plugin
    terms = f", {shipped.license}" if shipped.license else ""
    return WeightsFile(shipped.path, f"shipped ({plugin.distribution} {plugin.version}{terms})", shipped.seen)


def _rank(component: Component) -> tuple[bool, float]:
    """Return by what models compete for being taken unasked: the declaration, then the measured gain."""
    shipped = shipped_weights(component.entry)
    return bool(component.entry.default_for), (shipped.gain or 0.0) if shipped else 0.0


def default_model(registry: Registry) -> tuple[str, str]:
    """Return the model to take when none is named, and in words how another is chosen.

    The one that declares itself the default of its tasks, else the one with the largest measured gain; only models
    with weights count. Raises `WeightsError` when there is none.
    """
    ready = [c for c in registry.components("model") if weights_state(c.entry) in ("user", "shipped")]
    if not ready:
        raise WeightsError(
            "no installed model has weights; install one, such as `pip install restorekit-derain`, or train one"
        )
    chosen = max(ready, key=_rank)
    others = [registry.unique_name(c) for c in ready if c is not chosen]
    choice = f"; --model chooses another: {', '.join(others)}" if others else ""
    return registry.unique_name(chosen), f"for {' and '.join(chosen.entry.tasks)}{choice}"
