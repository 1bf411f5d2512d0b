"""``restorekit priors``: list the priors, draw one for an image, or write what it finds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from restorekit.cli.listing import ComponentName, list_components
from restorekit.errors import DataError, PluginError, RestorekitError
from restorekit.interface import AppliedPrior, DrawnPrior

if TYPE_CHECKING:
    from restorekit.pixels import Pixels

_NAME = ComponentName("prior")
_EXISTING = click.Path(exists=True, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_NEW_FOLDER = click.Path(path_type=Path)


@click.group("priors", invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def priors(context: click.Context, as_json: bool) -> None:
    """List the installed priors, draw one, or write its masks."""
    if context.invoked_subcommand is None:
        list_components("prior", as_json)


@priors.command("show")
@click.argument("name", type=_NAME)
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=_FILE, help="PNG file.")
def show(name: str, image: Path, output: Path) -> None:
    """Draw what the prior NAME sees in IMAGE, and why."""
    from restorekit.data.images import atomic_write, read_picture

    prior = _built(name)
    if not isinstance(prior, DrawnPrior):
        raise _cannot(name, "be drawn", "draw")
    pixels = cast("Pixels", read_picture(image).to_8_bit().pixels)
    atomic_write(output, lambda file: prior.draw(pixels, file))
    click.echo(f"wrote {output}")


@priors.command("apply")
@click.argument("name", type=_NAME)
@click.argument("images", type=_EXISTING, nargs=-1, required=True, metavar="IMAGE...")
@click.option("-o", "--output", required=True, type=_NEW_FOLDER, help="Folder for the PNG files.")
@click.option("--mask", type=_FOLDER, help="Folder of masks under the images' names, instead of found ones.")
@click.option("--samples", type=click.IntRange(min=0), default=0, help="Write so many random samples too.")
def apply(name: str, images: tuple[Path, ...], output: Path, mask: Path | None, samples: int) -> None:
    """Write what the prior NAME finds in each IMAGE (files or folders) as PNG under the image's name."""
    prior = _built(name)
    if not isinstance(prior, AppliedPrior):
        raise _cannot(name, "be applied to image files", "apply_to")
    from restorekit.files import make_folder

    files = _image_files(images)
    _check_names(files, output)
    make_folder(output)
    failed = 0
    for path in files:
        try:
            _apply_to_file(prior, path, output, mask, samples)
        except RestorekitError as error:
            failed += 1
            click.echo(f"Error: {error}", err=True)
    click.echo(f"{len(files) - failed} of {len(files)} images done, in {output}")
    if failed:
        sys.exit(1)


def _built(name: str) -> object:
    from restorekit.plugin.registry import create

    return create("prior", name)


def _cannot(name: str, what: str, method: str) -> PluginError:
    return PluginError(
        f"prior {name!r} cannot {what}: it has no method {method!r}; use another one of `restorekit priors`"
    )


def _image_files(images: tuple[Path, ...]) -> list[Path]:
    """Return the files, folders replaced by the images in them. Raises `DataError` when nothing is left."""
    from restorekit.data.images import is_image_name

    files: list[Path] = []
    for path in images:
        inside = sorted(p for p in path.iterdir() if is_image_name(p)) if path.is_dir() else [path]
        if not inside:
            raise DataError(f"{path}: there are no images in this folder; give image files or their folder")
        files += inside
    return files


def _check_names(files: list[Path], output: Path) -> None:
    """Refuse to write two results, or a result and an input, to one file."""
    inputs = {path.resolve() for path in files}
    seen: dict[str, Path] = {}
    for path in files:
        first = seen.setdefault(path.stem, path)
        if first.resolve() != path.resolve():
            raise DataError(
                f"{first} and {path} would both be written to {output / path.stem}.png; rename one, or run"
                " twice with two output folders"
            )
        if (output / f"{path.stem}.png").resolve() in inputs:
            raise DataError(f"the result would overwrite {path}; choose another output folder than {output}")


def _apply_to_file(prior: AppliedPrior, path: Path, output: Path, masks: Path | None, samples: int) -> None:
    from restorekit.data.images import Picture, read_picture, write_picture

    pixels = cast("Pixels", read_picture(path).to_8_bit().pixels)
    mask = None if masks is None else _read_mask(masks, path)
    try:
        found = prior.apply_to(pixels, mask=mask, samples=samples)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    for key, result in found.items():
        name = f"{path.stem}-{key}.png" if key else f"{path.stem}.png"
        write_picture(output / name, Picture.from_stored(result))


def _read_mask(masks: Path, image: Path) -> Pixels:
    """Return the mask [H, W] of an image: the PNG, or any image, of the same name in the folder `masks`."""
    from restorekit.data.images import is_image_name, read_picture

    found = sorted(p for p in masks.glob("*") if p.stem == image.stem and is_image_name(p))
    if not found:
        raise DataError(f"{image}: there is no mask for it; {masks / image.stem}.png was expected")
    best = next((path for path in found if path.suffix.lower() == ".png"), found[0])
    return cast("Pixels", read_picture(best).to_8_bit().pixels[..., 0].copy())


COMMANDS: dict[str, click.Command] = {"priors": priors}
