"""The socket of a server, and who may reach it.

In: an address, a port, a key. Out: a place that listens, taken before a model is opened, so that a port in use costs no
time; `run` answers there until it is told to end.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError

if TYPE_CHECKING:
    import uvicorn

    from steerdsl.engine.tracing import Session
    from steerdsl.serving.served import Served

NEEDED = ("starlette", "uvicorn")
HEADERS = 100  # requests that may be open at once, for each answer that may wait


@dataclass(frozen=True, slots=True)
class Place:
    """A socket that nobody else listens on."""

    socket: socket.socket
    host: str

    @property
    def url(self) -> str:
        """Where clients find it."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{name}:{self.socket.getsockname()[1]}"

    def run(self, served: Served, session: Session, key: str | None) -> None:
        """Answer requests until a signal ends it; answers at work get a moment."""
        from steerdsl.serving.app import Server
        from steerdsl.serving.batcher import Batcher

        limits = served.limits
        batcher = Batcher(session, served.steers.run.plan.answer_rows, limits.rows, limits.waiting)
        app = Server(served, batcher, key, self.host).app()
        try:
            http_server(app, limits.waiting, batcher.close).run(sockets=[self.socket])
        finally:
            batcher.close()


def http_server(app: Any, waiting: int, end: Callable[[], None] | None = None) -> uvicorn.Server:
    """What speaks HTTP for `app`, in which at most `waiting` answers wait. `end` gives up what is still at work a
    moment after the server was told to end.

    It leaves the logging of this process as it is (`log_config`): uvicorn's own would end all handlers there are, and
    that of absl, which other packages load, closes the stream that it writes to.
    """
    import uvicorn

    from steerdsl.serving.protocol import GRACE, BoundedHead, Ending

    server = Ending(
        uvicorn.Config(
            app,
            http=BoundedHead,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_graceful_shutdown=GRACE,
            timeout_keep_alive=5,
            limit_concurrency=waiting + HEADERS,
            h11_max_incomplete_event_size=1 << 16,
        )
    )
    server.end = end
    return server


def require_serving(host: str, key: str | None) -> None:
    """Raise RecipeError R904 where the packages of a server are not installed, R905 for an address that others reach
    while there is no key."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        title = f"a server needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise RecipeError([Diagnostic("R904", title, help="run `pip install 'steerdsl[serve]'`")], Exit.USAGE)
    if key is None and not _local(host):
        title = f"other machines reach {host}, and there is no key"
        help = "give one with --api-key, or in STEERDSL_API_KEY"
        raise RecipeError([Diagnostic("R905", title, help=help)], Exit.USAGE)


@contextmanager
def listen(host: str, port: int) -> Iterator[Place]:
    """Take a port. Raises RecipeError R906 where it cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        taken = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise _not_had(host, port, error) from error
    with taken:
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((host, port))
            taken.listen(128)
        except (OSError, OverflowError) as error:
            raise _not_had(host, port, error) from error
        yield Place(taken, host)


def _local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _not_had(host: str, port: int, error: Exception) -> RecipeError:
    used = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
    reason = "another program listens there" if used else (getattr(error, "strerror", None) or str(error)).lower()
    help = "name another port with --port" if used else "name an address of this machine with --host"
    return RecipeError([Diagnostic("R906", f"{host}:{port} cannot be had: {reason}", help=help)], Exit.USAGE)
