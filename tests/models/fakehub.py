"""A model hub of one folder, served on this machine with the few endpoints that a download uses.

Out: `serve(folder)`, a context that gives the hub's address; `folder` holds `owner/name/files`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def json(self, value: Any) -> None:
            self.answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

        def refuse(self, status: int, code: str) -> None:
            self.answer(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
                self.describe(*match.groups())
            elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
                self.file(folder / match[1] / match[2])
            else:
                self.refuse(404, "EntryNotFound")

        do_HEAD = do_GET

        def describe(self, name: str, what: str | None, revision: str | None) -> None:
            if name.startswith("down/"):
                return self.refuse(503, "Unavailable")
            if not (folder / name).is_dir():
                return self.refuse(404, "RepoNotFound")
            if revision not in (None, "main", COMMIT):
                return self.refuse(404, "RevisionNotFound")
            files = sorted(f for f in (folder / name).rglob("*") if f.is_file())
            names = [(f.relative_to(folder / name).as_posix(), f.stat().st_size) for f in files]
            if what == "tree":
                return self.json([{"type": "file", "path": n, "size": s, "oid": "0" * 40} for n, s in names])
            siblings = [{"rfilename": n, "size": s} for n, s in names]
            return self.json({"_id": "0", "id": name, "modelId": name, "sha": COMMIT, "siblings": siblings})

        def file(self, path: Path) -> None:
            if (path.parent / ".gated").exists():  # its description is public, its files are not
                return self.refuse(401, "GatedRepo")
            if not path.is_file():
                return self.refuse(404, "EntryNotFound")
            body = path.read_bytes()
            etag = hashlib.sha256(body).hexdigest()
            return self.answer(200, body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT})

        def log_message(self, *args: Any) -> None:
            """Say nothing on the terminal."""

    return Handler


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve `folder` until the context ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
