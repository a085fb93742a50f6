"""`steerdsl store`: what the store of results holds, how large it is, pruning and verifying it.

In: `list`, `size`, `prune` or `verify`, and options. Out: tables or JSON; exit code 4 when `verify`
finds damage and leaves it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steerdsl.cli import options as o
from steerdsl.lang.diagnostics import Exit
from steerdsl.models.cache import cache_root, size_text
from steerdsl.planning.formatting import count
from steerdsl.show.door import json_text

if TYPE_CHECKING:
    from steerdsl.store.maintenance import Stored

UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
SPANS = {"m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
TAKES: Mapping[str, frozenset[str]] = {
    "list": frozenset({"--kind"}),
    "size": frozenset(),
    "prune": frozenset({"--older-than", "--max-size", "--all", "--kind", "--dry-run"}),
    "verify": frozenset({"--repair"}),
}


def store(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="list, size, prune or verify")] = "list",
    older_than: Annotated[
        str | None, typer.Option(help="prune results not used for this long: 12h, 30d, 8w", metavar="TIME")
    ] = None,
    max_size: Annotated[
        str | None, typer.Option(help="prune the least recently used down to this size: 500MB, 2GB", metavar="SIZE")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="prune every result")] = False,
    kind: Annotated[
        list[str], typer.Option(help="list or prune only results of this kind: vector, answers, …", metavar="KIND")
    ] = [],  # noqa: B006  (typer's way to say a repeatable option)
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be pruned, but keep it")] = False,
    repair: Annotated[bool, typer.Option("--repair", help="remove results that `verify` finds damaged")] = False,
    as_json: o.Json = False,
) -> None:
    """List, measure, prune or verify the stored results that runs reuse.

    Every result can be computed again, so pruning loses nothing but time. All of this is safe while runs
    use the store. The exit code of `verify` is 4 if something is damaged and not repaired.

    \b
    Example:
      steerdsl store
      steerdsl store prune --older-than 30d --max-size 2GB
      steerdsl store verify --repair
    """
    given = {
        "--older-than": older_than is not None,
        "--max-size": max_size is not None,
        "--all": everything,
        "--kind": bool(kind),
        "--dry-run": dry_run,
        "--repair": repair,
    }
    _refuse(what, {name for name, there in given.items() if there})
    root = cache_root() / "store"
    match what:
        case "list":
            _list(root, kind, as_json)
        case "size":
            _size(root, as_json)
        case "prune":
            age = None if older_than is None else seconds(older_than)
            limit = None if max_size is None else size_bytes(max_size)
            _prune(root, age, limit, everything, kind, dry_run, as_json)
        case _:
            _verify(root, repair, as_json)


def _refuse(what: str, given: set[str]) -> None:
    """Raise typer.BadParameter for a command or an option that says nothing."""
    if what not in TAKES:
        raise typer.BadParameter(f"`{what}` is not a store command; use list, size, prune or verify")
    if others := sorted(given - TAKES[what]):
        raise typer.BadParameter(f"`store {what}` has no {others[0]}")
    if what == "prune" and not given & {"--older-than", "--max-size", "--all"}:
        raise typer.BadParameter("say what to prune: --older-than 30d, --max-size 2GB or --all")


def seconds(text: str) -> float:
    """`30d` as seconds. Raises typer.BadParameter."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"`{text}` is not a duration; try 90m, 12h, 30d or 8w")
    return float(found[1]) * SPANS[found[2]]


def size_bytes(text: str) -> int:
    """`2GB` as bytes, in powers of 1000. Raises typer.BadParameter."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]b)", text.strip().lower())
    if found is None:
        raise typer.BadParameter(f"`{text}` is not a size; try 500MB or 2GB")
    return int(float(found[1]) * UNITS[found[2]])


def _list(root: Path, kinds: Sequence[str], as_json: bool) -> None:
    from steerdsl.store.maintenance import stored

    found = [s for s in stored(root) if not kinds or s.kind in kinds]
    if as_json:
        print(json_text([_row(s) for s in found], indent=2))
        return
    if not found:
        print("the store is empty" if not kinds else "the store has nothing of this kind")
        return
    from steerdsl.show.terminal import Terminal

    Terminal().print(_table(found))
    print(f"{count(len(found), 'result')}, {size_text(sum(s.bytes for s in found))} in {root}")


def _table(found: Sequence[Stored]) -> Any:
    """A line for each result."""
    from steerdsl.show.sheet import Sheet

    now = time.time()
    rows = []
    for s in found:
        of = ", ".join(str(value) for value in s.about.values())
        rows.append((s.kind, of, _ago(now - s.made), _ago(now - s.used), size_text(s.bytes), s.key[:12]))
    return Sheet(("kind", "of", "made", "used", "size", "key"), rows, prose=(1,), left=(0, 5))


def _row(s: Stored) -> dict[str, Any]:
    from datetime import UTC, datetime

    times = {"made": s.made, "used": s.used}
    stamps = {name: datetime.fromtimestamp(t, UTC).isoformat(timespec="seconds") for name, t in times.items()}
    return {"key": s.key, "kind": s.kind, "about": dict(s.about), "bytes": s.bytes, **stamps, "path": str(s.folder)}


def _size(root: Path, as_json: bool) -> None:
    from steerdsl.store.maintenance import stored

    kinds: dict[str, list[int]] = {}
    for s in stored(root):
        kinds.setdefault(s.kind, []).append(s.bytes)
    total, results = sum(map(sum, kinds.values())), sum(map(len, kinds.values()))
    if as_json:
        each = {kind: {"results": len(sizes), "bytes": sum(sizes)} for kind, sizes in sorted(kinds.items())}
        print(json_text({"path": str(root), "results": results, "bytes": total, "kinds": each}, indent=2))
        return
    for kind, sizes in sorted(kinds.items(), key=lambda item: -sum(item[1])):
        print(f"{size_text(sum(sizes)):>10}  {kind} ({len(sizes)})")
    print(f"{size_text(total):>10}  {count(results, 'result')} in {root}")


def _prune(
    root: Path, age: float | None, limit: int | None, everything: bool, kinds: Sequence[str], dry: bool, as_json: bool
) -> None:
    from steerdsl.store.maintenance import outdated, prune, stored, tidy

    found = stored(root)
    chosen = outdated(found, now=time.time(), older_than=age, max_size=limit, everything=everything, kinds=kinds)
    if not dry:
        chosen = prune(chosen)
        tidy(root)
    freed = sum(s.bytes for s in chosen)
    kept = sum(s.bytes for s in found) - freed
    if as_json:
        rows = [_row(s) for s in chosen]
        print(json_text({"dry_run": dry, "pruned": rows, "bytes": freed, "kept_bytes": kept}, indent=2))
        return
    if dry and chosen:
        from steerdsl.show.terminal import Terminal

        Terminal().print(_table(chosen))
    said = "would prune" if dry else "pruned"
    print(f"{said} {count(len(chosen), 'result')}, {size_text(freed)}; {size_text(kept)} left")


def _verify(root: Path, repair: bool, as_json: bool) -> None:
    from steerdsl.store.folder_locks import discard
    from steerdsl.store.maintenance import damages, stored, tidy

    damaged = list(damages(root))
    left = tidy(root)
    gone = {s.key for s, _ in damaged if repair and discard(s.folder)}
    kept = len(damaged) - len(gone)
    whole = len(stored(root)) - kept
    if as_json:
        rows = [{**_row(s), "file": d.path.name, "damage": d.what, "removed": s.key in gone} for s, d in damaged]
        print(json_text({"whole": whole, "damaged": rows, "repaired": repair, "leftovers": len(left)}, indent=2))
    else:
        for s, d in damaged:
            done = ", removed" if s.key in gone else ", and cannot be removed" if repair else ""
            print(f"damaged{done}: {s.kind} {s.key[:12]}: {d.path.name} {d.what}")
        if left:
            print(f"removed {count(len(left), 'folder')} of stopped runs")
        print(f"{count(whole, 'whole result')}, {len(damaged)} damaged")
        if kept and not repair:
            print("`steerdsl store verify --repair` removes what is damaged; a run makes it again")
        elif kept:
            print(f"the store in {root} cannot be changed: make it writable, or remove these results by hand")
    if kept:
        raise typer.Exit(Exit.DIFFERS)


def _ago(span: float) -> str:
    """A time span in its largest unit: `3 d`."""
    for unit in ("w", "d", "h", "m"):
        if span >= SPANS[unit]:
            return f"{span / SPANS[unit]:.0f} {unit} ago"
    return "now"
