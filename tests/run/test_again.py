"""A run that has been made is taken whole from the store, exactly while nothing that it depends on has changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calling import Call
from tiny import tiny_folder

import steerdsl as package
from steerdsl import pipeline
from steerdsl.store import surroundings

RECIPE = """
dataset d = "d.txt" with held_out: 0%
param strength = 1
topic = extract diffmean from econ vs generic at mean_content
best = select layers of topic by dispersion
steer more {
    add topic[best] by strength everywhere
}
out = generate from d with steer: more, max_tokens: 3
plot scores(s.keyword_rate)
plot pca(topic) to "p.svg"
s = evaluate more on d with keyword_rate("econ"), distinct_1, max_tokens: 3, draws: 1
check s.keyword_rate.d >= baseline - 100
export topic to "topic.safetensors"
"""
OPTIONS = ("--model", "model", "--dtype", "float32", "--device", "cpu")
# What two runs of the same recipe may say differently.
OF_THIS_TIME = ("started", "seconds", "timings")


@pytest.fixture
def made(steerdsl: Call, monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """`made(OUT, WORDS…)` runs the recipe and says whether anything was planned and run for it."""
    tiny_folder(Path("model"))
    Path("d.txt").write_text("How does inflation work?\nHi there.\n")
    Path("a.steer").write_text(RECIPE.replace("plot scores(s.keyword_rate)\n", ""))
    began: list[object] = []
    plan_to_run = pipeline.plan_to_run

    def counted(*given: Any, **options: Any) -> object:
        began.append(given)
        return plan_to_run(*given, **options)

    monkeypatch.setattr(pipeline, "plan_to_run", counted)

    def make(out: str, *words: str) -> bool:
        before = len(began)
        code, _, err = steerdsl("run", "a.steer", *OPTIONS, "--out", out, *words)
        assert code in (0, 5), err
        return len(began) > before

    return make


def files(run: str) -> dict[str, bytes]:
    paths = (path for path in sorted(Path(run).rglob("*")) if path.is_file())
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in paths if path.name != "report.html"}


def record(run: str) -> dict[str, object]:
    found = json.loads(Path(run, "record.json").read_text())
    return {name: value for name, value in found.items() if name not in OF_THIS_TIME}


def results() -> list[Path]:
    return sorted(path.parent for path in Path("../cache/store").glob("*/*/meta.json"))


def kind(result: Path) -> str:
    return str(json.loads((result / "meta.json").read_text())["kind"])


def test_the_same_again_loads_no_library_and_leaves_the_same(made: Callable[..., bool]) -> None:
    assert made("first")
    words = ["run", "a.steer", *OPTIONS, "--out", "again"]
    program = (
        f"import sys\nfrom steerdsl.cli.main import main\nsys.argv = {['steerdsl', *words]!r}\n"
        "try:\n    main()\nexcept SystemExit as left:\n    assert not left.code, left.code\n"
        "heavy = {'torch', 'numpy', 'transformers', 'nnsight', 'sklearn', 'matplotlib', 'sacrebleu'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "extract topic: in the store already" in done.stderr
    first, again = files("first"), files("again")
    assert {*first} == {*again} and "p.svg" in first and "topic.safetensors" in first
    assert all(first[name] == again[name] for name in first if name != "record.json")
    assert record("first") == record("again")
    assert (Path("again") / "report.html").is_file()


def test_python_takes_the_run_of_the_command_and_loads_no_library(made: Callable[..., bool]) -> None:
    """The same recipe under the same options is the same run, whoever asks for it."""
    assert made("first")
    program = (
        "import sys, steerdsl\n"
        "found = steerdsl.run('a.steer', model='model', dtype='float32', device='cpu', out='again')\n"
        "heavy = {'torch', 'numpy', 'transformers', 'nnsight', 'sklearn', 'matplotlib', 'sacrebleu'}\n"
        "print(found.state, sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout == f"{record('first')['state']} []\n"
    assert files("first").keys() == files("again").keys() and record("first") == record("again")


def test_the_command_takes_the_run_of_python(made: Callable[..., bool]) -> None:
    package.run("a.steer", model="model", dtype="float32", device="cpu", out="first")
    assert not made("again") and record("first") == record("again")
    assert made("other", "--seed", "3")
    package.run("a.steer", model="model", dtype="float32", device="cpu", seed=3, out="by_python")
    assert record("other") == record("by_python")


def test_a_run_says_of_its_second_time_what_it_said_of_its_first(made: Callable[..., bool], steerdsl: Call) -> None:
    said = []
    for out in ("first", "again"):
        code, stdout, _ = steerdsl("run", "a.steer", *OPTIONS, "--out", out, "--json")
        found = json.loads(stdout)
        said.append((code, {name: value for name, value in found.items() if name != "run"}))
    assert said[0] == said[1] and said[0][1]["checks"]


@pytest.mark.parametrize("state", ["check failed", "check not settled"])
def test_the_end_of_a_run_is_its_end_again(made: Callable[..., bool], steerdsl: Call, state: str) -> None:
    claim = "> baseline + 5" if state == "check failed" else "> baseline with confidence: 95%"
    recipe = Path("a.steer").read_text().replace(">= baseline - 100", claim)
    Path("a.steer").write_text(recipe)
    ends = []
    for out in ("first", "again"):
        code, stdout, err = steerdsl("run", "a.steer", *OPTIONS, "--out", out)
        warnings = [line for line in err.splitlines() if line.startswith("warning")]
        ends.append((code, warnings, [line for line in stdout.splitlines() if "claim" in line or "check s" in line]))
        assert record(out)["state"] == state
    assert ends[0] == ends[1] and ends[0][0] == {"check failed": 4, "check not settled": 5}[state]


def _recipe() -> None:
    Path("a.steer").write_text(Path("a.steer").read_text().replace("max_tokens: 3", "max_tokens: 4"))


def _comment() -> None:
    Path("a.steer").write_text(Path("a.steer").read_text() + "# the record has the recipe's text\n")


def _data() -> None:
    Path("d.txt").write_text("How does inflation work?\nHi here.\n")


def _weights() -> None:
    tiny_folder(Path("model"), seed=1)


def _config() -> None:
    path = Path("model/config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "rms_norm_eps": 1e-3}))


def _tokenizer() -> None:
    path = Path("model/tokenizer_config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 255}))


def _template() -> None:
    path = Path("model/chat_template.jinja")
    path.write_text(path.read_text().replace("Be helpful.", "Be kind."))


def _template_below() -> None:
    """transformers reads this folder too."""
    path = Path("model/additional_chat_templates/default.jinja")
    path.parent.mkdir()
    path.write_text("{{ messages[0].content }} Hello.")


def _weights_of_the_same_time() -> None:
    """As copying tools and layers of containers leave them: another file with the size and time of the old one."""
    path = Path("model/model.safetensors")
    before = path.stat()
    tiny_folder(Path("model"), seed=1)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


CHANGES = (_recipe, _comment, _data, _weights, _config, _tokenizer, _template, _template_below)


@pytest.mark.parametrize("change", [*CHANGES, _weights_of_the_same_time])
def test_what_a_run_reads_is_looked_at(made: Callable[..., bool], change: Callable[[], None]) -> None:
    assert made("first") and not made("same")
    change()
    assert made("changed") and not made("changed_again")
    assert record("changed") == record("changed_again")


@pytest.mark.parametrize(
    "words", [("--set", "strength=2"), ("--seed", "3"), ("--batch-size", "2"), ("--dtype", "bfloat16")], ids=str
)
def test_an_option_makes_another_run(made: Callable[..., bool], words: tuple[str, ...]) -> None:
    assert made("first") and made("other", *words) and not made("other_again", *words) and not made("again")
    assert record("other") == record("other_again") != record("again") == record("first")


@pytest.mark.parametrize("name", ["code_sha256", "surroundings"])
def test_other_code_or_another_machine_makes_the_run(
    made: Callable[..., bool], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert made("first")
    monkeypatch.setattr(surroundings, name, lambda: "something else")
    assert made("there") and not made("there_again")


def test_whatever_the_store_lacks_is_made_again(made: Callable[..., bool]) -> None:
    """Each kind of result that the second run uses, removed and damaged."""
    assert made("first") and not made("again")
    behind = [path for path in results() if kind(path) not in ("run", "activations")]
    assert {kind(path) for path in behind} >= {"vector", "choice", "answers", "scores"}
    for number, result in enumerate(behind):
        (file,) = [path for path in result.iterdir() if path.name != "meta.json"]
        if number % 2:
            file.write_bytes(b"x" * file.stat().st_size)
        else:
            for path in (file, result / "meta.json"):
                path.unlink()
        assert made(f"run{number}"), kind(result)
        assert record(f"run{number}") == record("first")
        assert not made(f"run{number}_again")
        assert files(f"run{number}_again")["scores.json"] == files("first")["scores.json"]


def test_a_kept_run_that_is_damaged_is_made_again(made: Callable[..., bool]) -> None:
    assert made("first")
    (kept,) = [path for path in results() if kind(path) == "run"]
    (kept / "files.zip").write_bytes(b"x" * (kept / "files.zip").stat().st_size)
    assert made("second") and not made("third")
    assert record("third") == record("first")


def test_a_lock_holds_a_kept_run_too(made: Callable[..., bool], steerdsl: Call) -> None:
    assert steerdsl("lock", "a.steer", *OPTIONS)[0] == 0
    assert made("first", "--locked") and not made("again", "--locked") and made("free")
    lock = Path("a.steer.lock")
    lock.write_text(lock.read_text().replace('"float32"', '"float64"'))
    code, _, err = steerdsl("run", "a.steer", *OPTIONS, "--out", "refused", "--locked")
    assert code == 4 and "R862" in err and not Path("refused").exists()
    for out in ("warned", "warned_again"):  # a difference is told each time
        code, _, err = steerdsl("run", "a.steer", *OPTIONS, "--out", out)
        assert code == 0 and "differs from a.steer.lock" in err


def test_a_warning_about_the_data_or_the_model_is_printed_again(made: Callable[..., bool], steerdsl: Call) -> None:
    Path("model/chat_template.jinja").unlink()
    said = []
    for out in ("first", "again"):
        code, _, err = steerdsl("run", "a.steer", *OPTIONS, "--out", out)
        assert code == 0
        said.append([line for line in err.splitlines() if line.startswith(("warning", "help"))])
    assert said[0] == said[1] and any("M620" in line for line in said[0])
    assert record("first") == record("again")


def test_an_existing_run_is_not_replaced_without_force(made: Callable[..., bool], steerdsl: Call) -> None:
    assert made("first")
    code, _, err = steerdsl("run", "a.steer", *OPTIONS, "--out", "first")
    assert code == 2 and "R801" in err
    assert not made("first", "--force")
