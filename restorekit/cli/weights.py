"""``restorekit weights``: list, verify, path, add, import, export."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from typing import TypedDict

import click

from restorekit.cli.listing import echo_json, echo_table
from restorekit.errors import WeightsError
from restorekit.plugin.registry import Component, registry
from restorekit.weights.find import (
    NETWORKS,
    SUFFIX,
    find_weights,
    own_network,
    shipped_license,
    shipped_weights,
    user_folder,
    weights_state,
)
from restorekit.weights.manifest import verify


def _models() -> list[Component]:
    return registry().components("model")


class _Row(TypedDict):
    model: str
    state: str
    path: str
    megabytes: float | None
    license: str


def _row(component: Component) -> _Row:
    state = weights_state(component.entry)
    row: _Row = {
        "model": registry().unique_name(component),
        "state": state,
        "path": "",
        "megabytes": None,
        "license": shipped_license(component.entry) if state == "shipped" else "",
    }
    if state in ("user", "shipped"):
        shipped = shipped_weights(component.entry)
        own = user_folder() / f"{component.entry.name}{SUFFIX}"
        path = shipped.path if state == "shipped" and shipped else own
        row |= {"path": str(path), "megabytes": round(path.stat().st_size / 1e6, 2) if path.exists() else None}
    return row


@click.group("weights")
def command() -> None:
    """List, verify, add and import weights."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_weights(as_json: bool) -> None:
    """List the models and where their weights would come from."""
    rows = [_row(component) for component in _models()]
    if as_json:
        echo_json(rows)
        return
    table = [
        [
            r["model"],
            r["state"],
            "-" if r["megabytes"] is None else f"{r['megabytes']:.2f} MB",
            r["license"] or "-",
            r["path"],
        ]
        for r in rows
    ]
    echo_table(["model", "weights", "size", "licence", "path"], table)


@command.command("verify")
def verify_weights() -> None:
    """Check every shipped file against its SHA-256."""
    shipped = [found for component in _models() if (found := shipped_weights(component.entry))]
    for item in shipped:
        verify(item)
        click.echo(f"ok  {item.model}  {item.path.name}  sha256 {item.sha256[:16]}…")
    click.echo(f"{len(shipped)} shipped files verified")


@command.command("path")
@click.argument("model")
@click.option("--weights", help="As for restore: a file, a run, a name or hf://owner/repo.")
def path_of(model: str, weights: str | None) -> None:
    """Print the file that MODEL would use."""
    click.echo(str(find_weights(registry().find("model", model), weights).path))


def _target(name: str, force: bool) -> Path:
    if Path(name).name != name or name in ("", ".", "..") or not name.isprintable():
        raise WeightsError(f"--name {name!r} is not the name of a file; give one without folders, such as 'mine'")
    target = user_folder() / f"{name}{SUFFIX}"
    if target.exists() and not force:
        raise WeightsError(f"{target} exists; give --force to replace it, or another --name")
    return target


def _add_network(name: str, source: Path, force: bool) -> None:
    from safetensors.torch import save_file

    from restorekit.backbones.pretrained import checked_features
    from restorekit.weights.files import write_whole

    target = own_network(name)
    if target.exists() and not force:
        raise WeightsError(f"{target} exists; give --force to replace it")
    state = checked_features(name, source)
    write_whole(target, lambda beside: save_file(state, beside))
    click.echo(f"{target}  (losses and metrics that look through {name} use it)")


@command.command("add")
@click.argument("model")
@click.argument("source")
@click.option("--name", help="Name in your weights folder; MODEL itself makes it the default of that model.")
@click.option("--force", is_flag=True, help="Replace a file of the same name.")
def add(model: str, source: str, name: str | None, force: bool) -> None:
    """Copy weights (a file or a run folder) into your weights folder, after loading them once.

    MODEL may also be a pretrained network that losses and metrics look through (lpips, perceptual, contrastive):
    alexnet, squeezenet1_1 or vgg16. SOURCE is then a .pth, .safetensors or .npz file with torchvision's names.
    """
    from restorekit.restoring.load import load_generator
    from restorekit.weights.files import write_whole
    from restorekit.weights.foreign import is_foreign

    if model in NETWORKS:
        _add_network(model, Path(source).expanduser(), force)
        return
    component = registry().find("model", model)
    file = find_weights(component, source)
    if is_foreign(file.path):
        raise WeightsError(f"{file.path} is a foreign checkpoint; bring it in with `restorekit weights import {model}`")
    load_generator(component, file)
    target = _target(component.entry.name if name is None else name, force)
    if target.exists() and target.samefile(file.path):
        raise WeightsError(f"{target} is the very file that was to be added; give another SOURCE or another --name")
    write_whole(target, lambda beside: copyfile(file.path, beside))
    click.echo(f"{target}  (use it with --model {model}" + (f" --weights {name})" if name else ")"))


@command.command("import")
@click.argument("model")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--set", "overrides", multiple=True, metavar="FIELD=VALUE", help="Change the recipe, as for train.")
@click.option("--name", help="Name in your weights folder; MODEL itself makes it the default of that model.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here and not into the weights folder.")
@click.option("--key", metavar="NAME", help="Which state of FILE, such as params [default: averaged weights, if any].")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def import_foreign(
    model: str,
    file: Path,
    overrides: tuple[str, ...],
    name: str | None,
    output: Path | None,
    key: str | None,
    force: bool,
) -> None:
    """Bring in a foreign checkpoint, such as the authors' own. Code in it is never run.

    FILE is a safetensors file or a pickle, as PyTorch, BasicSR, Lightning and others write them; the prefixes of DDP,
    torch.compile and Lightning are taken off.
    """
    from restorekit.networks import build_generator
    from restorekit.recipe import apply_overrides
    from restorekit.recipe.check import model_recipe
    from restorekit.weights.files import save_weights, write_whole
    from restorekit.weights.foreign import convert_foreign, read_foreign

    component = registry().find("model", model)
    recipe = apply_overrides(model_recipe(registry(), component.id), overrides)
    network = build_generator(recipe)
    foreign = read_foreign(file, key)
    convert_foreign(network, foreign.state, str(file))
    target = output or _target(component.entry.name if name is None else name, force)
    if target.exists() and not force:
        raise WeightsError(f"{target} exists; give --force to replace it")
    taken = f" ({foreign.key})" if foreign.key else ""
    facts = {"restorekit.origin": f"imported from {file.name}{taken}"}
    write_whole(target, lambda beside: save_weights(beside, network, recipe, facts))
    if foreign.choice:
        click.echo(f"Note: {foreign.choice}; --key chooses another", err=True)
    click.echo(f"{target}  (from {file})")


@command.command("pack")
@click.argument("run")
@click.option("-o", "--output", "package", required=True, type=click.Path(path_type=Path), help="The plugin's package.")
@click.option("--license", "terms", required=True, metavar="SPDX", help="Licence of the weights, such as CC-BY-4.0.")
@click.option("--force", is_flag=True, help="Replace weights of the same model.")
def pack_run(run: str, package: Path, terms: str, force: bool) -> None:
    """Put the best weights of RUN into a plugin's package, with manifest and model card.

    They are stored in float16 where that costs less than 0.01 dB. The model's entry says weights="PACKAGE:weights".
    """
    from restorekit.weights.pack import pack

    done = pack(run, package, terms, force)
    gain = "gain not measured" if done.gain is None else f"{done.gain:+.2f} dB on the built-in pictures"
    click.echo(f"{done.path}  ({'float16' if done.half else 'float32'}, {gain})")
    click.echo(f'Declare them in the entry of model {done.model!r}: weights="{done.path.parent.parent.name}:weights"')


@command.command("push")
@click.argument("package", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("address", metavar="hf://OWNER/REPO")
@click.option("--model", help="Whose weights, where the package has several.")
@click.option("--private", is_flag=True, help="Make a new repository private.")
def push_package(package: Path, address: str, model: str | None, private: bool) -> None:
    """Upload packed weights of PACKAGE to a hub, for --weights hf://OWNER/REPO. Log in with `hf auth login` first."""
    from restorekit.weights.pack import push

    click.echo(push(package, address, model, private))
