"""``restorekit compare``: two folders of results, image by image."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)


@click.command("compare")
@click.argument("first", metavar="A", type=FOLDER)
@click.argument("second", metavar="B", type=FOLDER)
@click.option("--first", "first_model", metavar="MODEL", help="Which model of A [default: each that both have].")
@click.option("--second", "second_model", metavar="MODEL", help="Which model of B, likewise.")
@click.option("-o", "--output", "out", type=FOLDER, help="Also write comparison.json and a page there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    first: Path, second: Path, first_model: str | None, second_model: str | None, out: Path | None, as_json: bool
) -> None:
    """Compare the results of `restorekit benchmark` or `score -o` in the folders A and B.

    Both must be of the same images: paired differences with intervals, tests with Holm's correction, and the images
    that differ most. A and B may be one folder, with --first and --second.
    """
    import json

    from restorekit.benchmark.compare import compare, text, write

    found = compare(first, second, (first_model, second_model))
    if out is not None:
        write(found, out)
    if as_json:
        click.echo(json.dumps(found.values(), indent=1, allow_nan=False))
        return
    click.echo("\n".join(text(found)))
    if out is not None:
        click.echo(f"Page: {out / 'index.html'}")
