"""Unpacking the images of a zip or tar archive without trusting it.

Refused: paths that are absolute or climb out with ``..``, links and devices, and archives beyond the limits
("bombs"). Only images are written; sizes are counted while writing, not believed from headers.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Protocol

from restorekit.data.images.formats import is_image_name
from restorekit.errors import DataError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may hold at most: members, bytes unpacked, and bytes unpacked per byte of archive."""

    members: int = 200_000
    total: int = 64 << 30
    ratio: float = 100.0  # photographs hardly compress; bitmaps reach about 10


@dataclass
class _Budget:
    archive: Path
    limits: Limits
    members: int = 0
    written: int = 0
    allowed: float = field(init=False)

    def __post_init__(self) -> None:
        # Small archives may hold a flat picture that packs extremely well: 16 MiB is never a bomb.
        by_ratio = max(self.limits.ratio * self.archive.stat().st_size, 16 << 20)
        self.allowed = min(self.limits.total, by_ratio)

    def member(self) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise DataError(f"{self.archive}: more than {self.limits.members:,} members; not unpacked.")

    def take(self, size: int) -> None:
        self.written += size
        if self.written > self.allowed:
            raise DataError(
                f"{self.archive}: unpacks to more than {self.allowed / 2**20:,.0f} MiB, over"
                f" {self.limits.ratio:g} times"
                f" its own size or over {self.limits.total / 2**30:g} GiB: it looks like a bomb and was not"
                " imported."
                " If you trust it, unpack it yourself and give the folder."
            )


def is_archive(path: Path) -> bool:
    """Tell by its name whether a file is an archive that can be imported."""
    return path.name.lower().endswith(SUFFIXES)


def _safe_parts(archive: Path, name: str) -> tuple[str, ...]:
    posix = name.replace("\\", "/")
    parts = PurePosixPath(posix).parts
    if posix.startswith("/") or PureWindowsPath(name).drive or ".." in parts or "\0" in name:
        raise DataError(
            f"{archive}: the member {name!r} would be written outside the target folder; nothing was imported."
        )
    return parts


def _copy(source: IO[bytes], target: Path, budget: _Budget) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        while chunk := source.read(_CHUNK):
            budget.take(len(chunk))
            out.write(chunk)


class _Unpack(Protocol):
    def __call__(self, archive: Path, target: Path, budget: _Budget) -> None: ...


def _refuse(archive: Path, name: str, what: str) -> DataError:
    return DataError(
        f"{archive}: the member {name!r} is a {what}; archives with links or devices are refused."
        " If you trust it, unpack it yourself and give the folder."
    )


def _unzip(archive: Path, target: Path, budget: _Budget) -> None:
    with zipfile.ZipFile(archive) as pack:
        for info in pack.infolist():
            budget.member()
            parts = _safe_parts(archive, info.filename)
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _refuse(archive, info.filename, "link")
            if info.is_dir() or not is_image_name(info.filename):
                continue
            with pack.open(info) as source:
                _copy(source, target.joinpath(*parts), budget)


def _untar(archive: Path, target: Path, budget: _Budget) -> None:
    with tarfile.open(archive, "r:*") as pack:
        for member in pack:
            budget.member()
            parts = _safe_parts(archive, member.name)
            if not (member.isfile() or member.isdir()):
                raise _refuse(archive, member.name, "link" if member.islnk() or member.issym() else "device")
            if member.isdir() or not is_image_name(member.name):
                budget.take(0 if member.isdir() else member.size)  # skipping a member still unpacks it
                continue
            source = pack.extractfile(member)
            assert source is not None
            with source:
                _copy(source, target.joinpath(*parts), budget)
        _read_to_the_end(pack, budget)


def _read_to_the_end(pack: tarfile.TarFile, budget: _Budget) -> None:
    """Read what follows the last member: a compressed stream is checked against its checksum only at its end."""
    stream: IO[bytes] | None = pack.fileobj  # type: ignore[assignment]
    while stream is not None and (rest := stream.read(_CHUNK)):
        budget.take(len(rest))


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError) as error:
        why = " ".join(str(error).split())
        raise DataError(f"{archive}: the archive is damaged or incomplete ({why}). Get it again.") from error
    except OSError as error:
        if error.errno is not None:
            raise
        # bz2 and gzip report what is wrong inside a stream like this, without the system's number
        raise DataError(f"{archive}: the archive is damaged or incomplete ({error}). Get it again.") from error
    except (RuntimeError, NotImplementedError) as error:  # zipfile: a password, or an unknown compression
        raise DataError(f"{archive}: cannot be unpacked ({error}). Unpack it yourself and give the folder.") from error


def unpack_images(archive: Path, target: Path, limits: Limits | None = None) -> None:
    """Write the images of `archive` (zip or tar, also compressed) below the folder `target`.

    Raises `DataError` for a damaged archive, unsafe members or exceeded limits, `OSError` when writing fails;
    what was written so far is the caller's to remove.
    """
    named_zip = archive.suffix.lower() == ".zip" and not tarfile.is_tarfile(archive)
    unpack: _Unpack = _unzip if named_zip or zipfile.is_zipfile(archive) else _untar
    with _readable(archive):
        unpack(archive, target, _Budget(archive, limits or Limits()))
