"""How far a recipe's figures move with settings that should not matter: threads, batch size, dtype.

    python docs/gallery/variations.py recipes/econ.steer                     one factor at a time
    python docs/gallery/variations.py recipes/econ.steer --full              every combination
    python docs/gallery/variations.py recipes/econ.steer --only '*.keyword_rate.*' --keep econ --base runs/econ

The first value of each factor is the base. Each setting runs in a process of its own with an empty store, and what
it gave is kept in the folder of `--out`: the same command goes on after a stop. `--base` takes a run directory that
was made with the base's setting and an empty store, so that it is not run again. What stands behind the known
options goes to `steerdsl run`. Seeds are the recipe's; `--seed` is passed on like any other.

In: a recipe. Out: OUT/variations.json and OUT/variations.md, a table with a column for each setting and the range
over all of them; with `--keep NAME` also NAME.variations.json beside this file, for a page's `<!-- variations … -->`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import figures
import records

GOOD = (0, 4, 5)  # a claim that fails, or that the prompts do not settle, is a result too
DTYPES = {"bf16": "bfloat16", "fp16": "float16"}  # what a record calls them
Setting = Mapping[str, Any]  # threads, batch, dtype


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--batch", type=_rows, nargs="+", default=["auto", 5, 8, 16, 64], help="the most rows of a batch"
    )
    parser.add_argument("--dtype", nargs="+", default=["float32", "bf16"])
    parser.add_argument("--full", action="store_true", help="every combination of the values")
    parser.add_argument("--only", nargs="+", default=["*"], help="patterns of EVALUATION.METRIC.DATASET.VARIANT")
    parser.add_argument("--out", type=Path, help="where results are kept; runs/variations-RECIPE without it")
    parser.add_argument("--keep", metavar="NAME", help="keep the figures beside the gallery's records")
    parser.add_argument("--base", type=Path, metavar="RUN", help="a run made before with the base's setting")
    asked, more = parser.parse_known_args()
    out = asked.out or Path("runs") / f"variations-{asked.recipe.stem}"
    out.mkdir(parents=True, exist_ok=True)
    factors = {"threads": asked.threads, "batch": asked.batch, "dtype": asked.dtype}
    wanted = list(settings(factors, asked.full))
    if asked.base:
        keep_base(asked.base, asked.recipe, wanted[0], out, more)
    made: list[dict[str, Any] | None] = []
    for i, setting in enumerate(wanted, 1):
        seconds = [one["wall"] for one in made if one is not None]
        left = f" (about {sum(seconds) / len(seconds) * (len(wanted) - i + 1) / 60:.0f} min left)" if seconds else ""
        made.append(each(asked.recipe, setting, out, more, f"{i} of {len(wanted)}{left}"))
    found = [one for one in made if one is not None]
    if not found:
        return 1
    record = collected(asked.recipe, found, asked.only)
    write(out / "variations.json", record)
    (out / "variations.md").write_text(figures.variations_table(record) + "\n", encoding="utf-8")
    if asked.keep:
        write(records.path(f"{asked.keep}.variations"), record)
    print(figures.variations_table(record))
    if failed := len(made) - len(found):
        print(f"{failed} of {len(made)} settings failed; the same command tries them again", file=sys.stderr)
    return 1 if failed else 0


def _rows(text: str) -> int | str:
    """What `--batch` says: a number, or auto."""
    return text if text == "auto" else int(text)


def settings(factors: Mapping[str, Sequence[Any]], full: bool) -> Iterator[dict[str, Any]]:
    """The base, then one factor at a time away from it; or every combination."""
    if full:
        yield from (dict(zip(factors, values, strict=True)) for values in product(*factors.values()))
        return
    base = {name: values[0] for name, values in factors.items()}
    yield base
    for name, values in factors.items():
        yield from ({**base, name: value} for value in values[1:])


def each(recipe: Path, setting: Setting, out: Path, more: Sequence[str], place: str) -> dict[str, Any] | None:
    """What one setting gives: from an earlier call if it was made of the same recipe and options, else run now."""
    asked, kept = _asked(recipe, setting, more), _kept(out, setting)
    said = f"{place}: {', '.join(f'{name} {value}' for name, value in setting.items())}"
    if kept.exists():
        found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        if {key: found.get(key) for key in asked} == asked:
            print(f"{said}: kept, {found['seconds']} s", file=sys.stderr, flush=True)
            return found
    print(f"{said} …", file=sys.stderr, flush=True)
    start = time.monotonic()
    result = run(recipe, setting, more)
    if result is None:
        return None
    found = {**asked, **result, "wall": round(time.monotonic() - start)}
    write(kept, found)
    print(f"{said}: {found['wall']} s", file=sys.stderr, flush=True)
    return found


def _asked(recipe: Path, setting: Setting, more: Sequence[str]) -> dict[str, Any]:
    """What a result is of."""
    return {"setting": dict(setting), "recipe_sha256": records.essence(recipe.read_text("utf-8")), "more": list(more)}


def _kept(out: Path, setting: Setting) -> Path:
    """Where the result of a setting is kept."""
    return out / ("_".join(f"{name}-{value}" for name, value in setting.items()) + ".json")


def keep_base(folder: Path, recipe: Path, setting: Setting, out: Path, more: Sequence[str]) -> None:
    """Keep a run that was made before as the result of the base. Exits where it is of another recipe or setting,
    or took something from a store."""
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    asked = _asked(recipe, setting, more)
    found = {
        "recipe": records.essence(record["recipe"]["text"]),
        "threads": record["machine"]["threads"],
        "batch": str(record["run"]["batch_size"]),
        "dtype": record["run"]["dtype"],
        "set": record["run"]["set"],
        "model": [record["run"]["model"]] if record["run"]["model"] else [],
        "taken from the store": len(record["reused_from"]),
    }
    wanted = {
        "recipe": asked["recipe_sha256"],
        **setting,
        "dtype": DTYPES.get(setting["dtype"], setting["dtype"]),
        **{key: [b for a, b in pairwise(more) if a == f"--{key}"] for key in ("set", "model")},
        "taken from the store": 0,
    }
    wrong = [key for key, value in wanted.items() if str(found[key]) != str(value)]
    if wrong:
        raise SystemExit(f"{folder} cannot be the base: {', '.join(f'{key} is {found[key]}' for key in wrong)}")
    write(_kept(out, setting), {**asked, **_result(folder, record), "wall": round(record["seconds"])})


def run(recipe: Path, setting: Setting, more: Sequence[str]) -> dict[str, Any] | None:
    """Run a recipe in its own process, with an empty store. None when it did not end."""
    with tempfile.TemporaryDirectory() as folder:
        made, cache = Path(folder) / "run", Path(folder) / "cache"
        _empty_store(cache)
        command = [sys.executable, "-m", "steerdsl.cli.main", "run", str(recipe), "--quiet", "--out", str(made)]
        command += ["--dtype", setting["dtype"], "--batch-size", str(setting["batch"]), *more]
        own = {
            "OMP_NUM_THREADS": str(setting["threads"]),
            "STEERDSL_CACHE": str(cache),
            "PYTHONPATH": str(records.ROOT),
        }
        code = subprocess.run(command, env={**os.environ, **own}, check=False).returncode
        if code not in GOOD:
            print(f"exit code {code}", file=sys.stderr)
            return None
        record = json.loads((made / "record.json").read_text(encoding="utf-8"))
        result = _result(made, record)
    if record["machine"]["threads"] != setting["threads"]:
        print(f"it ran with {record['machine']['threads']} threads", file=sys.stderr)
        return None
    return result


def _result(made: Path, record: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of the run in `made`."""
    scores = json.loads((made / "scores.json").read_text(encoding="utf-8"))
    return {
        "model": Path(record["model"]["id"]).name,
        "device": record["run"]["device"],
        "packages": record["packages"],
        "seconds": round(record["seconds"]),
        "figures": dict(flat(scores)),
        "claims": {check["claim"]: check["holds"] for check in record["checks"]},
    }


def _empty_store(cache: Path) -> None:
    """A cache with the models of the usual one, so that none is fetched again, and nothing computed."""
    from steerdsl.models.cache import cache_root

    cache.mkdir()
    usual = cache_root()
    for entry in usual.iterdir() if usual.exists() else ():
        if entry.name != "store":
            (cache / entry.name).symlink_to(entry.resolve(), target_is_directory=entry.is_dir())


def flat(scores: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """EVALUATION.METRIC.DATASET.VARIANT (of a sweep: EVALUATION@POINT) and its figures; the steer's differences
    from another variant under `… − OTHER`."""
    for evaluation, score in scores.items():
        tables = {evaluation: score}
        if "points" in score:
            at = [" ".join(map(str, point["at"].values())) for point in score["points"]]
            tables = {f"{evaluation}@{a}": point["scores"] for a, point in zip(at, score["points"], strict=True)}
        for name, table in tables.items():
            for metric, by_data in table.items():
                for data, by_variant in by_data.items():
                    for variant, found in by_variant.items():
                        label = f"{name}.{metric}.{data}.{variant}"
                        yield label, {key: found[key] for key in ("mean", "low", "high", "n")}
                        for other, against in found.get("against", {}).items():
                            kept = {key: against[key] for key in ("low", "high", "p_holm")}
                            yield f"{label} − {other}", {"mean": against["difference"], **kept}


def collected(recipe: Path, found: Sequence[Mapping[str, Any]], only: Sequence[str]) -> dict[str, Any]:
    """One record of all settings: for each figure, lists with an item for each setting."""
    first = found[0]
    labels = [label for label in first["figures"] if any(fnmatchcase(label, pattern) for pattern in only)]
    if not labels:
        raise SystemExit(
            f"no figure of {recipe.name} fits {' '.join(only)}; the first is {next(iter(first['figures']))}"
        )
    return {
        "recipe": recipe.stem,
        "recipe_sha256": first["recipe_sha256"],
        "options": first["more"],
        "model": first["model"],
        "device": first["device"],
        "packages": first["packages"],
        "settings": [one["setting"] for one in found],
        "seconds": [one["seconds"] for one in found],
        "figures": {
            label: {
                key: [records.rounded(one["figures"].get(label, {}).get(key)) for one in found]
                for key in first["figures"][label]
            }
            for label in labels
        },
        "claims": {claim: [one["claims"].get(claim) for one in found] for claim in first["claims"]},
    }


def write(path: Path, value: Any) -> None:
    """JSON, whole or not at all."""
    part = path.with_name(path.name + ".partial")
    part.write_text(figures.compact(json.dumps(value, indent=1, ensure_ascii=False)) + "\n", encoding="utf-8")
    part.replace(path)


if __name__ == "__main__":
    sys.exit(main())
