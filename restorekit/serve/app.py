"""The page's addresses: files up, pictures and results down, over gradio's queue."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import zipfile
from collections.abc import AsyncIterator, Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Annotated

import gradio
from fastapi import Body, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from starlette.background import BackgroundTask

from restorekit.errors import RestorekitError
from restorekit.restoring.video import can_read_clips
from restorekit.serve import store
from restorekit.serve.access import AccessCheck, UploadsOnly
from restorekit.serve.api import Api
from restorekit.serve.desk import Desk
from restorekit.serve.files import write_blended
from restorekit.serve.limits import Limits
from restorekit.serve.store import Item, Store
from restorekit.version import __version__

_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_PAGE = ("page.html", "page.css", "page.js", "work.js", "viewer.js", "icon.svg")
# What browsers show by themselves. Nothing else is served as what it claims to be: an upload may be a script.
_MEDIA = {
    ".gif": "image/gif", ".webp": "image/webp", ".png": "image/png", ".apng": "image/apng", ".mp4": "video/mp4",
    ".m4v": "video/mp4", ".mov": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska",
}  # fmt: skip
_SESSION = re.compile(r"[A-Za-z0-9_-]{16,64}")
_SWEEP = 30.0  # seconds between two looks for what nobody needs any more


def build(
    desk: Desk, items: Store, limits: Limits, *, users: dict[str, str] | None = None, hosts: Sequence[str] = ()
) -> FastAPI:
    """Return the application. `users` and `hosts`: see `AccessCheck`."""
    api = Api(desk, items, limits)

    @contextlib.asynccontextmanager
    async def sweeping(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep(items))
        yield
        task.cancel()

    app = FastAPI(title="restorekit", version=__version__, lifespan=sweeping, openapi_url=None)
    _explain_failures(app, items)
    _serve_page(app)
    _serve_settings(app, desk, limits, api.work_index)
    _serve_uploads(app, items, limits)
    _serve_items(app, items)
    _serve_sessions(app, items)
    app.add_middleware(UploadsOnly, uploads=items.uploads)
    app.add_middleware(AccessCheck, users=users or {}, hosts=hosts)
    gradio.mount_gradio_app(
        app, api.blocks, "/", max_file_size=limits.bytes, run_history=False, ssr_mode=False, pwa=False,
        mcp_server=False, enable_monitoring=False, footer_links=[],
        app_kwargs={"openapi_url": None},
    )  # fmt: skip
    return app


async def _sweep(items: Store) -> None:
    while True:
        await asyncio.sleep(_SWEEP)
        await asyncio.to_thread(items.expire)


def _explain_failures(app: FastAPI, items: Store) -> None:
    """Answer what fails as the command line would, without paths of this machine."""

    @app.exception_handler(RestorekitError)
    def refused(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": re.sub(rf"{re.escape(str(items.folder))}/(\S+/)?", "", str(error))}, 409)

    @app.exception_handler(OSError)
    def full(_: Request, error: Exception) -> JSONResponse:
        reason = error.strerror if isinstance(error, OSError) else None
        detail = f"the machine that restores could not keep the file ({reason or error}); tell whoever runs it"
        return JSONResponse({"detail": detail}, 507)


def _serve_page(app: FastAPI) -> None:
    folder = files("restorekit.serve") / "page"
    texts = {name: (folder / name).read_bytes() for name in _PAGE}

    @app.get("/")
    def page() -> Response:
        return Response(texts["page.html"], media_type="text/html", headers={"cache-control": "no-cache"})

    @app.get("/page/{name}")
    def part(name: str) -> Response:
        if name not in texts:
            raise HTTPException(404, f"{name} is no part of the page")
        return Response(
            texts[name], media_type=_TYPES[PurePosixPath(name).suffix], headers={"cache-control": "no-cache"}
        )

    @app.get("/favicon.ico")
    def icon() -> Response:
        return part("icon.svg")


def _serve_settings(app: FastAPI, desk: Desk, limits: Limits, work: int) -> None:
    @app.get("/settings")
    def settings() -> dict[str, object]:
        return {
            "version": __version__,
            "models": [choice.facts() for choice in desk.choices],
            "work": work,
            "kinds": _kinds(),
            "limits": {"bytes": limits.bytes, "jobs": limits.jobs, "minutes": limits.minutes, "files": limits.files},
        }


def _kinds() -> str:
    clips = "; clips as MP4, MOV, MKV or WebM" if can_read_clips() else ""
    return f"JPEG, PNG, WebP, TIFF, AVIF, GIF and others{clips}"


def _serve_uploads(app: FastAPI, items: Store, limits: Limits) -> None:
    @app.put("/sessions/{session}/files/{name}")
    async def upload(session: str, name: str, request: Request) -> JSONResponse:
        if not _SESSION.fullmatch(session):
            raise HTTPException(400, "the session is not valid; load the page again")
        item = items.add(session, name)
        try:
            await _receive(request, item.source, limits)
        except BaseException:  # a visitor who goes away in the middle included
            items.remove([item])
            raise
        return JSONResponse(item.facts(), 201)


async def _receive(request: Request, target: Path, limits: Limits) -> None:
    """Write a request's body into a file, which may not be larger than `limits` say."""
    received = 0
    with target.open("xb") as file:
        async for chunk in request.stream():
            received += len(chunk)
            if received > limits.bytes:
                raise HTTPException(
                    413, f"{target.name}: it is larger than {limits.megabytes:g} MB, the limit of this page"
                )
            file.write(chunk)


def _found(items: Store, identity: str) -> Item:
    item = items.get(identity)
    if item is None:
        raise HTTPException(404, "this file is no longer here; drop it again")
    return item


def _serve_items(app: FastAPI, items: Store) -> None:
    @app.post("/items/{identity}/wait")
    def wait(identity: str) -> dict[str, object]:
        item = _found(items, identity)
        item.wait()
        return item.facts()

    @app.post("/items/{identity}/cancel")
    def cancel(identity: str) -> dict[str, object]:
        item = _found(items, identity)
        item.cancel()
        return item.facts()

    @app.put("/items/{identity}/strength")
    def strength(identity: str, value: Annotated[float, Body(ge=0, le=1)]) -> dict[str, object]:
        item = _found(items, identity)
        item.strength = value
        return item.facts()

    @app.delete("/items/{identity}")
    def remove(identity: str) -> None:
        items.remove([_found(items, identity)])

    @app.get("/items/{identity}/{which}.jpg")
    def preview(identity: str, which: str) -> FileResponse:
        path = _found(items, identity).preview(which)
        if which not in ("before", "after", "thumb") or not path.is_file():
            raise HTTPException(404, "there is no such picture yet")
        return FileResponse(path, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    @app.get("/items/{identity}/result")
    def result(identity: str) -> FileResponse:
        item = _found(items, identity)
        return FileResponse(_result(item), filename=_result_name(item))

    @app.get("/items/{identity}/file/{which}")
    def file(identity: str, which: str) -> FileResponse:
        """Animations and clips, which browsers show themselves."""
        item = _found(items, identity)
        path = {"before": item.source, "after": item.result}.get(which)
        if path is None or item.kind == store.IMAGE:
            raise HTTPException(404, "there is no such file yet")
        return FileResponse(path, media_type=_MEDIA.get(path.suffix.lower(), "application/octet-stream"))


def _serve_sessions(app: FastAPI, items: Store) -> None:
    @app.get("/sessions/{session}")
    def history(session: str) -> list[dict[str, object]]:
        return [item.facts() for item in items.of(session)]

    @app.delete("/sessions/{session}")
    def forget(session: str) -> None:
        items.remove(items.of(session))

    @app.get("/sessions/{session}/restored.zip")
    def all_results(session: str) -> FileResponse:
        done = [item for item in items.of(session) if item.result is not None]
        if not done:
            raise HTTPException(404, "nothing is restored yet")
        path = _zip(done)
        return FileResponse(path, filename="restored.zip", background=BackgroundTask(path.unlink, missing_ok=True))


def _result_name(item: Item) -> str:
    name = PurePosixPath(item.result.name if item.result else item.name)
    return f"{name.stem}-restored{name.suffix}"


def _result(item: Item) -> Path:
    """Return the file with an item's result at its strength."""
    if item.result is None:
        raise HTTPException(404, f"{item.name} is not restored yet")
    return write_blended(item, item.folder / f"blend-{item.round}-{item.strength:.3f}" / item.result.name)


def _zip(done: Sequence[Item]) -> Path:
    """Write the results into one archive beside them; names that occur twice get a number."""
    path = done[0].folder / f"all-{secrets.token_hex(4)}.zip"
    taken: set[str] = set()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for item in done:
            name = PurePosixPath(_result_name(item))
            number, free = 1, name.name
            while free.lower() in taken:
                number += 1
                free = f"{name.stem} ({number}){name.suffix}"
            taken.add(free.lower())
            archive.write(_result(item), free)
    return path
