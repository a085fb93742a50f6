"""The functions for Python programs open packs as the commands do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from calling import Call

import steerdsl
from steerdsl.share.pack import pack_bytes, read_pack

RECIPE = """
param strength = 2
dataset a = "a.jsonl" with held_out: 50%
topic = extract diffmean from a vs generic
steer more { add topic by strength at layer 1 }
s = evaluate more on a with kl, max_tokens: 3, controls: none
check s.kl.a > 0
"""


CALLS = [steerdsl.check, steerdsl.plan, steerdsl.run, steerdsl.load]


@pytest.fixture
def pack(tiny_model: Path, work: Path, steer_command: Call) -> Path:
    """A pack of a run with strength 5, in a folder with nothing else."""
    folder = work / "made"
    folder.mkdir()
    rows = [json.dumps({"prompt": f"Is bread number {i} old?"}) + "\n" for i in range(12)]
    (folder / "a.jsonl").write_text("".join(rows))
    (folder / "r.steer").write_text(RECIPE)
    run = steerdsl.run(folder / "r.steer", model=tiny_model, params={"strength": 5}, out=folder / "run", batch_size=4)
    assert run.state == "complete"
    words = ("pack", str(folder / "r.steer"), "--run", str(run.folder), "--out", "r.steerpack", "-q")
    assert steer_command(*words, "--model", str(tiny_model))[0] == 0
    shutil.rmtree(folder)
    return Path("r.steerpack")


def test_a_pack_is_checked_planned_run_and_loaded(pack: Path, tiny_model: Path) -> None:
    assert steerdsl.check(str(pack)) == steerdsl.check(pack) == []
    kept = steerdsl.load(pack)
    assert kept.record["plan"]["params"] == {"strength": "5"} and kept.state == "complete"
    plan = steerdsl.plan(pack, model=tiny_model)
    assert plan.recipe.params == {"strength": "5"} and plan.options.batch_size == 4
    again = steerdsl.run(str(pack), model=tiny_model)
    assert again.scores == kept.scores and again.folder.parent == Path("runs")
    there, here = (run.folder / "vectors" / "topic.safetensors" for run in (kept, again))
    assert there.read_bytes() == here.read_bytes() and set(kept.vectors) == {"topic"}


def test_what_is_given_now_outweighs_the_run_of_the_pack(pack: Path, tiny_model: Path) -> None:
    plan = steerdsl.plan(pack, model=tiny_model, params={"strength": 7}, batch_size=2)
    assert plan.recipe.params == {"strength": "7"} and plan.options.batch_size == 2


def test_a_pack_names_no_folder_on_this_machine(pack: Path) -> None:
    for function in (steerdsl.plan, steerdsl.run):
        with pytest.raises(steerdsl.RecipeError) as caught:
            function(pack)
        assert caught.value.diagnostics[0].code == "R874" and "`model=`" in str(caught.value.diagnostics[0].help)


@pytest.mark.parametrize("function", CALLS)
@pytest.mark.parametrize("data", [b"", b"PK", b"edition 1\n", None])
def test_a_pack_that_is_refused_is_said(work: Path, function: Callable[[Any], object], data: bytes | None) -> None:
    for file in (Path("x.steerpack"), Path("X.SteerPack")):
        if data is not None:
            file.write_bytes(data)
        for name in (file, str(file)):
            with pytest.raises(steerdsl.RecipeError) as caught:
                function(name)
            assert caught.value.diagnostics[0].code == "R866"


@pytest.mark.parametrize("item", ["strength", "=5", " = 5", ""])
def test_a_param_without_a_name_or_value_in_a_strangers_record(
    pack: Path, tiny_model: Path, steer_command: Call, item: str
) -> None:
    found = read_pack(pack)
    members = dict(found.members)
    record = json.loads(members["run/record.json"])
    record["run"]["set"] = [item]
    members["run/record.json"] = json.dumps(record).encode()
    Path("odd.steerpack").write_bytes(pack_bytes(found.recipe, members))
    with pytest.raises(steerdsl.RecipeError) as caught:
        steerdsl.plan("odd.steerpack", model=tiny_model)
    assert caught.value.diagnostics[0].code == "R881" and item in caught.value.diagnostics[0].title
    code, _, err = steer_command("plan", "odd.steerpack", "--model", str(tiny_model))
    assert code == 2 and "error[R881]" in err
