"""The one form of a pack's bytes: a zip whose members are stored, in order, with no dates and no extras.

In: names and bytes. Out: the zip; the same members give the same bytes with every version of Python,
and a zip of other bytes is not a pack, so that no two programs can read one differently.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_VERSION = 20
_UNIX = 3 << 8
_UTF8 = 0x800
_MODE = 0o100644 << 16
_DATE = 0x21  # 1 January 1980, the first day that a zip knows


def zip_bytes(members: Mapping[str, bytes]) -> bytes:
    """A zip of `members` in their order. Format: PKWARE's APPNOTE 6.3, sections 4.3.7 to 4.3.16."""
    body, index, offset = list[bytes](), list[bytes](), 0
    for name, data in members.items():
        raw, crc, size = name.encode(), zlib.crc32(data), len(data)
        head = _LOCAL.pack(0x04034B50, _VERSION, _UTF8, 0, 0, _DATE, crc, size, size, len(raw), 0) + raw
        facts = (_UTF8, 0, 0, _DATE, crc, size, size, len(raw), 0, 0, 0, 0, _MODE, offset)
        index.append(_CENTRAL.pack(0x02014B50, _UNIX | _VERSION, _VERSION, *facts) + raw)
        body += [head, data]
        offset += len(head) + size
    central = b"".join(index)
    end = _END.pack(0x06054B50, 0, 0, len(index), len(index), len(central), offset, 0)
    return b"".join([*body, central, end])
