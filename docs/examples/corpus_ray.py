"""Restore a folder or bucket of images on a Ray cluster.

    pip install 'ray[data]' restorekit restorekit-attngan
    python corpus_ray.py s3://bucket/photos s3://bucket/clean --model attngan --workers 8 --gpus 1

Each worker loads the model once and restores whole files, with everything that they carry. What is in the output
already is skipped, so that an interrupted corpus is simply started again; a file that fails is listed at the end.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import ray
from pyarrow import fs

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff")


def place(address: str) -> tuple[fs.FileSystem, str]:
    """Return the file system and the path that an address such as ``s3://bucket/photos`` or ``photos/`` means."""
    if "://" in address:
        return fs.FileSystem.from_uri(address.rstrip("/"))
    return fs.LocalFileSystem(), str(Path(address).resolve())


def names_below(address: str) -> set[str]:
    """Return the names of all files below an address, relative to it."""
    system, root = place(address)
    found = system.get_file_info(fs.FileSelector(root, recursive=True, allow_not_found=True))
    return {str(PurePosixPath(info.path).relative_to(root)) for info in found if info.is_file}


class Worker:
    """Restores files of `source` into `target`: a batch of names -> the same with what went wrong, or nothing."""

    def __init__(self, source: str, target: str, model: str) -> None:
        import restorekit

        self.restorer = restorekit.load(model)
        self.source, self.target = place(source), place(target)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Restore the files of one batch."""
        return {"name": batch["name"], "error": np.array([self.restore(str(name)) for name in batch["name"]], object)}

    def restore(self, name: str) -> str:
        """Restore one file; return what went wrong, or an empty string."""
        from restorekit.errors import RestorekitError

        with tempfile.TemporaryDirectory() as folder:
            given, made = (Path(folder) / f"{kind}{PurePosixPath(name).suffix}" for kind in ("given", "made"))
            system, root = self.source
            try:
                with system.open_input_stream(f"{root}/{name}") as file:
                    given.write_bytes(file.read())
                self.restorer.restore_file(given, made)
                self.upload(made, name)
            except (RestorekitError, OSError) as error:
                return str(error).replace(str(given), name)
        return ""

    def upload(self, made: Path, name: str) -> None:
        """Put a result into its place, beside it first: a reader never meets half a file."""
        system, root = self.target
        path = PurePosixPath(root) / name
        beside = path.with_name(f".{path.name}.part")
        system.create_dir(str(path.parent), recursive=True)
        with system.open_output_stream(str(beside)) as file:
            file.write(made.read_bytes())
        system.move(str(beside), str(path))


def restore_corpus(source: str, target: str, model: str, workers: int = 1, gpus: float = 0) -> dict[str, str]:
    """Restore what is in `source` and not in `target`; return the failures, name -> reason."""
    done = names_below(target)
    names = sorted(name for name in names_below(source) if name.lower().endswith(SUFFIXES) and name not in done)
    print(f"{len(names)} files to restore, {len(done)} there already")
    if not names:
        return {}
    rows = ray.data.from_items([{"name": name} for name in names]).map_batches(
        Worker,
        fn_constructor_args=(source, target, model),
        batch_size=4,
        num_cpus=1,
        num_gpus=gpus,
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    return {row["name"]: row["error"] for row in rows.iter_rows() if row["error"]}


def main() -> int:
    """Run the program; 1 when a file failed."""
    parser = argparse.ArgumentParser(description="Restore a folder or bucket of images on a Ray cluster.")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--model", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--gpus", type=float, default=0, help="GPUs for each worker")
    given = parser.parse_args()
    failed = restore_corpus(given.source, given.target, given.model, given.workers, given.gpus)
    for name, reason in failed.items():
        print(f"Failed: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
