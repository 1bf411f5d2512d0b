"""A package index on this machine: twine uploads to it (the form that PyPI takes), pip installs from it (PEP 503)."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "pypi-token-of-the-tests"
_NAMES = r"restorekit_\w+-[\w.]+(-py3-none-any\.whl|\.tar\.gz)"


class PackageIndex(ThreadingHTTPServer):
    """Keeps files in memory: `files` by name, `forms` with what was said of each; `served` names what was fetched."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.forms: dict[str, dict[str, str]] = {}
        self.served: list[str] = []

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to take this for the one index that there is."""
        address = f"http://127.0.0.1:{self.server_port}"
        return {
            "TWINE_REPOSITORY_URL": f"{address}/legacy/",
            "TWINE_USERNAME": "__token__",
            "TWINE_PASSWORD": TOKEN,
            "TWINE_NON_INTERACTIVE": "1",
            "PIP_CONFIG_FILE": "/dev/null",
            "PIP_INDEX_URL": f"{address}/simple/",
            "PIP_EXTRA_INDEX_URL": "",
            "PIP_FIND_LINKS": "",
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }

    def refusal(self, name: str, form: dict[str, str], data: bytes) -> str:
        """Return why a file is not taken; empty when it is."""
        if (form.get(":action"), form.get("protocol_version")) != ("file_upload", "1"):
            return "this is no upload of a file"
        if not re.fullmatch(_NAMES, name):
            return f"{name} is no name of a wheel or source package"
        if form.get("sha256_digest") != hashlib.sha256(data).hexdigest():
            return f"{name} is not what its SHA-256 says"
        return f"{name} is there already" if name in self.files else ""


class _Handler(BaseHTTPRequestHandler):
    server: PackageIndex

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _answer(self, status: int, text: str | bytes = "", kind: str = "text/html") -> None:
        self.send_response(status, text if status >= 400 and isinstance(text, str) else None)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode() if isinstance(text, str) else text)

    def _form(self) -> tuple[str, dict[str, str], bytes]:
        """Return the name of the uploaded file, the form's other fields, and the file."""
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        whole = BytesParser().parsebytes(head + self.rfile.read(int(self.headers["Content-Length"])))
        name, fields, data = "", {}, b""
        for part in whole.walk():
            value = part.get_payload(decode=True)
            if not isinstance(value, bytes):
                continue
            if part.get_filename():
                name, data = part.get_filename() or "", value
            else:
                fields[str(part.get_param("name", header="content-disposition"))] = value.decode()
        return name, fields, data

    def do_POST(self) -> None:
        name, form, data = self._form()
        expected = base64.b64encode(f"__token__:{TOKEN}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {expected}":
            return self._answer(403, "Invalid or non-existent authentication information")
        if reason := self.server.refusal(name, form, data):
            return self._answer(400, reason)
        self.server.files[name], self.server.forms[name] = data, form
        return self._answer(200)

    def do_GET(self) -> None:
        if found := re.fullmatch(r"/simple/([a-z0-9-]+)/", self.path):
            return self._list(found[1])
        name = self.path.removeprefix("/files/")
        if name not in self.server.files:
            return self._answer(404, f"no file {name}")
        self.server.served.append(name)
        return self._answer(200, self.server.files[name], "application/octet-stream")

    def _list(self, project: str) -> None:
        own = [name for name, form in self.server.forms.items() if form["name"] == project]
        if not own:
            return self._answer(404, f"no project {project}")
        digests = {name: hashlib.sha256(self.server.files[name]).hexdigest() for name in own}
        links = (f'<a href="/files/{name}#sha256={digest}">{name}</a>' for name, digest in digests.items())
        return self._answer(200, f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>")


@contextmanager
def running_index() -> Iterator[PackageIndex]:
    """Run an empty index until the block ends."""
    with PackageIndex() as index:
        threading.Thread(target=index.serve_forever, daemon=True).start()
        try:
            yield index
        finally:
            index.shutdown()
