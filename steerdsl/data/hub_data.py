"""Data sets from the model hub, by the `datasets` package where it is installed.

In: a `DataSpec` of kind "hub". Out: a `RawTable` whose places are rows, or the fault. Code that comes
with a data set is never run: from version 4 on the package refuses such data sets.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

from steerdsl.data.faults import Fault
from steerdsl.data.types import MOST_ROWS, RawRow, RawTable, too_many
from steerdsl.lang.recipe import DataSpec

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FIRST_WITHOUT_SCRIPTS = 4


def fetch(spec: DataSpec, offline: bool) -> tuple[RawTable, list[Fault]]:
    """Download a data set, or take it from the hub's cache (only that, when `offline`).

    Faults: D505 no rows, D515 the package is missing, D516 the data set could not be loaded, D530 too many rows.
    """
    fault = _refusal(spec.source)
    if fault:
        return RawTable(spec.source, (), "row"), [fault]
    import datasets  # type: ignore[import-not-found,unused-ignore]

    datasets.disable_progress_bars()
    try:
        with _network(datasets.config, offline):
            split, revision = spec.hub_split or "train", spec.revision
            found = datasets.load_dataset(spec.source, name=spec.subset, split=split, revision=revision)
        if len(found) > MOST_ROWS:
            return RawTable(spec.source, (), "row"), [too_many(spec.source, "rows", MOST_ROWS)]
        records = tuple(RawRow(number, dict(row)) for number, row in enumerate(found, 1))
    # The package raises many kinds of error (its own, the hub's, pyarrow's): each means no data.
    except Exception as error:
        return RawTable(spec.source, (), "row"), [_unreachable(spec.source, error, offline)]
    faults = [] if records else [Fault("D505", f"{spec.source} holds no rows", "a data set needs at least one row")]
    return RawTable(spec.source, records, "row"), faults


def digest(table: RawTable) -> str:
    """SHA-256 of the rows as JSON lines with sorted keys."""
    lines = (json.dumps(record.fields, sort_keys=True, default=str) for record in table.records)
    return sha256("\n".join(lines).encode()).hexdigest()


@contextmanager
def _network(config: Any, offline: bool) -> Iterator[None]:
    """Keep the package from the network while a cached data set is read; it has no argument for that."""
    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before


def _refusal(source: str) -> Fault | None:
    if not _ID.fullmatch(source):
        return Fault("D516", f"{source} is not the name of a data set on the hub", "write it as owner/name")
    # The package prefers a folder to the hub, and a folder would escape the rule for paths. (Path.exists raises
    # for a name that is too long; os.path.exists answers.)
    if os.path.exists(source):
        help = f'write "{source}/FILE" for a file in it, or run from another folder for the hub'
        return Fault("D516", f"{source} is a folder here as well as a name on the hub", help)
    if _installed() < _FIRST_WITHOUT_SCRIPTS:
        help = "pip install 'steerdsl[hub-data]', or save the data set as a jsonl file"
        return Fault("D515", f"reading {source} from the hub needs the package datasets, version 4 or later", help)
    return None


def _installed() -> int:
    """The first number of the package's version; 0 when it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # late, since it is slow to import

    try:
        return int(version("datasets").partition(".")[0])
    except PackageNotFoundError:
        return 0


def _unreachable(source: str, error: Exception, offline: bool) -> Fault:
    reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    help = "check the name, the subset, the split, the revision and the network"
    if offline:
        help = "run once without --offline"
    return Fault("D516", f"the data set {source} could not be loaded: {reason}", help)
