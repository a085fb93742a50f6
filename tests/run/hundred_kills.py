"""Run a recipe again and again, kill -9 at random moments, and hold what is left to an undisturbed run.

`python tests/run/hundred_kills.py --kills 100 --seed 0` says what it found and exits 0, or 1 with the first
thing that is wrong. Every attempt is the same `steerdsl run` in a process of its own, forked from this one
once the imports are done. Every other one is killed after a random part of the time that an undisturbed run
takes, the others at one of the moments in which they open, rename or remove a file. An attempt that comes to
its end is compared, and the next starts with an empty store.

What must hold: the store is whole after every kill; no result that it had is made again; and the end is
equal, byte for byte, to an undisturbed run's, the record but for times.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

# Threads do not survive a fork, and one is enough.
os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
RECIPE = """
dataset a = econ with take: 8, seed: 1
dataset b = generic with take: 8, seed: 1

topic = extract diffmean from a vs b at mean_content
best = select layers of topic by fisher keep top 2
turn = plane(topic[1], pc1)

steer less {
    ablate topic at layers best
}
out = generate from b with steer: less, max_tokens: 4, temperature: 0.7, n: 2, seed: 3
scores = evaluate less on a with bleu, kl, controls: random, max_tokens: 4
sweep angle over 0deg,90deg {
    rotate turn by angle at layer 1
    swept = evaluate main on a with distinct_1, controls: none, max_tokens: 3
}

check scores.kl.a >= 0
export topic to "topic.safetensors"
"""
IMPORTS = """
matplotlib.pyplot nnsight numpy rich.progress sacrebleu safetensors.torch scipy.stats sklearn.metrics
transformers.models.llama.modeling_llama torch typer
steerdsl.cli.run steerdsl.engine.steps steerdsl.engine.tracing steerdsl.models.opened
steerdsl.planning.planner steerdsl.running.finish steerdsl.running.record steerdsl.show.drawing
"""
TOUCHES = {"open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.utime", "os.listdir", "os.scandir"}
TIMES = 12  # about so often does a run touch files for one result


class Wrong(Exception):
    """Something that must hold does not."""


Alone: TypeAlias = tuple[dict[str, bytes], float, set[str]]  # what a run left, its seconds, its results' keys


@dataclass(slots=True)
class Place:
    """A folder with the recipe and the model; `cache` and `out` are those of the attempts."""

    root: Path
    cache: str = "cache"
    out: str = "out"

    def start(self, last: int = 0) -> int:
        """Fork a process that is `steerdsl run` here, and that kills itself before it touches a file for
        the `last` time (0: never); returns its id."""
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            _die_before(last, str(self.root))
            code = self._run()
        finally:
            os._exit(code)

    def _run(self) -> int:
        from steerdsl.cli.main import main

        os.chdir(self.root)
        log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(os.dup2(log, 1), 2)
        os.environ["STEERDSL_CACHE"] = str(self.root / self.cache)
        _note_work(self.root / "again")
        words = ["run", "recipe.steer", "--model", "model", "--out", self.out, "--batch-size", "4", "--quiet"]
        sys.argv = ["steerdsl", *words, "--dtype", "float32", "--device", "cpu"]
        try:
            main()
        except SystemExit as end:
            sys.stderr.flush()
            return end.code if isinstance(end.code, int) else int(end.code is not None)
        return 0

    def store(self) -> Path:
        return self.root / self.cache / "store"

    def made(self) -> set[str]:
        """The keys in the store."""
        return {folder.name for folder in self.store().glob("*/[!.]*")}

    def ended(self, pid: int, within: float = 120) -> bool:
        """Wait so long for a process, then kill it; whether it came to its end."""
        end = time.monotonic() + within
        done, status = os.waitpid(pid, os.WNOHANG)
        while not done and time.monotonic() < end:
            time.sleep(0.002)
            done, status = os.waitpid(pid, os.WNOHANG)
        if not done:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            return False
        if status:
            raise Wrong(f"a run ended with {status}:\n{(self.root / 'log').read_text()}")
        return True


def _note_work(path: Path) -> None:
    """Write down every result that is made though the store has it."""
    from steerdsl.store.results import Store

    save = Store.save

    def noted(self: Store, key: str, about: Any, *others: Any) -> Any:
        if self.has(key):
            with path.open("a") as f:
                f.write(f"{about.get('kind')} {key}\n")
        return save(self, key, about, *others)

    Store.save = noted  # type: ignore[method-assign]


def _die_before(last: int, root: str) -> None:
    """Kill this process before the `last` time that it touches a file below `root`."""
    touched = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal touched
        if event in TOUCHES and str(arguments[0]).startswith(root):
            touched += 1
            if touched == last:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def prepare(root: Path) -> Place:
    """Import what a run needs, and make the recipe and its model."""
    from importlib import import_module

    for name in IMPORTS.split():
        import_module(name)
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    root.mkdir(parents=True, exist_ok=True)
    if os.fork() == 0:  # so that this process has used no model when it forks
        from tiny import tiny_folder

        tiny_folder(root / "model", num_hidden_layers=2)
        os._exit(0)
    os.wait()
    (root / "recipe.steer").write_text(RECIPE)
    return Place(root)


def result(folder: Path) -> dict[str, bytes]:
    """What a run left, the record without its times, and without the report, which shows them."""
    found = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    found.pop("report.html", None)
    record = json.loads(found["record.json"])
    del record["started"]
    for times in (record, *record["timings"]):
        del times["seconds"]
    return {**found, "record.json": json.dumps(record, sort_keys=True, indent=1).encode()}


def compare(wanted: dict[str, bytes], found: dict[str, bytes]) -> None:
    """Raise Wrong for the first file that differs."""
    if wanted.keys() != found.keys():
        raise Wrong(f"files differ: {sorted(wanted.keys() ^ found.keys())}")
    for name, content in wanted.items():
        if content != found[name]:
            lines = zip(content.splitlines(), found[name].splitlines(), strict=False)
            first = next(((a, b) for a, b in lines if a != b), ("", ""))
            raise Wrong(f"{name} differs: {first[0]!r} and {first[1]!r}")


def undisturbed(place: Place) -> Alone:
    """One run that nobody kills."""
    alone = Place(place.root, "undisturbed-cache", "undisturbed")
    start = time.monotonic()
    if not alone.ended(alone.start()):
        raise Wrong("the undisturbed run takes more than two minutes")
    return result(place.root / "undisturbed"), time.monotonic() - start, alone.made()


def check_store(place: Place, before: set[str]) -> set[str]:
    """Every result is whole, and none of those before is lost. Returns the keys that are there now."""
    from steerdsl.store.maintenance import damages

    if found := [f"{d.path.name} {d.what}" for _, d in damages(place.store())]:
        raise Wrong(f"damaged: {found}")
    made = place.made()
    if lost := before - made:
        raise Wrong(f"lost: {sorted(lost)}")
    return made


def kill(place: Place, alone: Alone, kills: int, seed: int) -> str:
    """The trial. Raises Wrong."""
    began, chance = time.monotonic(), random.Random(seed)
    killed = ended = torn = 0
    while killed < kills or not ended:
        counts = to_the_end(place, alone, chance, kills - killed)
        killed, torn, ended = killed + counts[0], torn + counts[1], ended + 1
        compare(alone[0], result(place.root / place.out))
        for folder in (place.root / place.cache, *place.root.glob(f"{place.out}*")):
            shutil.rmtree(folder)
    if (again := place.root / "again").exists():
        raise Wrong(f"made again though the store had it: {again.read_text()}")
    return (
        f"{killed} kills, {ended} runs that came to their end, {len(alone[2])} results a run, an undisturbed run takes "
        f"{alone[1]:.1f} s, {torn} times a folder half written, {time.monotonic() - began:.0f} s in all: "
        "every end equal\n"
    )


def to_the_end(place: Place, alone: Alone, chance: random.Random, kills: int) -> tuple[int, int]:
    """Start the run until it comes to its end, and kill it until then, at most so many times. Returns how
    often it was killed, and how often that left something half written in the store."""
    from steerdsl.store.maintenance import leftovers

    _, length, keys = alone
    killed = torn = 0
    before: set[str] = set()
    while True:
        if killed >= kills:
            done = place.ended(place.start())
        elif chance.random() < 0.5:
            done = place.ended(place.start(), within=chance.uniform(0, length))
        else:
            done = place.ended(place.start(chance.randint(1, TIMES * len(keys))))
        # What an undisturbed run does not leave in the store is removed there once it was used.
        before = check_store(place, before) & keys
        if done and (left := list(place.root.glob(f"{place.out}.*"))):
            raise Wrong(f"left behind: {left}")
        if not done:
            killed += 1
            torn += len(leftovers(place.store()))
        if (place.root / place.out).exists():  # it may be killed when it has done all and says so
            return killed, torn


def together(place: Place, alone: Alone) -> str:
    """Two runs of the same recipe at once with one store."""
    pair = [Place(place.root, "shared-cache", f"shared-{i}") for i in range(2)]
    pids = [one.start() for one in pair]
    for one, pid in zip(pair, pids, strict=True):
        if not one.ended(pid):
            raise Wrong("a run takes more than two minutes")
    check_store(pair[0], set())
    for one in pair:
        compare(alone[0], result(place.root / one.out))
    return "two runs at once with one store: both equal\n"


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    given.add_argument("--kills", type=int, default=100)
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--together", action="store_true", help="also, two runs at once with one store")
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            place = prepare(Path(folder))
            alone = undisturbed(place)
            said = kill(place, alone, options.kills, options.seed)
            if options.together:
                said += together(place, alone)
        except Wrong as error:
            sys.stderr.write(f"{error}\n")
            return 1
    sys.stdout.write(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
