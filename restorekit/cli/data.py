"""``restorekit data``: add, list and check data sets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import click

from restorekit.cli.listing import ComponentName, echo_json, echo_table
from restorekit.data.cards import DatasetCard, Sides
from restorekit.data.imageset import ImageSet
from restorekit.data.pairing import listing
from restorekit.data.sets import BUILTIN, as_folder, every_part, find_card, resolve, training_part
from restorekit.data.store import ImportOptions, Installed, data_root, describe, import_set, installed
from restorekit.errors import DataError, PluginError
from restorekit.notices import notice

if TYPE_CHECKING:
    from restorekit.data.checks import SetReport


class Shared(TypedDict):
    """Backgrounds that two sets share: their labels, and (name, name, bits that differ) of each."""

    first: str
    second: str
    pairs: list[tuple[str, str, int]]


@click.group(name="data")
def command() -> None:
    """Add, list and check data sets.

    They lie in $RESTOREKIT_DATA, else in the user's data folder; `restorekit data path` says where.
    """


def _state(record: Installed) -> str:
    count = f"{len(record.pairs)}" + (f" of {record.expected}" if record.partial else "")
    return f"{record.split}: {count} {'pairs' if record.paired else 'images'}"


@command.command("add")
@click.argument("name", type=ComponentName("dataset"))
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--split", help="The split of images whose folders name none, such as train or test.")
@click.option("--force", is_flag=True, help="Replace what is installed.")
@click.option("--link", is_flag=True, help="Link to the files of a folder instead of copying them.")
@click.option(
    "--sides",
    type=click.Choice(["degraded-clean", "clean-degraded"]),
    help="Both images of a pair lie side by side in one picture, in this order.",
)
def add(name: str, source: Path, split: str | None, force: bool, link: bool, sides: str | None) -> None:
    """Import the data set NAME from SOURCE, a folder or an archive (zip, tar).

    The layouts found in the wild are recognised. Pairs, sizes and counts are checked; a part of a set is
    accepted, and labelled so wherever it is used.
    """
    card = find_card(name)
    options = ImportOptions(split=split, force=force, link=link, sides=cast(Sides, sides or ""))
    for record in import_set(card, source, options):
        click.echo(f"{card.name} {_state(record)}, found as {record.layout}")
        if record.missing:
            click.echo(f"  {record.missing}")
        click.echo(f"  in {record.folder}")


def _cards() -> list[tuple[str, DatasetCard]]:
    from restorekit.plugin.registry import registry

    found = registry()
    cards = []
    for component in found.components("dataset"):
        try:
            cards.append((found.unique_name(component), find_card(component.id)))
        except PluginError as error:  # one plugin's fault hides no other's data sets
            notice(str(error))
    return cards


def _card_values(card: DatasetCard, records: Sequence[Installed]) -> dict[str, object]:
    return {
        "name": card.name,
        "title": card.title,
        "task": card.task,
        "splits": {name: list(split.counts) for name, split in card.splits.items()},
        "paired": card.paired,
        "license": card.license,
        "homepage": card.homepage,
        "paper": card.paper,
        "installed": [describe(record) for record in records],
    }


def _installed(card: DatasetCard) -> list[Installed]:
    """Return what is installed of a set; a damaged record is a warning, and the other sets are listed."""
    try:
        return list(installed(card.name).values())
    except DataError as error:
        notice(str(error))
        return []


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_sets(as_json: bool) -> None:
    """List the known data sets and what is installed of them."""
    cards = {name: card for name, card in _cards() if card.name == name.rpartition("/")[2]}
    records = {name: _installed(card) for name, card in cards.items()}
    if as_json:
        echo_json([_card_values(card, records[name]) for name, card in cards.items()])
        return
    stand_in = {True: "built-in images only", False: "not installed"}
    rows = [
        (name, card.task, "; ".join(map(_state, records[name])) or stand_in[card.paired], card.title)
        for name, card in cards.items()
    ]
    echo_table(("NAME", "TASK", "INSTALLED", "TITLE"), rows)
    click.echo(f"\nInstalled in {data_root()}. Add one with `restorekit data add NAME PATH_OR_ARCHIVE`.")


@command.command("path")
@click.argument("name", required=False, type=ComponentName("dataset"))
def path(name: str | None) -> None:
    """Print the folder of the data sets, or of the data set NAME."""
    click.echo(data_root() / find_card(name).name if name else data_root())


@command.command("synthesize")
@click.argument("sources", metavar="NAME_OR_FOLDER...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="A new folder for the pairs.")
@click.option(
    "--task",
    required=True,
    type=ComponentName("synthesizer"),
    help="What is added: a synthesizer, such as raindrop or rain-streak.",
)
@click.option("--preset", help="A preset of that synthesizer, such as light or soft.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--resize", type=click.IntRange(min=1), help="Scale the shorter side to so many pixels first.")
def synthesize(
    sources: tuple[str, ...], output: Path, task: str, preset: str | None, seed: int, resize: int | None
) -> None:
    """Add synthetic rain, raindrops or what a plugin offers to clean photographs, and write pairs.

    OUTPUT, which must not exist, gets the folders degraded, clean and mask (if there is one) once all is done. Of a set
    with several parts the training part is taken. The same photographs in the same order, task, preset and seed give
    the same pixels on every machine. Rain and drops are as large as in pictures of 720x480: scale camera photographs
    down.
    """
    from restorekit.data.synthetic_files import write_pairs

    folders = [folder for name in sources if (folder := as_folder(name)) is not None]
    for folder in folders:
        if output.resolve().is_relative_to(folder.resolve()):
            raise DataError(
                f"{output} lies in {folder}, which would then be taken for the pairs; choose another folder"
            )
    sets = [training_part(name) for name in sources]
    names = write_pairs(sets, output, task, preset, seed, resize or 0)
    quiet = not sys.stderr.isatty()
    with click.progressbar(names, sum(map(len, sets)), "Writing", file=sys.stderr, hidden=quiet) as bar:
        count = sum(1 for _ in bar)
    click.echo(f"{count} pairs of {' + '.join(images.label for images in sets)} in {output}")


def _chosen(name: str, split: str | None, broken: list[str]) -> list[ImageSet]:
    """The sets to check: one split, or every one; `broken` gets what keeps a split from being read at all."""
    suffix = name.partition("@")[2]
    builtin = None if suffix == BUILTIN else False
    if split:
        return [resolve(name, split, builtin=builtin, lenient=True)]
    parts, sets = every_part(name), []
    for part in parts:
        try:
            sets.append(resolve(part, builtin=builtin, lenient=True))
        except DataError as error:
            if len(parts) == 1:
                raise
            broken.append(f"{part}: {error}")
    return sets


def _check_all(sets: Sequence[ImageSet]) -> list[SetReport]:
    from restorekit.data.checked import keep
    from restorekit.data.checks import check_set

    length = sum(map(len, sets))
    quiet = not sys.stderr.isatty()
    with click.progressbar(length=length, label="Checking", file=sys.stderr, hidden=quiet) as bar:
        return [keep(images, check_set(images, lambda: bar.update(1))) for images in sets]


def _missing(label: str) -> str:
    name, _, split = label.partition("@")
    if split.startswith(("folder", BUILTIN)):
        return ""
    record = installed(name).get(split.partition("(")[0])
    return record.missing if record else ""


def _print_report(report: SetReport) -> None:
    kind = "pairs" if report.paired else "images without ground truth"
    click.echo(f"{report.label}: {report.count} {kind}, fingerprint {report.fingerprint}")
    if missing := _missing(report.label):
        click.echo(f"  {missing}")
    for problem in report.unreadable:
        click.echo(f"  unreadable: {problem}")
    if report.identical:
        click.echo(f"  {len(report.identical)} pairs are identical: {listing(report.identical)}")
    if report.misaligned:
        shown = listing(f"{s.name} by {s.dy:+d} rows {s.dx:+d} columns" for s in report.misaligned)
        click.echo(f"  {len(report.misaligned)} pairs look shifted against each other: {shown}")


def _leaks(reports: Sequence[SetReport]) -> list[Shared]:
    """Backgrounds that the first of two sets shares with another, for every two sets."""
    from restorekit.data.leaks import close_pairs

    found: list[Shared] = []
    for place, first in enumerate(reports):
        for second in reports[place + 1 :]:
            leaks = close_pairs(list(first.hashes), list(second.hashes))
            found.append(
                {
                    "first": first.label,
                    "second": second.label,
                    "pairs": [(leak.train, leak.test, leak.distance) for leak in leaks],
                }
            )
    return found


def _print_leaks(leaks: Sequence[Shared]) -> None:
    for entry in leaks:
        pairs = listing(f"{a} ~ {b}" for a, b, _ in entry["pairs"])
        between = f"between {entry['first']} and {entry['second']}"
        if entry["pairs"]:
            click.echo(f"{len(entry['pairs'])} shared backgrounds {between}: {pairs}")
        else:
            click.echo(f"no shared background {between}")


@command.command("check")
@click.argument("name", metavar="NAME_OR_FOLDER")
@click.option("--split", help="Check this split only.")
@click.option("--against", metavar="NAME_OR_FOLDER", help="Also look for backgrounds shared with this set.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(name: str, split: str | None, against: str | None, as_json: bool) -> None:
    """Read every image of a data set or folder and say what is wrong.

    All splits are read unless one is named. Reports unreadable files, pairs that are identical or look shifted, what is
    missing, and backgrounds that two splits share. Exits with 1 when a file cannot be read.
    """
    unusable: list[str] = []
    sets = _chosen(name, split, unusable) + (_chosen(against, None, unusable) if against else [])
    reports = _check_all(sets)
    leaks = _leaks(reports)
    broken = sum(len(report.unreadable) for report in reports) + len(unusable)
    if as_json:
        values = [report.values() | {"missing": _missing(report.label)} for report in reports]
        echo_json({"sets": values, "leaks": leaks, "unusable": unusable, "ok": not broken})
    else:
        for report in reports:
            _print_report(report)
        for problem in unusable:
            click.echo(f"unusable: {problem}")
        _print_leaks(leaks)
    if broken:
        raise DataError(f"{broken} samples or parts of {name} cannot be read. Replace the files that are named above.")
