"""Sends nnsight's requests to an NDIF server, and brings back what they save.

In: a traced block, a `Link`. Out: the saved values, in the frame that asked for them. A request is a
websocket for news of it and one POST; what comes back is unpickled, so the host is trusted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from importlib.metadata import version
from typing import Any

import httpx
import nnsight
import websocket
import zstandard
from nnsight.intervention.backends.remote import RemoteBackend, RemoteError
from nnsight.schema.config import CONFIG
from nnsight.schema.request import RequestModel
from nnsight.schema.response import ResponseModel, Status

from steerdsl.engine import remote
from steerdsl.engine.remote import DIFFERS, Link, Lost, failure, unreadable
from steerdsl.engine.reply_limits import RESULT, SAYS, SLOWEST, News, TooLong, exchange, subscribe, within
from steerdsl.engine.safety import require_safe_result

HELD = ("dtype", "torch", "transformers", "nnsight")  # what a server is asked of its model


def address(host: str | None) -> str:
    """The server asked for, else NDIF_HOST, else the one in nnsight's own settings."""
    return host or os.environ.get("NDIF_HOST") or CONFIG.API.HOST


def api_key() -> str:
    """NDIF_API_KEY, else the one that `nnsight login` has stored; empty for none."""
    return os.environ.get("NDIF_API_KEY") or CONFIG.API.APIKEY or ""


def greet(model: Any, link: Link) -> None:
    """Make sure, before the first request, that the server is up and serves the model in the dtype
    planned, and tell the user which versions differ. Raises RecipeError R820, R821, R825, R832 and R837."""
    link.model_key = remote.find_model(link, _get(link, "/status"))
    here = {name: version(name).partition("+")[0] for name in DIFFERS}
    told = remote.compare(link, here, remote.find_versions(link, _get(link, "/env")))
    if told:
        link.tell(told)
    held: Any = None
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
    if not isinstance(held, dict) or not all(isinstance(held.get(name), str) for name in HELD):
        raise failure(unreadable(link, "/request", "it does not say what its model runs with"))
    # What the server says of itself need not be what its model runs with.
    found = remote.compare(link, here, {name: held[name] for name in DIFFERS})
    if found and found != told:
        link.tell(found)
    remote.require_dtype(link, held["dtype"].removeprefix("torch."))


def _get(link: Link, path: str) -> dict[str, Any]:
    """What the server says of itself."""

    def once(seconds: float) -> dict[str, Any]:
        return remote.read_table(link, path, _exchange(link, "GET", path, seconds))

    got: dict[str, Any] = link.persist(once)
    return got


def _exchange(link: Link, method: str, path: str, seconds: float, **given: Any) -> bytes:
    """The body of a reply of the server. Raises `Lost`, and RecipeError for what else its status says."""
    given["headers"] = {**given.get("headers", {}), **_key(link)}
    try:
        status, body = exchange(method, link.host + path, seconds, SAYS, **given)
    except TooLong as error:
        raise failure(unreadable(link, path, f"it has more than {SAYS >> 20} MB")) from error
    except (OSError, httpx.HTTPError) as error:
        raise Lost(str(error) or type(error).__name__, taken=False) from error
    _require_ok(link, path, status, body)
    return body


def _key(link: Link) -> dict[str, str]:
    return {"ndif-api-key": link.key} if link.key else {}


def _require_ok(link: Link, path: str, status: int, body: bytes) -> None:
    """Raise what an HTTP status says."""
    if 200 <= status < 300:
        return
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    found = remote.refusal(link, status, str((said.get("detail") if isinstance(said, dict) else said) or ""))
    raise failure(found or unreadable(link, path, f"it is HTTP {status}"))


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
        return self.link.persist(lambda seconds: self._once(request, blob, seconds))

    def _once(self, request: RequestModel, blob: bytes, seconds: float) -> Any:
        connection, taken = self._subscribe(seconds), False
        try:
            request.session_id = self._greeting(within(seconds, lambda count: connection.recv()))
            self.note(self._post(request, blob, seconds))
            taken = True
            return self._wait(connection)
        except TooLong as error:
            raise failure(remote.too_large(self.link, "the result")) from error
        except RemoteError as error:
            raise failure(remote.said(self.link, str(error))) from error
        except websocket.WebSocketPayloadException as error:
            raise failure(unreadable(self.link, "/subscribe", "it is not text")) from error
        except (OSError, websocket.WebSocketException, httpx.HTTPError) as error:
            raise Lost(str(error) or type(error).__name__, taken) from error
        finally:
            connection.shutdown()  # type: ignore[no-untyped-call]

    def _greeting(self, message: str | bytes) -> str:
        """The name that the server gives to the websocket."""
        if not message:
            raise Lost("the connection was closed", taken=False)
        found = remote.read_table(self.link, "/subscribe", message).get("session_id")
        if not isinstance(found, str):
            raise failure(unreadable(self.link, "/subscribe", "it names no session"))
        return found

    def _subscribe(self, seconds: float) -> News:
        """The websocket that news of a request comes over."""
        try:
            return subscribe(f"{self.ws_host}/subscribe", seconds, _key(self.link))
        except websocket.WebSocketBadStatusException as error:  # its words are all headers of the reply
            _require_ok(self.link, "/subscribe", int(error.status_code or 0), error.resp_body or b"")
            raise failure(unreadable(self.link, "/subscribe", f"it is HTTP {error.status_code}")) from error
        except (OSError, websocket.WebSocketException) as error:
            raise Lost(str(error) or type(error).__name__, taken=False) from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # its reply has not the form of HTTP
            raise failure(unreadable(self.link, "/subscribe", "it opens no websocket")) from error

    def _post(self, request: RequestModel, blob: bytes, seconds: float) -> ResponseModel:
        headers = {
            "ndif-timestamp": repr(time.time()),
            "nnsight-version": version("nnsight"),
            "python-version": sys.version,
        }
        self.link.traffic.sent += len(blob)
        body = _exchange(
            self.link,
            "POST",
            "/request",
            seconds + len(blob) / SLOWEST,
            data={"data": request.metadata()},
            files={"blob": ("request", blob, "application/octet-stream")},
            headers=headers,
        )
        return self._read("/request", body.decode(errors="replace"))

    def _read(self, where: str, message: str | bytes) -> ResponseModel:
        """One piece of news. What a server sends may fail to be read in any way."""
        try:
            response: ResponseModel = self.parse(message)
        except Exception as error:
            raise failure(unreadable(self.link, where, "it is not a status message")) from error
        return response

    def _wait(self, connection: News) -> Any:
        connection.settimeout(1.0)
        heard = time.monotonic()
        while True:
            connection.until = time.monotonic() + 1.0
            try:
                message = connection.recv()
            except websocket.WebSocketTimeoutException:
                if time.monotonic() - heard > remote.PATIENCE:
                    raise failure(remote.waited(self.link, self.news)) from None
                continue
            if not message:
                raise Lost("the connection was closed", taken=True)
            heard = time.monotonic()
            response = self._read("/subscribe", message)
            result = self.handle(response)
            if response.status == Status.COMPLETED:
                if not isinstance(result, dict):
                    raise failure(unreadable(self.link, "/subscribe", "it has no result"))
                self.link.traffic.requests += 1
                return result

    def note(self, response: ResponseModel) -> bool:
        """Show what the server says of the request. Raises RemoteError when it failed."""
        if response.status == Status.LOG:
            for line in response.description.strip().splitlines():
                self.link.progress(f"the server says: {self.link.line(line)}", 0, 0)
        else:
            self.news = f"{response.status.value.lower()}: {response.description}"
            self.link.progress(f"on the server, {self.link.line(self.news)}", 0, 0)
        done: bool = super().note(response)
        return done

    def download_result(self, url: Any) -> Any:
        """What the request saved: it came with the message, or is at `url`."""
        if isinstance(url, bytes | bytearray):
            return self.finalize(bytes(url))
        if not isinstance(url, str) or not url:
            raise failure(unreadable(self.link, "/subscribe", "it has no result"))
        require_safe_result(self.link, url)
        # No redirect: it could lead to where no result would be taken from.
        status, body = exchange("GET", url, remote.REPLY, RESULT)
        if not 200 <= status < 300:  # not httpx's own words, which hold the signature of the address
            raise Lost(f"HTTP {status} where its result should be", taken=True)
        return self.finalize(body)

    def finalize(self, content: bytes) -> Any:
        """The saved values from the bytes that came back."""
        self.link.traffic.received += len(content)
        try:
            if self.compress and zstandard.frame_content_size(content) > RESULT:
                raise TooLong
            return super().finalize(content)
        except TooLong:
            raise
        except Exception as error:  # what a server sends may fail to be read in any way
            raise failure(unreadable(self.link, "/subscribe", "its result cannot be unpacked")) from error
