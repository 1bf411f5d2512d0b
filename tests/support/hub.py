"""A hub on this machine: what the Hugging Face client asks of one to make a repository, commit files and fetch them.

Files of weights go by git-lfs's batch protocol, small ones inside the commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_the_tests"


class Hub(ThreadingHTTPServer):
    """Keeps repositories in memory: `files` by (owner/name, path), `blobs` of git-lfs by SHA-256."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[tuple[str, str], bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.repositories: dict[str, bool] = {}  # owner/name -> whether it is private
        self.summaries: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to take this for the hub."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_TOKEN": TOKEN,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _answer(self, value: Any = None, status: int = 200, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value or {}).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _json(self) -> Any:
        return json.loads(self._body())

    def do_POST(self) -> None:
        if "/info/lfs/" not in self.path and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._body()
            return self._answer({"error": "Invalid username or password."}, 401)
        if self.path == "/api/repos/create":
            return self._create(self._json())
        if self.path == "/api/validate-yaml":
            self._body()
            return self._answer({"errors": [], "warnings": []})
        if re.fullmatch(r"/api/models/\S+/preupload/main", self.path):
            return self._modes(self._json()["files"])
        if self.path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(self._json()["objects"])
        if found := re.fullmatch(r"/api/models/(\S+?)/commit/main", self.path):
            return self._commit(found[1], self._body())
        return self._answer({"error": f"the hub of the tests knows no {self.path}"}, 404)

    def _create(self, wanted: dict[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        private = bool(wanted.get("private")) or wanted.get("visibility") == "private"
        self.server.repositories.setdefault(name, private)
        self._answer({"url": f"{self.server.address}/{name}", "name": name, "id": name})

    def _modes(self, files: list[dict[str, Any]]) -> None:
        modes = {f["path"]: "lfs" if f["path"].endswith(".safetensors") else "regular" for f in files}
        self._answer({"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]})

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        for item in objects:
            item["actions"] = {"upload": {"href": f"{self.server.address}/lfs/{item['oid']}", "header": {}}}
        self._answer({"transfer": "basic", "objects": objects})

    def do_PUT(self) -> None:
        data, name = self._body(), self.path.rpartition("/")[2]
        fits = hashlib.sha256(data).hexdigest() == name
        self.server.blobs |= {name: data} if fits else {}
        self._answer(status=200 if fits else 422)

    def _commit(self, repository: str, body: bytes) -> None:
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "header":
                self.server.summaries.append(value["summary"])
            elif line["key"] == "file":
                self.server.files[repository, value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.server.files[repository, value["path"]] = self.server.blobs[value["oid"]]
        address = f"{self.server.address}/{repository}/commit/{COMMIT}"
        self._answer({"success": True, "commitUrl": address, "commitOid": COMMIT, "hookOutput": ""})

    def do_GET(self) -> None:
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(\S+)", self.path)
        data = self.server.files.get((found[1], found[2])) if found else None
        if data is None:
            return self._answer(status=404, X_Error_Code="EntryNotFound")
        etag = hashlib.sha256(data).hexdigest()
        return self._answer(data, X_Repo_Commit=COMMIT, ETag=f'"{etag}"', Accept_Ranges="none")

    do_HEAD = do_GET  # noqa: N815


@contextmanager
def running_hub() -> Iterator[Hub]:
    """Run a hub while the block runs."""
    with Hub() as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
