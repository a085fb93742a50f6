"""How long whole recipes take, against the scripts that people write for the same work.

For econ.steer, the one-liner and a sweep of 36 angles, in turns within one run:

  steerdsl            the whole plan from an empty store: extraction, answers, likelihoods, scores, all kept
  hooks, batch 16     plain PyTorch hooks round `generate`, one variant after another
  hooks, one batch    the same with the answers of all variants in one batch: the floor
  steering-vectors    the loop that its documentation shows, batch 1 (with --others)
  repeng              the same for repeng (with --others)

The hand-written scripts read the same prompts, make the same edits and the same number of answers; they score
nothing. The loops of the packages make as many answers with the edit that the package has, and read no
likelihoods; only --sample of their answers are made, and the time of these is multiplied. Opening the model is in
no figure. --prompts takes fewer prompts from each data set, --case only some of the recipes. Prints JSON, case by case.

    python benchmarks/end_to_end.py --prompts 15 --turns 3 --others others/bin/python
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from plain import Job, Work
from turns import Took, about, against, compare, timed

from steerdsl.cli.recipe import load_recipe, prepare
from steerdsl.engine.context import Run
from steerdsl.engine.operand_activations import SOURCES
from steerdsl.engine.steps import run_plan
from steerdsl.planning.plan import Plan, RunOptions
from steerdsl.store.results import Store

RECIPES = Path(__file__).parents[1] / "recipes"
SWEEP = """
dataset econ = econ with held_out: 33%
dataset generic = generic with held_out: 33%
topic = extract diffmean from econ vs generic
sweep angle over 0deg..350deg step 10deg {
    rotate plane(topic[50%], pc1) to angle
    answers = generate from econ with steer: main, max_tokens: 24
}
"""
CASES: Mapping[str, str] = {
    "econ": (RECIPES / "econ.steer").read_text(),
    "oneliner": (RECIPES / "oneliner.steer").read_text(),
    "sweep": SWEEP,
}
PLAIN, FLOOR, PACKAGES = "hooks, batch 16", "hooks, one batch", ("steering-vectors", "repeng")
SIZE = 16


def main() -> None:
    """Time every case and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=list(CASES), help="may be repeated; all of them")
    parser.add_argument("--prompts", type=int, default=15, help="held-out prompts of each data set")
    parser.add_argument("--tokens", type=int, help="the longest answer, in the place of the recipes' own")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rows", type=int, default=480, help="the most rows of the floor's batch")
    parser.add_argument("--others", metavar="PYTHON", help="an environment with steering-vectors and repeng")
    parser.add_argument("--sample", type=int, default=12, help="answers of the packages' loops that are made")
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    for case in given.case or CASES:
        plan = planned(shortened(CASES[case], given.prompts, given.tokens), given)
        print(json.dumps({case: measured(plan, given)}, indent=1), flush=True)


def shortened(recipe: str, prompts: int, tokens: int | None) -> str:
    """A recipe with fewer prompts, of which about a third is held out, and shorter answers."""
    if "dataset" not in recipe:
        recipe = "".join(f"dataset {name} = {name} with held_out: 33%\n" for name in ("econ", "generic")) + recipe
    recipe = re.sub(r"(dataset \w+ = \w+ with )", rf"\g<1>take: {3 * prompts}, ", recipe)
    recipe = re.sub(r"^plot .*$", "", recipe, flags=re.MULTILINE)
    return recipe if tokens is None else re.sub(r"max_tokens: \d+", f"max_tokens: {tokens}", recipe)


def planned(recipe: str, given: argparse.Namespace) -> Plan:
    """The plan of a recipe on the model and the device that were asked for."""
    options = RunOptions(given.model, dtype=given.dtype, device=given.device)
    return prepare(load_recipe(None, recipe, (), ()), options, fetch=True).plan


def measured(plan: Plan, given: argparse.Namespace) -> dict[str, Any]:
    """The times of one recipe in each way, and what they are to those of the hooks."""
    with tempfile.TemporaryDirectory() as folder, _packages(given.others, plan) as ask:
        first = finished(plan, Path(folder, "first"), [])
        work = Work(first)
        same = equal(first, work)  # which warms the libraries too
        runners: dict[str, Callable[[], Took]] = {
            "steerdsl": lambda: timed(_fresh(plan, first, Path(folder)), settle),
            PLAIN: lambda: timed(lambda: (work.extract(SIZE), work.one_by_one(SIZE)), settle),
            FLOOR: lambda: timed(lambda: (work.extract(given.rows), work.together(given.rows, SIZE)), settle),
        }
        for name in PACKAGES if ask is not None else ():
            runners[name] = lambda name=name: _looped(ask, name, first, work, given.sample)  # type: ignore[misc]
        found = compare(runners, given.turns)
        return {
            **about(first.session.opened, given.turns),
            "prompts": given.prompts,
            "answers": sum(job.answers for job in work.jobs),
            "answers_equal": same,
            "against": {base: against(found, base) for base in (PLAIN, FLOOR)},
        }


def finished(plan: Plan, folder: Path, opened: list[Any]) -> Run:
    """A run of the plan with a store of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(plan, Store(folder / "store"), folder, SOURCES, opened=opened)
    run_plan(run, lambda step, seconds: None)
    return run


def _fresh(plan: Plan, first: Run, folder: Path) -> Callable[[], Run]:
    place = Path(tempfile.mkdtemp(dir=folder))
    return lambda: finished(plan, place, first.opened)


def settle() -> None:
    """Wait for what a GPU still computes."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def equal(run: Run, work: Work) -> float:
    """The share of the greedy answers that hooks make too, one prompt at a time for a few of each variant."""
    from steerdsl.engine.stored_answers import answers

    same = []
    for ask, job in zip(run.asks.found.values(), work.jobs, strict=True):
        if job.temperature:
            continue
        few = Job(job.prompts[:2], job.touches, job.max_tokens, 0.0, 1, [])
        made = work.one_by_one(1, [few])[0]
        own = [list(a.token_ids) for a in answers(ask.run, ask.request)[:2]]
        same += [list(a) == b for a, b in zip(made, own, strict=True)]
    return round(sum(same) / len(same), 3)


def _looped(ask: Callable[[Any], Any], package: str, run: Run, work: Work, sample: int) -> Took:
    """The time of a package's loop: its training, and as many answers as `sample`, of all variants evenly; the time
    of the answers is that of all of them."""
    tokenizer = run.session.opened.tokenizer
    classes = [[tokenizer.decode(ids) for ids in prompts] for prompts in work.classes[:2]]
    every = [(job, ids) for job in work.jobs for ids in job.prompts]
    chosen = every[:: max(1, len(every) // sample)]
    jobs = [
        {
            **{"steered": bool(job.touches), "prompts": [tokenizer.decode(ids)]},
            **{"max_tokens": job.max_tokens, "temperature": job.temperature, "n": 1},
        }
        for job, ids in chosen
    ]
    trained = Took(*ask({"package": package, "classes": classes, "jobs": []})["took"])
    both = Took(*ask({"package": package, "classes": classes, "jobs": jobs})["took"])
    factor = sum(job.answers for job in work.jobs) / len(jobs)
    loop = Took(max(0.0, both.seconds - trained.seconds), max(0.0, both.cpu - trained.cpu)).times(factor)
    return Took(trained.seconds + loop.seconds, trained.cpu + loop.cpu)


@contextmanager
def _packages(python: str | None, plan: Plan) -> Iterator[Callable[[Any], Any] | None]:
    """Another interpreter with the packages, which answers what it is asked; None without one."""
    if python is None:
        yield None
        return
    command = [python, str(Path(__file__).with_name("others.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin and other.stdout
        stdin, stdout = other.stdin, other.stdout

        def ask(what: Any) -> Any:
            stdin.write(json.dumps(what) + "\n")
            stdin.flush()
            return json.loads(stdout.readline())

        device = "cuda" if torch.cuda.is_available() and plan.options.device != "cpu" else "cpu"
        model = str(plan.model.located.path)
        ask({"model": model, "dtype": plan.dtype, "device": device, "threads": torch.get_num_threads()})
        yield ask
        stdin.close()


if __name__ == "__main__":
    main()
