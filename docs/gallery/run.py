"""Run the gallery, or some of it, and keep its records and pictures.

    python docs/gallery/run.py                          every run that needs the default model alone
    python docs/gallery/run.py refusal rotation_refusal --model DIR --tag qwen
    python docs/gallery/run.py slides_judged --judge-url URL --judge-model NAME

In: recipes/*.steer. Out: NAME.json (NAME.TAG.json) here, pictures in docs/images, and the pages' tables.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import figures
from records import ELSEWHERE, ROOT, RUNS, path, small

LARGEST = 80_000  # bytes of a picture
GOOD = (0, 4, 5)  # a claim that fails, or that the prompts do not settle, is a result too


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="runs; without any, all that need the default model alone")
    parser.add_argument("--model", help="another model: a hub id or a folder")
    parser.add_argument("--tag", help="what the records of another model are called by")
    parser.add_argument("--keep", type=Path, help="a folder for the run directories; without it they are removed")
    asked, more = parser.parse_known_args()  # the rest goes to `steerdsl run`
    if unknown := set(asked.names) - RUNS.keys():
        parser.error(f"there is no run {', '.join(sorted(unknown))}")
    if bool(asked.model) != bool(asked.tag):
        parser.error("--model and --tag go together")
    names = asked.names or [name for name, run in RUNS.items() if not run.needs]
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if not run_one(name, asked.keep or Path(folder), asked.model, asked.tag, more):
                failed.append(name)
    figures.fill_pages()
    print(f"{len(names) - len(failed)} of {len(names)} runs kept", *failed)
    return 1 if failed else 0


def run_one(name: str, folder: Path, model: str | None, tag: str | None, more: Sequence[str]) -> bool:
    """Run one recipe in a process of its own and keep its record. False when it did not end."""
    run = RUNS[name]
    sets = (*run.sets, *(ELSEWHERE.get(name, ()) if model else ()))
    full = f"{name}.{tag}" if tag else name
    out = folder / full
    command = [sys.executable, "-m", "steerdsl.cli.main", "run", f"recipes/{run.recipe}.steer", "--quiet"]
    command += ["--out", str(out), "--force", *(word for item in sets for word in ("--set", item)), *more]
    command += ["--model", model] if model else []
    print(full, flush=True)
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    if done.returncode not in GOOD:
        print(f"{full}: exit code {done.returncode}", file=sys.stderr)
        return False
    record = json.dumps(small(full, out), indent=1, ensure_ascii=False)
    path(full).write_text(figures.compact(record) + "\n", encoding="utf-8")
    for picture in run.pictures:
        keep_picture(out / picture, figures.image(full, picture))
    return True


def keep_picture(made: Path, kept: Path) -> None:
    """Copy a picture, in as many colours as leave it small."""
    from PIL import Image

    with Image.open(made) as image:
        plain = image.convert("RGB")
        for colors in (128, 32, 16):
            plain.quantize(colors).save(kept, optimize=True)
            if kept.stat().st_size <= LARGEST:
                return
    raise SystemExit(f"{made.name} has more than {LARGEST} bytes")


if __name__ == "__main__":
    sys.exit(main())
