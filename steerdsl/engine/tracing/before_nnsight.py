"""What must be imported before nnsight is.

nnsight gives every object a `save`, after which anyio (of HTTP clients and servers) cannot define these classes any
more.
"""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module

for name in ("anyio.abc._sockets", "anyio.streams.tls", "anyio.streams.file"):
    with suppress(ImportError, TypeError):  # it is not here, or the program has imported nnsight itself
        import_module(name)
