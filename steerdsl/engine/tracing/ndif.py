"""Sends nnsight's requests to an NDIF server, and brings back what they save.

In: a traced block, a `Link`. Out: the saved values, in the frame that asked for them. A request is a
websocket for news of it and one POST; what comes back is unpickled, so the host is trusted.
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from importlib.metadata import version
from typing import Any

import httpx
import nnsight
import websocket
from nnsight.intervention.backends.remote import RemoteBackend, RemoteError
from nnsight.schema.config import CONFIG
from nnsight.schema.request import RequestModel
from nnsight.schema.response import ResponseModel, Status

from steerdsl.engine import remote
from steerdsl.engine.remote import DIFFERS, Link, Lost, failure
from steerdsl.engine.safety import require_safe_result

CONNECT = 10.0  # seconds
READ = 60.0
LARGEST = 1 << 30  # bytes of one result


def address(host: str | None) -> str:
    """The server asked for, else NDIF_HOST, else the one in nnsight's own settings."""
    return host or os.environ.get("NDIF_HOST") or CONFIG.API.HOST


def api_key() -> str:
    """NDIF_API_KEY, else the one that `nnsight login` has stored; empty for none."""
    return os.environ.get("NDIF_API_KEY") or CONFIG.API.APIKEY or ""


def greet(model: Any, link: Link) -> None:
    """Make sure, before the first request, that the server is up and serves the model in the dtype
    planned, and tell the user which versions differ. Raises RecipeError R820, R821, R825 and R832."""
    link.model_key = remote.find_model(link, _get(link, "/status"))
    here = {name: version(name).partition("+")[0] for name in DIFFERS}
    told = remote.compare(link, here, _get(link, "/env").get("packages", {}))
    if told:
        link.tell(told)
    with model.session(backend=Ndif(link, model)):
        import torch
        import transformers

        held = nnsight.save(
            {
                "dtype": str(next(model._module.parameters()).dtype),
                "torch": str(torch.__version__),
                "transformers": transformers.__version__,
                "nnsight": nnsight.__version__,
            }
        )
    # What the server says of itself need not be what its model runs with.
    found = remote.compare(link, here, {name: held[name] for name in DIFFERS})
    if found and found != told:
        link.tell(found)
    remote.require_dtype(link, held["dtype"].removeprefix("torch."))


def _get(link: Link, path: str) -> dict[str, Any]:
    def once() -> dict[str, Any]:
        try:
            reply = httpx.get(link.host + path, timeout=httpx.Timeout(READ, connect=CONNECT), headers=_key(link))
        except httpx.HTTPError as error:
            raise Lost(str(error) or type(error).__name__, taken=False) from error
        _require_ok(link, reply)
        try:
            found = reply.json()
        except ValueError as error:
            raise Lost(f"what answers at {path} is no NDIF server", taken=False) from error
        return found if isinstance(found, dict) else {}

    got: dict[str, Any] = link.persist(once)
    return got


def _key(link: Link) -> dict[str, str]:
    return {"ndif-api-key": link.key} if link.key else {}


def _require_ok(link: Link, reply: httpx.Response) -> None:
    """Raise what an HTTP status says."""
    if reply.is_success:
        return
    try:
        body = reply.json()
        detail = body.get("detail") if isinstance(body, dict) else body
    except ValueError:
        detail = ""
    found = remote.refusal(link, reply.status_code, str(detail or ""))
    if found is not None:
        raise failure(found)


class _Silent:
    """nnsight's own display of a request, turned off: `Link.progress` shows it."""

    enabled = False

    def update(self, response: ResponseModel) -> None: ...

    def refresh(self) -> None: ...


class Ndif(RemoteBackend):  # type: ignore[misc]
    """nnsight's backend, with the connection watched, the bytes counted and the errors in our words."""

    def __init__(self, link: Link, model: Any) -> None:
        super().__init__(link.model_key, host=link.host, api_key=link.key or None, env=model._remoteable_get_env())
        self.api_key = link.key  # and not, for want of one, that of another host
        self.link, self.display, self.news = link, _Silent(), "sent"

    def request(self, request: RequestModel, tracer: Any) -> Any:
        """Send a block until it has run, and give what it saved."""
        # Not `self._serialize`, which sends along every module of the folder that the user is in.
        blob = RequestModel.serialize(tracer, self.compress)
        return self.link.persist(lambda: self._once(request, blob))

    def _once(self, request: RequestModel, blob: bytes) -> Any:
        try:
            # No redirect: it would take the key along to wherever it leads.
            connection = websocket.create_connection(
                f"{self.ws_host}/subscribe", header=_key(self.link), timeout=CONNECT, redirect_limit=0
            )
        except (OSError, websocket.WebSocketException) as error:
            raise Lost(str(error), taken=False) from error
        taken = False
        try:
            request.session_id = json.loads(connection.recv())["session_id"]
            self.handle(self._post(request, blob))
            taken = True
            return self._wait(connection)
        except websocket.WebSocketPayloadException as error:
            raise failure(remote.too_large(self.link, "the result")) from error
        except RemoteError as error:
            raise failure(remote.said(self.link, str(error))) from error
        except (OSError, ValueError, websocket.WebSocketException, httpx.HTTPError) as error:
            raise Lost(str(error) or type(error).__name__, taken) from error
        finally:
            connection.close()

    def _post(self, request: RequestModel, blob: bytes) -> ResponseModel:
        headers = {
            "ndif-timestamp": repr(time.time()),
            "nnsight-version": version("nnsight"),
            "python-version": sys.version,
            **_key(self.link),
        }
        self.link.traffic.sent += len(blob)
        reply = httpx.post(
            f"{self.host}/request",
            data={"data": request.metadata()},
            files={"blob": ("request", blob, "application/octet-stream")},
            headers=headers,
            timeout=httpx.Timeout(READ, connect=CONNECT),
        )
        _require_ok(self.link, reply)
        return ResponseModel.model_validate_json(reply.text)

    def _wait(self, connection: websocket.WebSocket) -> Any:
        connection.settimeout(1.0)
        heard = time.monotonic()
        while True:
            try:
                message = connection.recv()
            except websocket.WebSocketTimeoutException:
                if time.monotonic() - heard > remote.PATIENCE:
                    raise failure(remote.waited(self.link, self.news)) from None
                continue
            if not message:
                raise Lost("the connection was closed", taken=True)
            heard = time.monotonic()
            response = self.parse(message)
            result = self.handle(response)
            if response.status == Status.COMPLETED:
                self.link.traffic.requests += 1
                return result

    def note(self, response: ResponseModel) -> bool:
        """Show what the server says of the request. Raises RemoteError when it failed."""
        if response.status == Status.LOG:
            lines = self.link.clean(response.description).strip().splitlines()
            for line in lines:
                self.link.progress(f"the server says: {line}", 0, 0)
        else:
            self.news = f"{response.status.value.lower()}: {response.description}"
            self.link.progress(f"on the server, {self.link.clean(self.news)}", 0, 0)
        done: bool = super().note(response)
        return done

    def download_result(self, url: Any) -> Any:
        """What the request saved: it came with the news, or lies at `url`."""
        if not isinstance(url, str) or not url:
            return super().download_result(url)
        require_safe_result(self.link, url)
        # No redirect: it could lead to where no result would be taken from.
        limits = httpx.Timeout(READ, connect=CONNECT)
        with httpx.stream("GET", url, timeout=limits, follow_redirects=False) as reply:
            if not reply.is_success:  # not httpx's own words, which hold the signature of the address
                raise Lost(f"HTTP {reply.status_code} where its result should lie", taken=True)
            kept = io.BytesIO()
            for chunk in reply.iter_bytes():
                kept.write(chunk)
                if kept.tell() > LARGEST:
                    raise failure(remote.too_large(self.link, "the result"))
        return self.finalize(kept.getvalue())

    def finalize(self, content: bytes) -> Any:
        """The saved values from the bytes that came back."""
        self.link.traffic.received += len(content)
        return super().finalize(content)
