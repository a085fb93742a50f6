"""Lock, run, verify and pack on a tiny model: the same numbers again, and every change named."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny import tiny_folder

from steerdsl.cli.main import main
from steerdsl.models.weights import weights_hash
from steerdsl.running import record as records
from steerdsl.share.pack import pack_bytes, read_pack

RECIPE = """\
# What one direction does.
edition 1

use "words.steer"

dataset e = "data/e.jsonl" with held_out: 50%
dataset g = generic with take: 6

topic = extract diffmean from e vs g at mean_content
best = select layers of topic by fisher
steer less {
    add topic[best] by strength at layers 1..2
}
scores = evaluate less on e with bleu, max_tokens: 4, controls: "none"

plot scores.bleu
export topic to "out/topic.safetensors"
"""
ROWS = ["How does inflation work?", "Why do banks lend?", "What is GDP?", "Explain taxes.", "Who sets rates?", "Bonds?"]


def call(*words: str) -> tuple[int, str, str]:
    """The command line in this process: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.setattr(sys, "argv", ["steerdsl", *words])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model/, recipe/one.steer, its lock, and a run of it in run/, locked."""
    folder = tmp_path_factory.mktemp("made")
    tiny_folder(folder / "model")
    (folder / "recipe" / "data").mkdir(parents=True)
    (folder / "recipe" / "one.steer").write_text(RECIPE)
    (folder / "recipe" / "words.steer").write_text('param strength = 2 "how much"\n')
    lines = [json.dumps({"prompt": row}) + "\n" for row in ROWS]
    (folder / "recipe" / "data" / "e.jsonl").write_text("".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("STEERDSL_CACHE", str(folder / "cache"))
        assert call("lock", "recipe/one.steer", *MODEL)[0] == 0
        code, _, err = call("run", "recipe/one.steer", *MODEL, "--locked", "--out", "run", "-q")
        assert (code, err) == (0, "")
    return folder


MODEL = ("--model", "model", "--dtype", "float32", "--device", "cpu")


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that folder to change, as the working folder, with an empty cache."""
    shutil.copytree(made, tmp_path / "here", ignore=shutil.ignore_patterns("cache"))
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))
    weights_hash(made / "model")  # as this machine has it noted that has made the run
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("STEERDSL_TRACEBACK", "1")
    return tmp_path / "here"


def different(*options: str) -> tuple[int, list[str]]:
    """The exit code of `verify`, and what it names as different."""
    code, out, _ = call("verify", "run", "--json", "-q", *options)
    return code, [f"{item['section']}: {item['name']}" for item in json.loads(out)["different"]]


# ---- the lock ----


def test_the_lock_is_stable_and_says_when_nothing_changed(here: Path) -> None:
    before = Path("recipe/one.steer.lock").read_bytes()
    assert call("lock", "recipe/one.steer", *MODEL)[:2] == (0, "recipe/one.steer.lock: up to date\n")
    Path("recipe/one.steer.lock").unlink()
    assert call("lock", "recipe/one.steer", *MODEL)[0] == 0
    assert Path("recipe/one.steer.lock").read_bytes() == before
    names = json.loads(before)["pins"]
    assert {"model.weights_sha256", "model.template_sha256", "data.e.sha256", "inputs.words.steer"} <= names.keys()
    assert {"packages.torch", "steps.evaluate scores.answers", "run.seed", "params.strength"} <= names.keys()


def test_a_run_is_held_to_its_lock(here: Path) -> None:
    changed = ("--set", "strength=3")
    before = Path("recipe/one.steer.lock").read_bytes()
    code, out, err = call("run", "recipe/one.steer", *MODEL, *changed, "--locked", "-q")
    assert (code, out) == (4, "")
    assert err.startswith("changes what is computed") and err.endswith(
        "error[R862]: this differs from one.steer.lock in 2 pins\n"
        "help: undo the change, or run `steerdsl lock recipe/one.steer --upgrade`\n"
    )
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in err.splitlines()]
    assert ["params.strength", "2", "3"] in rows
    assert not Path("runs").exists()
    code, out, err = call("lock", "recipe/one.steer", *MODEL, *changed)
    assert code == 4 and "params.strength" in out and "add --upgrade to pin the current values" in err
    assert Path("recipe/one.steer.lock").read_bytes() == before
    assert call("lock", "recipe/one.steer", *MODEL, *changed, "--upgrade")[0] == 0
    assert call("lock", "recipe/one.steer", *MODEL, *changed)[1].endswith("up to date\n")


@pytest.mark.parametrize("lacks", [[], ["model.stop_ids"], ["template.mode", "model.family"]])
@pytest.mark.parametrize("only", [[], ["model.former"]])
@pytest.mark.parametrize("version", [None, "0.0.9"])
def test_a_lock_of_another_version_says_so(here: Path, lacks: list[str], only: list[str], version: str | None) -> None:
    path = Path("recipe/one.steer.lock")
    found = json.loads(path.read_text())
    for name in lacks:
        del found["pins"][name]
    found["pins"] |= dict.fromkeys(only, "x") | ({"packages.steerdsl": version} if version else {})
    path.write_text(json.dumps(found))
    code, _, err = call("run", "recipe/one.steer", *MODEL, "--locked", "-q", "--out", f"of-{version}")
    if not (lacks or only or version):
        assert code == 0
        return
    assert code == 4 and "lock recipe/one.steer --upgrade`" in err
    assert f"note: {f'steerdsl {version}' if version else 'another version of steerdsl'} wrote the lock" in err
    assert all(f"`{name}`" in err.split("note:")[1] for name in (*lacks, *only))
    assert ("does not pin" in err, "which this version does not" in err) == (bool(lacks), bool(only))


def test_a_run_that_differs_from_its_lock_warns_in_one_line(here: Path) -> None:
    code, _, err = call("run", "recipe/one.steer", *MODEL, "--batch-size", "4", "--out", "again", "-q")
    assert code == 0
    assert err.startswith("warning: this run differs from one.steer.lock in ") and err.count("\n") == 1
    assert "run.batch_size" in err


def test_a_lock_holds_wherever_the_recipe_runs(here: Path) -> None:
    code, _, err = call("run", "recipe/one.steer", *MODEL, "--locked", "--keep-unsafe", "--on", "simulate", "-q")
    assert (code, err) == (0, "")
    path = Path("recipe/one.steer.lock")
    old = json.loads(path.read_text())
    assert not {"run.on", "run.keep_unsafe"} & old["pins"].keys()
    old["pins"] |= {"run.on": "local", "run.keep_unsafe": False}
    path.write_text(json.dumps(old))
    assert call("lock", "recipe/one.steer", *MODEL)[:2] == (0, "recipe/one.steer.lock: up to date\n")


def test_a_pack_of_a_run_elsewhere_runs_here(here: Path) -> None:
    assert call("run", "recipe/one.steer", *MODEL, "--on", "simulate", "--out", "there", "-q")[0] == 0
    assert call("pack", "recipe/one.steer", "--run", "there", "-q")[0] == 0
    code, _, err = call("run", "one.steerpack", "--locked", "--out", "again", "-q", "--model", "model")
    assert code == 0, err


def test_another_dtype_than_the_locks_is_told_with_its_option(here: Path) -> None:
    words = ("recipe/one.steer", "--model", "model", "--device", "cpu", "--dtype", "bf16")
    for command, way_out in (
        (("run", *words, "--locked", "-q"), "undo the change, or run `steerdsl lock recipe/one.steer --upgrade`"),
        (("lock", *words), "add --upgrade to pin the current values"),
    ):
        code, _, err = call(*command)
        assert code == 4 and err.endswith(f"help: add --dtype float32 for the dtype of the lock; else {way_out}\n")


def test_a_comment_changes_no_number(here: Path) -> None:
    Path("recipe/one.steer").write_text(RECIPE.replace("# What", "# See what"))
    code, _, err = call("run", "recipe/one.steer", *MODEL, "--locked")
    assert code == 4 and err.startswith("changes no number") and "in 1 pin\n" in err


def test_locked_needs_a_lock(here: Path) -> None:
    Path("recipe/one.steer.lock").unlink()
    assert call("run", "recipe/one.steer", *MODEL, "--locked", "-q") == (
        2,
        "",
        "error[R860]: there is no lock recipe/one.steer.lock\nhelp: write it with `steerdsl lock recipe/one.steer`\n",
    )
    code, _, err = call("run", "-e", "extract diffmean from econ vs generic; ablate layers 1", *MODEL, "--locked", "-q")
    assert code == 2 and "--locked needs a recipe in a file" in err


# ---- again ----


def test_run_again_from_the_lock_gives_the_same_bytes(here: Path) -> None:
    shutil.copytree("run", "kept")
    shutil.rmtree("run")
    assert call("run", "recipe/one.steer", *MODEL, "--locked", "--out", "run", "-q")[0] == 0
    for name in ("generations.jsonl", "scores.json", "vectors/topic.safetensors", "out/topic.safetensors"):
        assert Path("run", name).read_bytes() == Path("kept", name).read_bytes()
    assert Path("run/generations.jsonl").stat().st_size > 500


def test_verify_finds_all_equal(here: Path) -> None:
    code, out, _ = call("verify", "run", "--json", "-q", "--keep", "again")
    found = json.loads(out)
    assert code == 0 and found["run_again"] and found["different"] == []
    assert found["equal"] > 80 and {item["name"] for item in found["tolerated"]} <= {"model.id"}
    assert found["now"]["packages"] == found["before"]["packages"] and found["now"]["machine"]["python"]
    assert Path("again/generations.jsonl").read_bytes() == Path("run/generations.jsonl").read_bytes()
    code, out, _ = call("verify", "again", "-q")
    assert code == 0 and "fields, 0 of them tolerated" in out.replace("1 of", "0 of")


ALREADY = "in the store already"


def test_a_step_says_what_is_done_with_the_store_that_is_used(here: Path) -> None:
    """A plan asks the user's store; `verify` computes with an empty one, and a run what is damaged."""
    steps = ("extract topic", "select best", "evaluate scores")

    def already(*words: str) -> list[str]:
        code, _, err = call(*words)
        assert code == 0, err
        ends = [re.search(rf"\[\d/\d\] {step}: (.*)", err) for step in steps]
        assert all(ends), err
        return [step for step, end in zip(steps, ends, strict=True) if end and end[1] == ALREADY]

    run = ("run", "recipe/one.steer", *MODEL, "--out")
    assert already(*run, "first") == []
    assert call("store", "prune", "--all", "--kind", "run")[0] == 0
    stored = already(*run, "second")
    assert "extract topic" in stored and "select best" in stored
    assert already("verify", "first") == already("verify", "second") == []
    assert call("store", "prune", "--all", "--kind", "run")[0] == 0
    for file in (Path("..") / "cache" / "store").glob("*/*/*.safetensors"):
        raw = bytearray(file.read_bytes())
        raw[-1] ^= 1
        file.write_bytes(raw)
    assert "extract topic" not in already(*run, "third")


@pytest.mark.parametrize(("recorded", "computed"), [(2, 2), (4096, 1), (None, 1), ("2", 1)])
def test_verify_computes_with_the_threads_of_the_record(
    here: Path, monkeypatch: pytest.MonkeyPatch, recorded: Any, computed: int
) -> None:
    """Where there are so many cores; else, and where the record says nothing of use, as ever."""
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    record = json.loads(Path("run/record.json").read_text())
    record["machine"]["threads"] = recorded
    Path("run/record.json").write_text(json.dumps(record))
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert call("verify", "run", "--keep", "again", "-q")[0] in (0, 4)  # other threads, other last bits
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(usual)
    assert json.loads(Path("again/record.json").read_text())["machine"]["threads"] == computed


# ---- what goes in ----


def test_a_changed_row_is_named(here: Path) -> None:
    rows = Path("recipe/data/e.jsonl")
    rows.write_text(rows.read_text().replace("Why do banks lend?", "Why do banks fail?"))
    code, names = different()
    assert code == 4
    assert names == [f"what goes in: {name}" for name in ("row 1 of data e", "data.e.sha256", "inputs.data/e.jsonl")]
    code, out, _ = call("verify", "run", "-q")
    assert code == 4 and "Why do banks fail?" in out
    assert "not verified: what goes in: row 1 of data e;" in out
    rows.write_text(rows.read_text() + '{"prompt": "One more?"}\n')
    assert "what goes in: row 6 of data e" in different()[1]


def test_a_changed_template_is_named(here: Path) -> None:
    template = Path("model/chat_template.jinja")
    template.write_text(template.read_text().replace("Be helpful.", "Be brief."))
    assert different("--model", "model") == (4, ["what goes in: model.template_sha256"])


def test_a_changed_version_is_named_and_may_be_allowed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = records.versions()
    monkeypatch.setattr(records, "versions", lambda: {**real, "transformers": "9.9"})
    assert different() == (4, ["what goes in: packages.transformers"])
    code, out, _ = call("verify", "run", "--json", "-q", "--allow-versions")
    found = json.loads(out)
    assert code == 0 and found["run_again"]
    assert [item["now"] for item in found["tolerated"] if item["name"] == "packages.transformers"] == ["9.9"]


# ---- what came out ----


def tamper_direction() -> None:
    path = Path("run/vectors/topic.safetensors")
    with safe_open(path, "pt") as file:
        header, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    tensors["directions"][1] = torch.nn.functional.normalize(torch.ones(32), dim=0)
    save_file(tensors, path, header)


def tamper_answer() -> None:
    path = Path("run/generations.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[4]["text"] += "!"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def tamper_score() -> None:
    scores: dict[str, Any] = json.loads(Path("run/scores.json").read_text())
    scores["scores"]["bleu"]["e"]["less"]["mean"] += 0.01
    Path("run/scores.json").write_text(json.dumps(scores))


@pytest.mark.parametrize(
    ("tamper", "file", "named"),
    [
        (tamper_direction, "vectors/topic.safetensors", "vectors: topic.directions[1]"),
        (
            tamper_answer,
            "generations.jsonl",
            "answers: step scores, variant less, dataset e, row {row}, sample 0: text",
        ),
        (tamper_score, "scores.json", "scores: scores.bleu.e.less.mean"),
    ],
)
def test_a_changed_result_is_named(here: Path, tamper: Callable[[], None], file: str, named: str) -> None:
    tamper()
    row = json.loads(Path("run/generations.jsonl").read_text().splitlines()[4])["row"]
    assert call("verify", "run", "-q")[2] == f"run/{file} is not the file that was recorded\n"
    assert different() == (4, [f"files: {file}", named.format(row=row)])


def test_a_change_that_hides_itself_in_the_hashes_is_found_by_running_again(here: Path) -> None:
    tamper_score()
    found = json.loads(Path("run/record.json").read_text())
    found["files"] = records.hashes(Path("run"), ["out"])
    Path("run/record.json").write_text(json.dumps(found))
    assert different() == (4, ["scores: scores.bleu.e.less.mean"])


# ---- where things lie ----


def test_a_moved_run_finds_its_recipe_by_name(here: Path) -> None:
    Path("far/away").mkdir(parents=True)
    Path("run").rename("far/away/run")
    code, _, err = call("verify", "far/away/run")
    assert code == 2
    assert err == (
        "error[R864]: the recipe's folder is not where the record says: far/away/run/../recipe\n"
        "help: the run or the recipe has moved; name the recipe with --recipe\n"
    )
    rows = Path("recipe/data/e.jsonl")
    rows.write_text(rows.read_text().replace("GDP", "GNP"))
    code, out, _ = call("verify", "far/away/run", "--recipe", "recipe/one.steer", "-q")
    assert code == 4 and "row 2 of data e" in out


SECRET = "Why does nobody know this?"


def secret_beside(here: Path) -> None:
    """A folder that a stranger's record may try to read."""
    (here / "private").mkdir()
    (here / "private" / "data").mkdir()
    (here / "private" / "data" / "e.jsonl").write_text(json.dumps({"prompt": SECRET}) + "\n")
    (here / "private" / "words.steer").write_text("param strength = 2\n")


@pytest.mark.parametrize("inputs", [True, False])
@pytest.mark.parametrize("name", ["one.steer", "../one.steer", "-e", "<stdin>", "/etc/passwd"])
def test_a_strangers_record_leads_to_no_file_here(here: Path, inputs: bool, name: str) -> None:
    secret_beside(here)
    record = json.loads(Path("run/record.json").read_text())
    for folder in ("../private", str(here / "private"), "../recipe/../private"):
        record["recipe"] |= {"folder": folder, "name": name}
        if not inputs:
            record["inputs"] = {}
        Path("run/record.json").write_text(json.dumps(record))
        code, out, err = call("verify", "run", "-q")
        assert code in (1, 2) and "error[" in err and SECRET not in out + err


def test_a_strangers_record_opens_no_other_model(here: Path) -> None:
    tiny_folder(here / "other", "llama", num_hidden_layers=2)
    record = json.loads(Path("run/record.json").read_text())
    for model, path, source in (
        ("other", None, "folder"),
        ("other", None, "hub"),
        ("./other", None, "hub"),
        (str(here / "other"), str(here / "other"), "folder"),
        ("acme/none", str(here / "other"), "folder"),
    ):
        record["run"]["model"] = model
        record["model"] |= {"path": path, "source": source}
        Path("run/record.json").write_text(json.dumps(record))
        code, _, err = call("verify", "run", "-q")
        assert code == 2 and err.startswith("error[R874]: the run in run was made with a model in a folder"), err


def test_links_of_a_strangers_run_lead_nowhere(here: Path) -> None:
    """Neither report, show, diff, verify nor pack reads what a link in a run directory points to elsewhere."""
    secret = here / "secret"
    secret.write_text(SECRET)
    shutil.copytree("run", "theirs")
    (here / "theirs" / "plots" / "leak.svg").symlink_to(secret)
    (here / "theirs" / "leak.png").symlink_to(secret)
    assert call("report", "theirs")[0] == 0
    page = Path("theirs/report.html").read_text()
    assert SECRET not in page and "leak" not in page
    assert not {"plots/leak.svg", "leak.png"} & records.hashes(Path("theirs")).keys()
    for name in ("record.json", "scores.json", "generations.jsonl"):
        kept = (here / "theirs" / name).read_bytes()
        (here / "theirs" / name).unlink()
        (here / name).write_bytes(kept)
        (here / "theirs" / name).symlink_to(here / name)
        for words in (("show", "theirs"), ("diff", "run", "theirs"), ("report", "theirs"), ("verify", "theirs", "-q")):
            code, _, err = call(*words)
            assert code == 2 and f"{name} leads out of its folder" in err
        (here / "theirs" / name).unlink()
        (here / "theirs" / name).write_bytes(kept)
    (here / "theirs" / "vectors" / "topic.safetensors").unlink()
    (here / "theirs" / "vectors" / "topic.safetensors").symlink_to(here / "run" / "vectors" / "topic.safetensors")
    assert "the second run has none" in call("diff", "run", "theirs")[1]
    record = json.loads(Path("theirs/record.json").read_text())
    for name in ("../secret", str(secret), "plots/leak.svg"):
        record["files"] = {name: hashlib.sha256(SECRET.encode()).hexdigest()}
        Path("theirs/record.json").write_text(json.dumps(record))
        code, _, err = call("pack", "recipe/one.steer", "--run", "theirs", "-q", "--out", "x.steerpack")
        assert code == 1 and "error[R865]" in err and not Path("x.steerpack").exists()


def test_only_whole_runs_are_run_again(here: Path) -> None:
    found = json.loads(Path("run/record.json").read_text())
    stopped = {**found, "state": "interrupted", "reached": "step 3, select best"}
    Path("run/record.json").write_text(json.dumps(stopped))
    message = "error[R863]: the run in run is not whole: interrupted at step 3, select best\n"
    for words in (("verify", "run"), ("pack", "recipe/one.steer", "--run", "run", "-q")):
        assert call(*words) == (2, "", message + "help: run it again, to its end\n")
    code, _, err = call("verify", "recipe")
    assert code == 2 and err.startswith("error[R880]: ")


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        (("plan", "steps"), [{"number": 1, "verb": "export"}], "plan.steps[0].name"),
        (
            ("plan", "steps"),
            [{"number": 1, "verb": "export", "name": "", "title": "", "settings": [["a"]]}],
            "plan.steps[0].settings[0]",
        ),
        (("run", "batch_size"), -1, "run.batch_size"),
        (("run", "set"), {}, "run.set"),
        (("data", "e"), {"ids": [3]}, "data.e.source"),
        (("recipe", "folder"), None, "recipe.folder"),
        (("files",), {"scores.json": 5}, "files.scores.json"),
        (("inputs",), [], "inputs"),
    ],
)
def test_a_record_without_its_form_is_refused(here: Path, place: tuple[str, ...], value: Any, named: str) -> None:
    found = json.loads(Path("run/record.json").read_text())
    inner = found
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    Path("run/record.json").write_text(json.dumps(found))
    code, out, err = call("verify", "run", "-q")
    assert (code, out) == (2, "") and err.count("\n") == 3
    assert err.startswith(
        f"error[R881]: the run in run is damaged\nnote: the reason: record.json has a wrong form: `{named}` "
    )


def test_a_malformed_record_in_a_right_pack_is_refused(here: Path) -> None:
    assert call("pack", "recipe/one.steer", "--run", "run", "-q")[0] == 0
    pack = read_pack(Path("one.steerpack"))
    steps = [{**step, "settings": []} for step in pack.record["plan"]["steps"]]
    for plan, said in (({**pack.record["plan"], "steps": steps}, (4, "")), ({"params": {}}, (1, "`plan.steps`"))):
        record = json.dumps({**pack.record, "plan": plan}).encode()
        Path("bad.steerpack").write_bytes(pack_bytes(pack.recipe, {**pack.members, "run/record.json": record}))
        code, _, err = call("verify", "bad.steerpack", "-q", "--model", "model")
        assert code == said[0] and said[1] in err


@pytest.mark.parametrize("option", [("--host", "https://127.0.0.1:9"), ("--insecure",)])
def test_a_run_made_here_is_not_verified_on_a_server(here: Path, option: tuple[str, ...]) -> None:
    code, out, err = call("verify", "run", "-q", *option)
    assert (code, out) == (2, "") and "are only for a run on ndif, and this one" in err


# ---- packs ----


def test_a_pack_needs_only_itself_and_the_model(here: Path, tmp_path: Path) -> None:
    made = ("pack", "recipe/one.steer", "--run", "run", "-q")
    code, out, err = call(*made)
    assert (code, err) == (0, "") and out.startswith("one.steerpack: 12 files, ")
    assert call(*made, "--out", "two.steerpack")[0] == 0
    assert Path("one.steerpack").read_bytes() == Path("two.steerpack").read_bytes()
    assert str(here).encode() not in Path("one.steerpack").read_bytes()
    code, _, err = call(*made)
    assert code == 2 and err.startswith("error[R801]: one.steerpack already exists\n")
    shutil.move("run", tmp_path / "kept")
    shutil.rmtree("recipe")
    code, _, err = call("run", "one.steerpack", "--locked", "--out", "run", "-q", "--device", "cpu")
    assert (code, err) == (0, "")
    assert Path("run/generations.jsonl").read_bytes() == (tmp_path / "kept" / "generations.jsonl").read_bytes()
    code, out, _ = call("verify", "one.steerpack", "-q")
    assert code == 0, out


@pytest.fixture
def packed(here: Path) -> Path:
    """The pack of the recipe and its run, the only thing left beside the model and the run."""
    assert call("pack", "recipe/one.steer", "--run", "run", "-q")[0] == 0
    shutil.rmtree("recipe")
    return Path("one.steerpack")


@pytest.mark.parametrize("words", [("show",), ("show", "--json"), ("diff", "run")])
def test_a_pack_is_read_where_a_run_is(packed: Path, words: tuple[str, ...]) -> None:
    command, *more = words
    there, here = call(command, str(packed), *more), call(command, "run", *more)
    assert there[0] == here[0] == 0 and not there[2]
    if command == "show":
        found, own = (re.sub(r"^report .*$", "", text, flags=re.M) for text in (there[1], here[1]))
        if "--json" in more:  # it names no folder of the machine on which it was packed
            parts = [json.loads(text) for text in (found, own)]
            for part in parts:
                part["model"]["path"] = part["recipe"]["folder"] = None
            found, own = parts
        assert found == own


def test_the_report_of_a_pack_is_written_and_named(packed: Path) -> None:
    code, out, err = call("report", str(packed))
    assert (code, err) == (0, "")
    assert Path(out.strip()).read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "one.steerpack"), "1 recipe checked: no mistakes\n"),
        (("plan", "one.steerpack", "--model", "model"), "\n6 steps: "),
        (("lock", "one.steerpack", "--model", "model"), "one.steer.lock: up to date\n"),
        (("fmt", "--check", "one.steerpack"), ""),
    ],
)
def test_a_pack_is_read_where_a_recipe_is(packed: Path, words: tuple[str, ...], said: str) -> None:
    before = packed.read_bytes()
    code, out, err = call(*words)
    assert code == 0, err
    assert said in out
    assert packed.read_bytes() == before


def test_a_recipe_in_a_pack_is_ejected_as_any_other(packed: Path) -> None:
    code, out, err = call("eject", str(packed), "--model", "model")
    assert code == 0, err
    compile(out, "program.py", "exec")


@pytest.mark.parametrize("words", [("fmt",), ("lock", "--upgrade", "--model", "model")])
def test_a_pack_is_never_changed(packed: Path, words: tuple[str, ...]) -> None:
    command, *more = words
    code, _, err = call(command, str(packed), *more)
    assert code == 2 and "read-only" in err


def test_a_pack_is_unpacked_into_a_folder_that_runs_and_verifies(packed: Path) -> None:
    code, out, err = call("unpack", str(packed))
    assert (code, err) == (0, "") and out == "one: 12 files; the recipe is one/recipe/one.steer\n"
    assert call("verify", "one/run", "-q", "--model", "model")[0] == 0
    assert call("lock", "one/recipe/one.steer", *MODEL)[1] == "one/recipe/one.steer.lock: up to date\n"
    for _ in range(2):  # what is there stays
        code, _, err = call("unpack", str(packed))
        assert code == 2 and err.startswith("error[R801]: one already exists\n")
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("target", ["model/config.json/x", "a" * 300])
def test_a_folder_that_cannot_be_made_is_named(packed: Path, target: str) -> None:
    code, _, err = call("unpack", str(packed), "--out", target)
    assert code == 3 and err.startswith(f"error[R802]: {target} could not be created: ")


def test_nothing_of_a_refused_pack_is_unpacked(packed: Path) -> None:
    packed.write_bytes(packed.read_bytes().replace(b"Why do banks lend?", b"Why do banks fail?"))
    for command in ("unpack", "show", "report", "check", "plan", "eject", "lock", "fmt --check"):
        code, out, err = call(*command.split(), str(packed))
        assert (code, out) == (4, "") and err.startswith("error[R869]: one.steerpack is refused: ")
    assert not Path("one").exists()


def test_a_pack_is_made_of_a_run_of_the_recipe_as_it_is(here: Path) -> None:
    Path("recipe/one.steer.lock").unlink()
    Path("recipe/one.steer").write_text(RECIPE.replace("max_tokens: 4", "max_tokens: 3"))
    code, _, err = call("pack", "recipe/one.steer", "--run", "run", "-q")
    assert code == 1
    assert err == (
        "error[R865]: run is not a run of the current recipe: steps.evaluate scores.answers differs\n"
        "help: run the recipe again, or omit --run\n"
    )
    assert call("pack", "recipe/one.steer", *MODEL, "-q")[0] == 0
    assert len(list(Path("runs").iterdir())) == 1
    assert call("verify", "one.steerpack", "-q", "--model", "model")[0] == 0


def test_a_pack_leads_to_no_place_on_this_machine(here: Path, tmp_path: Path) -> None:
    """Its record may say anything: the recipe's folder is the pack's own, and no model folder is opened."""
    shutil.move("recipe", tmp_path / "recipe")
    shutil.copytree(tmp_path / "recipe", "recipe")
    for change, code in (({"recipe": {"folder": str(tmp_path)}}, 0), ({"run": {"model": str(here / "model")}}, 2)):
        assert call("pack", "recipe/one.steer", "--run", "run", "-q", "--force")[0] == 0
        pack = read_pack(Path("one.steerpack"))
        record = {**pack.record, **{room: {**pack.record[room], **keys} for room, keys in change.items()}}
        changed = {**pack.members, "run/record.json": json.dumps(record).encode()}
        Path("bad.steerpack").write_bytes(pack_bytes(pack.recipe, changed))
        assert call("verify", "bad.steerpack", "-q")[0] == code
    assert call("run", "bad.steerpack") == (
        2,
        "",
        f"error[R874]: bad.steerpack was run with a model in a folder, `{here}/model`\n"
        "help: name the model with --model, in a program with `model=`\n",
    )


def test_a_changed_run_is_not_packed(here: Path) -> None:
    tamper_direction()
    code, _, err = call("pack", "recipe/one.steer", "--run", "run", "-q")
    assert code == 1
    assert err == (
        "error[R865]: this cannot be packed: run/vectors/topic.safetensors was changed or removed since it was "
        "recorded\nhelp: run the recipe again\n"
    )


def test_what_a_pack_does_not_carry(here: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy("recipe/data/e.jsonl", tmp_path / "other" / "e.jsonl")
    text = f'dataset e = "{tmp_path}/other/e.jsonl" with held_out: 50%\n' + RECIPE.partition("held_out: 50%\n")[2]
    Path("recipe/two.steer").write_text('use "words.steer"\n' + text)
    code, _, err = call("pack", "recipe/two.steer", *MODEL, "--allow", str(tmp_path / "other"), "-q")
    assert code == 1
    assert err.endswith(
        f"error[R865]: this cannot be packed: {tmp_path}/other/e.jsonl is outside the recipe's folder\n"
        "help: copy it into the folder, and name it there\n"
    )


def test_a_changed_pack_is_refused(here: Path) -> None:
    assert call("pack", "recipe/one.steer", "--run", "run", "-q")[0] == 0
    pack = Path("one.steerpack")
    pack.write_bytes(pack.read_bytes().replace(b"Why do banks lend?", b"Why do banks fail?"))
    for command in ("run", "verify"):
        assert call(command, "one.steerpack") == (
            4,
            "",
            "error[R869]: one.steerpack is refused: `recipe/data/e.jsonl` is not what its checksum says\n"
            "help: get the pack again from its author; nothing was unpacked\n",
        )
