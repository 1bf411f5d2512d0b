"""Who and what may come in: known hosts, known passwords, known addresses; and nothing that leaves the machine."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1")
# Of gradio's own addresses only those of its queue and client: this page has no use for the others, and some of them
# ask other machines.
_GRADIO = ("info", "call/", "queue/", "upload", "file=", "heartbeat/", "cancel", "startup-events")
_CALLS = ("/gradio_api/call/", "/gradio_api/queue/join")
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class AccessCheck:
    """ASGI middleware in front of everything.

    `users`: name to password, empty for none. `hosts`: names under which the page may be asked for; empty for any. The
    check of names keeps other sites' scripts out that let their own name point here (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, users: dict[str, str], hosts: Sequence[str]) -> None:
        self._app = app
        self._users = users
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it with what is wrong with it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope["method"], scope["path"], Headers(scope=scope))

        async def stamped(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (refusal or self._app)(scope, receive, stamped)

    def _refusal(self, method: str, path: str, headers: Headers) -> Response | None:
        host = urlsplit("//" + headers.get("host", "")).hostname or ""
        if self._hosts and host not in self._hosts:
            return PlainTextResponse(f"This page is not served under the name {host!r}.", 421)
        if method not in ("GET", "HEAD") and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return PlainTextResponse("Other sites may not send anything here.", 403)
        if self._users and not self._known(headers.get("authorization", "")):
            answer = {"WWW-Authenticate": 'Basic realm="restorekit", charset="UTF-8"'}
            return PlainTextResponse("Give the name and password that this page was started with.", 401, answer)
        if path.startswith("/gradio_api/") and not path.removeprefix("/gradio_api/").startswith(_GRADIO):
            return PlainTextResponse("There is nothing here.", 404)
        return None

    def _known(self, authorization: str) -> bool:
        kind, _, encoded = authorization.partition(" ")
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        expected = self._users.get(name)
        same = secrets.compare_digest(password.encode(), (expected or "").encode())
        return kind.lower() == "basic" and same and expected is not None


class UploadsOnly:
    """ASGI middleware: calls may name only files that were uploaded, those in `uploads`.

    gradio copies every file that a call names to where it can be downloaded, and checks that it is an uploaded one
    only where it runs the server itself; and it fetches addresses.
    """

    def __init__(self, app: ASGIApp, uploads: Path) -> None:
        self._app = app
        self._uploads = uploads.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through unless it names another file."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(_CALLS):
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        if not self._allowed(body):
            refusal = PlainTextResponse("Send a file, such as gradio_client.handle_file('photo.jpg').", 403)
            await refusal(scope, receive, send)
            return
        unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, again, send)

    def _allowed(self, body: bytes) -> bool:
        try:
            named = list(_paths(json.loads(body)))
        except (ValueError, RecursionError):
            return False
        return all(isinstance(path, str) and Path(path).resolve().is_relative_to(self._uploads) for path in named)


def _paths(value: object) -> Iterator[object]:
    """Yield what stands under ``path`` anywhere in a JSON value."""
    if isinstance(value, dict):
        if "path" in value:
            yield value["path"]
        for inner in value.values():
            yield from _paths(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _paths(inner)
