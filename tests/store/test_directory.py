"""The run directory's name: what it may replace, and what happens when several runs want one."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import pytest
from whole_records import RECORD

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.store import directory
from steerdsl.store.directory import RunDirectory
from steerdsl.store.folder_locks import release, stopped_runs

FORK = multiprocessing.get_context("fork")
ROUNDS = 25


def ended(path: str, text: str, force: bool = False) -> RunDirectory:
    """A run directory as a run leaves it, before it gets its name."""
    made = RunDirectory.create(Path(path), force)
    (made.fresh / "record.json").write_text(json.dumps({**RECORD, "reached": text}))
    return made


def left(folder: Path = Path()) -> dict[str, str]:
    """What is there: each run's name and its text."""
    return {p.name: json.loads((p / "record.json").read_text())["reached"] for p in sorted(folder.iterdir())}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def refusal(path: str, force: bool) -> str:
    with pytest.raises(RecipeError) as caught:
        RunDirectory.create(Path(path), force)
    assert caught.value.exit_code == 2 and not list(Path().glob("*.partial"))
    (found,) = caught.value.diagnostics
    assert "--force" not in (found.help or "")
    return f"{found.code}: {found.title}; {found.help}"


@pytest.mark.parametrize("force", [False, True])
def test_nothing_but_a_run_is_replaced(force: bool) -> None:
    Path("thesis/src").mkdir(parents=True)
    Path("thesis/src/thesis.tex").write_text("years")
    ended("runs/one", "one").finish()
    Path("file").write_text("mine")
    beginning = "cannot become the run directory"
    for folder in ("thesis", "runs"):
        assert refusal(folder, force) == (
            f"R803: {folder} {beginning}: it is a folder with other things; "
            "name another folder with --out, or one in it"
        )
    assert refusal("file", force) == f"R803: file {beginning}: it is a file; name another folder with --out"
    for folder in (".", "..", "/", "runs/.."):
        assert f"{beginning}: this command was started in it; " in refusal(folder, force)
    Path("link").symlink_to("thesis")
    assert "a folder with other things" in refusal("link", force)
    assert Path("thesis/src/thesis.tex").read_text() == "years" and Path("file").read_text() == "mine"
    assert left(Path("runs")) == {"one": "one"}


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"schema": 1}', '"a record"', "[" * 100_000, '{"artist": "x", "plan": {}}']
)
def test_a_folder_with_any_other_record_is_not_replaced(text: str) -> None:
    Path("music").mkdir()
    Path("music/record.json").write_text(text)
    assert "R803: music cannot become the run directory: it is a folder with other things" in refusal("music", True)
    assert Path("music/record.json").read_text() == text


@pytest.mark.parametrize("name", ["notes.md", "vectors/mine.safetensors", "plots/sub/x.png", "record.json.bak"])
def test_a_run_with_something_that_no_run_wrote_is_not_replaced(name: str) -> None:
    ended("r", "old").finish()
    Path("r", name).parent.mkdir(parents=True, exist_ok=True)
    Path("r", name).write_text("mine")
    assert f"R803: r cannot become the run directory: it holds {name}, which no run wrote" in refusal("r", True)
    Path("r", name).unlink()
    Path("r/.DS_Store").write_text("left by the system")
    ended("r", "new", force=True).finish()
    assert left() == {"r": "new"}


def test_what_a_run_wrote_is_replaced_with_it() -> None:
    steps = [
        {"verb": "export", "settings": [["file", "out/x.peft"]], "name": "", "title": "", "key": None, "number": 1}
    ]
    made = ended("r", "old")
    record = {**RECORD, "files": {"vectors/v.safetensors": "0"}, "plan": {"params": {}, "steps": steps}}
    (made.fresh / "record.json").write_text(json.dumps(record))
    for name in ("vectors/v.safetensors", "out/x.peft/a.json", "report.html"):
        (made.fresh / name).parent.mkdir(parents=True, exist_ok=True)
        (made.fresh / name).write_text("written")
    made.finish()
    ended("r", "new", force=True).finish()
    assert left() == {"r": "new"} and not Path("r/out").exists()


def test_an_empty_folder_and_a_link_to_a_run_are_replaced() -> None:
    Path("empty").mkdir()
    ended("empty", "a").finish()
    Path("elsewhere").mkdir()
    ended("elsewhere/run", "b").finish()
    Path("link").symlink_to("elsewhere/run")
    ended("link", "c", force=True).finish()
    assert Path("link").is_symlink() and left(Path("elsewhere")) == {"run": "c"}
    assert json.loads(Path("empty/record.json").read_text())["reached"] == "a"


def test_what_has_appeared_meanwhile_is_not_replaced() -> None:
    runs = [ended("r", str(number)) for number in range(3)]
    for run in runs:
        run.finish()
    assert [run.path.name for run in runs] == ["r", "r-2", "r-3"]
    assert left() == {"r": "0", "r-2": "1", "r-3": "2"}


def test_with_force_a_run_that_has_appeared_gives_way_and_other_things_do_not() -> None:
    first, second, third = (ended("r", name, force=True) for name in ("first", "second", "third"))
    first.finish()
    second.finish()
    assert left() == {"r": "second", **{third.fresh.name: "third"}}
    (Path("r") / "record.json").unlink()
    Path("r/notes.txt").write_text("mine")
    third.finish()
    assert third.path.name == "r-2" and Path("r/notes.txt").read_text() == "mine"


def test_names_by_the_time_are_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory.time, "strftime", lambda form: "20260301-101500")
    runs = [RunDirectory.by_time("econ") for _ in range(3)]
    for run in runs:
        (run.fresh / "record.json").write_text(json.dumps(RECORD))
        run.finish()
    runs.append(RunDirectory.by_time("econ"))
    name = "econ-20260301-101500"
    assert [run.path.name for run in runs] == [name, f"{name}-2", f"{name}-3", f"{name}-4"]


def test_a_killed_run_of_the_same_process_id_is_in_nobodys_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: 1)
    killed = [RunDirectory.create(Path("r"), force=False) for _ in range(2)]
    assert killed[0].fresh != killed[1].fresh
    assert stopped_runs(Path("r")) == []
    for run in killed:
        release(run.held)
    assert stopped_runs(Path("r")) == sorted(run.fresh for run in killed)


def _finish_often(force: bool, wait: object) -> None:
    for number in range(ROUNDS):
        run = ended("r" if force else f"r{number}", "whole", force)
        wait.wait(20)  # type: ignore[attr-defined]
        run.finish()


@pytest.mark.parametrize("force", [False, True])
def test_runs_that_end_at_once(force: bool) -> None:
    wait = FORK.Barrier(3)
    processes = [FORK.Process(target=_finish_often, args=(force, wait), daemon=True) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    found = left()
    assert set(found.values()) == {"whole"} and len(found) == (1 if force else 3 * ROUNDS)
