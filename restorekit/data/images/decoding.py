"""The gate around every decoder: whatever one raises becomes an `ImageError` that names the file."""

from __future__ import annotations

import errno
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from PIL import Image, UnidentifiedImageError

from restorekit.data.images.formats import READABLE
from restorekit.errors import ImageError, missing_package

_Value = TypeVar("_Value")
_NOT_ERRORS = (KeyboardInterrupt, SystemExit, GeneratorExit)
_LOGGERS = ("tifffile", "PIL.Image", "PIL.JpegImagePlugin", "PIL.TiffImagePlugin", "PIL.PngImagePlugin")
_WARN_AGAIN = r"(PIL|tifffile|torchvision|pillow_heif|imagecodecs)\b"


class _Heard(threading.local):
    """What the libraries say while this thread decodes; None while it does not."""

    notes: list[str] | None = None


_heard = _Heard()
_install = threading.Lock()
_shown: Callable[..., None] = warnings.showwarning


def _show(message: Warning | str, category: type[Warning], *place: object, **more: object) -> None:
    """Stand in for `warnings.showwarning`: a decoding thread's warnings become notes, all others are shown."""
    if _heard.notes is None:
        _shown(message, category, *place, **more)
    elif not issubclass(category, (DeprecationWarning, PendingDeprecationWarning)):
        _heard.notes.append(_one_line(message))


def _take(record: logging.LogRecord) -> bool:
    """A filter of the libraries' loggers: what a decoding thread logs becomes a note."""
    if _heard.notes is None:
        return True
    if record.levelno >= logging.WARNING:
        _heard.notes.append(_one_line(record.getMessage()))
    return False


def _one_line(message: object) -> str:
    text = " ".join(str(message).split())
    return text if len(text) <= 200 else text[:199] + "…"


def _listen() -> None:
    """Put the ears in place. `warnings.catch_warnings` would be shared by all threads, and tear at its ends."""
    global _shown
    with _install:
        if warnings.showwarning is not _show:
            _shown, warnings.showwarning = warnings.showwarning, _show
            for name in _LOGGERS:
                logging.getLogger(name).addFilter(_take)
        # A file's warning must not be lost because another file had it first, nor end its reading under -W error.
        warnings.filterwarnings("always", module=_WARN_AGAIN)


@contextmanager
def listening() -> Iterator[list[str]]:
    """Collect what libraries warn and log in this thread, in place of showing it."""
    _listen()
    before, _heard.notes = _heard.notes, []
    try:
        yield _heard.notes
    finally:
        _heard.notes = before


@contextmanager
def guarded(path: Path) -> Iterator[list[str]]:
    """Let a decoder work on `path`: any error is an `ImageError` with file, reason and remedy.

    Yields the list of what the libraries say meanwhile.
    """
    with listening() as notes:
        try:
            yield notes
        except _NOT_ERRORS:
            raise
        except ImageError as error:
            if str(path) in str(error):
                raise
            raise ImageError(f"{path}: {error}") from error
        except BaseException as error:  # decoders in other languages raise what is no Exception
            raise ImageError(f"{path}: {reason(path, error)}") from error


def side_data(what: str, read: Callable[[], _Value], otherwise: _Value, notes: list[str]) -> _Value:
    """Return ``read()``; on any error `otherwise` and a note: good pixels are not refused for what lies beside them."""
    try:
        return read()
    except Exception as error:
        notes.append(f"its {what} cannot be read and was left out ({type(error).__name__}: {_one_line(error)})")
        return otherwise


def reason(path: Path, error: BaseException) -> str:
    """Say in words why a file cannot be read, and what to do."""
    if isinstance(error, UnidentifiedImageError):
        suffix = path.suffix.lower()
        if suffix and suffix not in READABLE:
            return f"{suffix} is not supported; convert it to PNG, JPEG, WebP, TIFF or AVIF"
        if suffix == ".avif" and "AVIF" not in Image.SAVE:
            return "the installed Pillow was built without AVIF; install its wheel, 11.3 or newer, or convert the file"
        return "not an image of a kind that can be read, or its header is damaged; open it in an image viewer to see"
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return f"a link to {path.readlink()}, which is not there; bring that back, or remove the link"
        return "there is no such file; check the path"
    if isinstance(error, IsADirectoryError):
        return "a folder, not an image file; give a file"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM):
        return "no permission to read it; change its permissions"
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "a link that leads to itself; remove it"
    if isinstance(error, MemoryError):
        return "not enough memory to read it; close other programs or make the image smaller"
    if isinstance(error, ImportError):
        return missing_package(error)
    said = _one_line(error)
    if "imagecodecs" in said:
        return f"{said}; run `pip install 'restorekit[tiff]'`, or save it without compression"
    return f"truncated or damaged ({type(error).__name__}: {said}); copy or download it again"
