"""A model hub of one folder, served on this machine with the few endpoints that a download and a commit use.

Out: `serve(folder)`, a context that gives the hub's address; `folder` holds `owner/name/files`. Who has
the token `TOKEN` may make repositories of `ada` and commit to them: `.log` has a line for each commit.
No real hub was reached to write this; the endpoints are those that huggingface_hub's client asks for.
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
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_secretsecretsecret"


def _handler(folder: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
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

        # ---- making a repository, and committing to it ----

        def do_POST(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            owner = r"([^/]+/[^/]+?)"
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return self.answer(401, b'{"error": "no such token"}')
            if path == "/api/repos/create":
                return self.create(json.loads(given))
            if path == "/api/validate-yaml":
                known = re.search(r"^license: \"(mit|unknown)\"$", json.loads(given)["content"], re.MULTILINE)
                errors = [] if known else [{"message": '"license" must be one of [mit, unknown]'}]
                return self.answer(400 if errors else 200, json.dumps({"errors": errors, "warnings": []}).encode())
            if match := re.fullmatch(rf"/api/models/{owner}/preupload/main", path):
                return self.json({"files": [_mode(file) for file in json.loads(given)["files"]]})
            if match := re.fullmatch(rf"/{owner}\.git/info/lfs/objects/batch", path):
                return self.batch(json.loads(given)["objects"])
            if match := re.fullmatch(rf"/api/models/{owner}/commit/main", path):
                return self.commit(folder / match[1], [json.loads(line) for line in given.splitlines()])
            return self.refuse(404, "EntryNotFound")

        def create(self, wanted: dict[str, Any]) -> None:
            owner, _, name = wanted["name"].rpartition("/")
            if wanted.get("organization", owner) not in ("", "ada"):
                return self.answer(403, b'{"error": "you may not write there"}')
            (folder / "ada" / name).mkdir(parents=True, exist_ok=True)
            return self.json({"url": f"http://{self.headers['Host']}/ada/{name}", "name": f"ada/{name}"})

        def batch(self, objects: list[dict[str, Any]]) -> None:
            place = f"http://{self.headers['Host']}/upload/"
            actions = [{**o, "actions": {"upload": {"href": place + o["oid"]}}} for o in objects]
            self.json({"transfer": "basic", "objects": actions})

        def do_PUT(self) -> None:
            (folder / ".blobs").mkdir(exist_ok=True)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            (folder / ".blobs" / self.path.rpartition("/")[2]).write_bytes(body)
            self.answer(200, b"")

        def commit(self, home: Path, lines: list[dict[str, Any]]) -> None:
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    (home / value["path"]).write_bytes(base64.b64decode(value["content"]))
                elif line["key"] == "lfsFile":
                    (home / value["path"]).write_bytes((folder / ".blobs" / value["oid"]).read_bytes())
                else:
                    with (folder / ".log").open("a") as log:
                        log.write(value["summary"] + "\n")
            self.json(
                {
                    "commitUrl": f"http://{self.headers['Host']}/ada/{home.name}/commit/{COMMIT}",
                    "commitOid": COMMIT,
                    "success": True,
                }
            )

        def log_message(self, *args: Any) -> None:
            """Say nothing on the terminal."""

    return Handler


def _mode(file: dict[str, Any]) -> dict[str, Any]:
    """Text is committed as it is, anything else by way of large-file storage."""
    mode = "regular" if file["path"].endswith(".md") else "lfs"
    return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}


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
