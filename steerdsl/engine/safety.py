"""Which addresses a key is sent to and a result is taken from.

In: `--host`, NDIF_HOST, `--judge-url`, and the address that a server gives of its result. Out: the address, or
RecipeErrors R827, R828 and R897.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import urlsplit

from steerdsl.engine.remote import Link, failure
from steerdsl.lang.diagnostics import Diagnostic, Exit


def require_safe(host: str, insecure: bool) -> str:
    """The address of a server, without a slash at its end.

    Raises RecipeError R828 for what is not an address or holds a name or a key, R827 for one to which the
    key and the prompts would travel in the clear: http, unless it is this machine or `insecure` says
    that it is known.
    """
    if "@" in host:
        # Addresses are printed and recorded; this one is not printed here either.
        title = "the address of the server has a user name, a password or a key in it"
        raise failure(
            Diagnostic("R828", title, help="leave out all up to the `@`; a key goes into NDIF_API_KEY"), Exit.USAGE
        )
    scheme, name, _ = _address(host)
    if not name:
        way_out = "write it as https://HOST, or http://127.0.0.1:PORT for a server on this machine"
        raise failure(Diagnostic("R828", f"`{host}` is not a server address", help=way_out), Exit.USAGE)
    if not _encrypted(scheme, name) and not insecure:
        title = f"{host} is not encrypted: the key, the prompts and the results would travel in the clear"
        raise failure(
            Diagnostic("R827", title, help="use its https address, or add --insecure if you accept it"), Exit.USAGE
        )
    return host.rstrip("/")


def require_safe_result(link: Link, url: str) -> None:
    """Raise RecipeError R827 or R828 for a result at an address where `require_safe` would accept no server:
    it is unpickled, so whoever could change it on its way could run code here."""
    scheme, name, shown = _address(url)
    if not name:
        raise failure(Diagnostic("R828", f"the server at {link.host} gave no address for its result"))
    if not _encrypted(scheme, name) and not link.insecure:
        title = f"the server at {link.host} has put its result at {shown}, which is not encrypted"
        note = "results are unpickled: whoever changes one on its way can run code on this machine"
        raise failure(Diagnostic("R827", title, (), (note,), "add --insecure if you accept it"))


def require_safe_judge(url: str, key: str | None) -> None:
    """Raise RecipeError R897 for a judge without a valid address, or to which a key would travel in the clear:
    that of the variable `key`, where one is set, or a password in the address."""
    scheme, name, shown = _address(url)
    if not name:
        way_out = "write it as https://HOST, or http://127.0.0.1:PORT for a judge on this machine"
        raise failure(Diagnostic("R897", "`--judge-url` is not the address of a judge", help=way_out), Exit.USAGE)
    secret = key or ("the address" if "@" in url else None)
    if secret and not _encrypted(scheme, name):
        title = f"the judge at {shown} is not encrypted: the key in {secret} would travel in the clear"
        way_out = f"use its https address, or {'unset ' + key if key else 'leave out all up to the `@`'}"
        raise failure(Diagnostic("R897", title, help=way_out), Exit.USAGE)


def _address(url: str) -> tuple[str, str, str]:
    """Scheme, host, and both with the port, as they may be shown: what follows may be a signature. The
    host of anything but a web address is empty."""
    try:
        parts = urlsplit(url)
        name, port = parts.hostname or "", parts.port
    except ValueError:
        return "", "", ""
    if parts.scheme not in ("http", "https") or not url.isprintable():
        return "", "", ""
    return parts.scheme, name, f"{parts.scheme}://{name}" + (f":{port}" if port else "")


def _encrypted(scheme: str, name: str) -> bool:
    """Whether what goes there is encrypted, or does not leave this machine."""
    return scheme == "https" or _loopback(name)


def _loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def early_check(host: str | None, insecure: bool) -> None:
    """Check the address that is known before nnsight's own settings are read. Raises as `require_safe`."""
    known = host or os.environ.get("NDIF_HOST")
    if known:
        require_safe(known, insecure)
