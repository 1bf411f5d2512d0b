"""Who and what may come in: known hosts, known passwords, known addresses; and nothing that leaves the machine."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1")
# Of gradio's own addresses only those of its queue and client: its page and its other services load scripts and fonts
# from elsewhere, and this page has no use for them.
_GRADIO = ("info", "call/", "queue/", "upload", "file=", "heartbeat/", "cancel", "startup-events")
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'; object-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Guard:
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
