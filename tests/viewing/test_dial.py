"""The dial: its answers are those of a run with the same settings, and what cannot be turned is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from looking import LIMITS, VALUES, Looking, opener

import steerdsl
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.viewing.dial import Setting, turned
from steerdsl.viewing.shelf import Shelf


@pytest.fixture(scope="module")
def dial(looking: Looking) -> Looking:
    assert looking.open("mine")["state"] == "open"
    return looking


def recorded(runs: Path, **wanted: Any) -> list[dict[str, Any]]:
    lines = map(json.loads, (runs / "mine" / "generations.jsonl").read_text("utf-8").splitlines())
    return [line for line in lines if all(line.get(key) == value for key, value in wanted.items())]


def test_it_says_what_of_each_steer_can_be_turned(dial: Looking) -> None:
    told = dial.state("mine")
    steers = {steer["name"]: steer["points"] for steer in told["steers"]}
    assert list(steers) == ["pushed", "shared", "erased", "held", "turned"] and told["layers"] == 3
    found = {name: [points[0][key] for key in ("angle", "strength", "layers")] for name, points in steers.items()}
    assert found == {
        "pushed": [None, ["2"], [1]],
        "shared": [None, ["40%"], [1, 2]],
        "erased": [None, ["1"], None],
        "held": [None, None, [1]],
        "turned": [0.0, None, [1]],
    }
    angles = [(point["at"], point["angle"]) for point in steers["turned"]]
    assert angles == [({"angle": f"{angle}deg"}, angle) for angle in (0, 90, 180, 270)]


@pytest.mark.parametrize("steer", ["pushed", "shared", "erased", "held"])
def test_untouched_it_answers_as_the_run_did(dial: Looking, runs: Path, steer: str) -> None:
    lines = recorded(runs, variant=steer)
    assert len(lines) == 2
    for line in lines:
        found = dial.answers("mine", prompt=line["prompt"], steer=steer, max_tokens=6)
        assert found["steered"] == line["token_ids"]


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_at_a_point_of_a_sweep_it_answers_as_the_run_did(dial: Looking, runs: Path, angle: int) -> None:
    at = {"angle": f"{angle}deg"}
    lines = recorded(runs, variant="turned", point=at, dataset="a")
    bases = recorded(runs, variant="baseline", point=at, dataset="a")
    assert len(lines) == len(bases) == 2
    for line, base in zip(lines, bases, strict=True):
        found = dial.answers("mine", prompt=line["prompt"], steer="turned", at=at, max_tokens=6)
        assert found == {"baseline": base["token_ids"], "steered": line["token_ids"]}
        by_hand = dial.answers(
            "mine", prompt=line["prompt"], steer="turned", at={"angle": "0deg"}, angle=angle, max_tokens=6
        )
        assert by_hand == found


SETTINGS = {
    "rotate turn to 30deg at layer 2": {"steer": "turned", "at": {"angle": "90deg"}, "angle": 30, "layer": 2},
    "add topic by 3 at layer 1": {"steer": "pushed", "strength": 1.5},
    "add topic by -1 at layer 0": {"steer": "pushed", "strength": -0.5, "layer": 0},
    "add topic by 100% at layer 2": {"steer": "shared", "strength": 2.5, "layer": 2},
    "ablate topic[1] by 50% everywhere": {"steer": "erased", "strength": 0.5},
    "clamp topic to 3 at layer 2": {"steer": "held", "layer": 2},
}


@pytest.mark.parametrize("op", SETTINGS)
def test_turned_it_answers_as_a_run_of_the_recipe_with_these_numbers(
    dial: Looking, tiny_model: Path, tmp_path: Path, op: str
) -> None:
    text = f"{VALUES}\nsteer one {{ {op} }}\ngenerate from a.held_out with steer: one, max_tokens: 6\n"
    run = steerdsl.run(text, model=str(tiny_model), dtype="float32", device="cpu", out=tmp_path / "run")
    lines = [line for line in run.answers if line["variant"] == "one"]
    assert lines
    for line in lines:
        assert dial.answers("mine", prompt=line["prompt"], max_tokens=6, **SETTINGS[op])["steered"] == line["token_ids"]


def test_a_strength_of_nothing_is_the_baseline(dial: Looking) -> None:
    found = dial.answers("mine", prompt="Why is bread dear?", steer="pushed", strength=0, max_tokens=6)
    assert found["steered"] == found["baseline"]


ASKED = {"prompt": "Why?", "steer": "pushed"}
REFUSED: dict[str, tuple[dict[str, Any], int]] = {
    "an unknown steer": ({"steer": "pushd"}, 404),
    "an unknown point": ({"at": {"angle": "45deg"}}, 404),
    "no point of a sweep": ({"steer": "turned"}, 404),
    "an angle of what does not rotate": ({"angle": 30}, 400),
    "an angle that is not finite": ({"steer": "turned", "at": {"angle": "0deg"}, "angle": 1e999}, 400),
    "a strength of what has none": ({"steer": "held", "strength": 2}, 400),
    "a strength of a rotation": ({"steer": "turned", "at": {"angle": "0deg"}, "strength": 2}, 400),
    "a strength out of bounds": ({"strength": 1e6}, 400),
    "a layer of what acts everywhere": ({"steer": "erased", "layer": 1}, 400),
    "a layer that there is not": ({"layer": 3}, 400),
    "a layer below the first": ({"layer": -1}, 400),
    "a layer that is no whole number": ({"layer": 1.5}, 400),
    "no prompt": ({"prompt": " \n"}, 400),
    "a prompt past the context": ({"prompt": "bread " * 300}, 400),
    "no token": ({"max_tokens": 0}, 400),
    "more tokens than the server allows": ({"max_tokens": LIMITS.tokens + 1}, 400),
    "a steer that is no text": ({"steer": 7}, 400),
    "a name that nobody knows": ({"temprature": 1}, 400),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_is_refused_with_the_reason(dial: Looking, what: str) -> None:
    changed, status = REFUSED[what]
    body = json.dumps({**ASKED, **changed}).replace("Infinity", "1e999")
    response = dial.client.post("/api/dial/mine/answer", content=body, headers={"content-type": "application/json"})
    assert response.status_code == status, response.text
    assert response.json()["error"]["message"]
    assert dial.answers("mine", **ASKED, max_tokens=2)["baseline"], "the next one is answered"


@pytest.mark.parametrize(
    ("steer", "setting"), [("pushed", Setting(angle=30)), ("held", Setting(strength=2)), ("erased", Setting(layer=1))]
)
def test_a_setting_that_a_steer_lacks_is_r911(dial: Looking, steer: str, setting: Setting) -> None:
    opened = dial.desk.opened
    assert opened is not None
    with pytest.raises(RecipeError) as wrong:
        turned(steer, opened.steers[steer].points[0][1], setting)
    assert wrong.value.diagnostics[0].code == "R911" and wrong.value.diagnostics[0].help


def test_a_browser_that_leaves_frees_its_rows(dial: Looking) -> None:
    before = dial.desk.opened
    assert before is not None
    with dial.client.stream("POST", "/api/dial/mine/answer", json={**ASKED, "max_tokens": 64}) as response:
        next(response.iter_bytes())
    dial.answers("mine", **ASKED, max_tokens=2)
    assert before.batcher.waiting == 0 and before.batcher.alive


def test_the_model_is_asked_for_first(looking: Looking, runs: Path) -> None:
    response = looking.asked("mine.steer", **ASKED)
    assert response.status_code == 409 and "open it first" in response.text


def test_a_recipe_has_a_dial_and_takes_over_the_model(dial: Looking) -> None:
    before = dial.desk.opened
    assert before is not None
    assert dial.open("mine.steer")["state"] == "open"
    after = dial.desk.opened
    assert after is not None and after.batcher.session is before.batcher.session
    assert not before.batcher.alive and dial.state("mine")["state"] == "closed"
    assert dial.answers("mine.steer", **ASKED, max_tokens=2)["steered"]
    dial.open("mine")


def test_a_recipe_that_has_changed_is_opened_again(tiny_model: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "r.steer"
    recipe.write_text(f"{VALUES}steer pushed {{ add topic by 2 at layer 1 }}\n")
    own = Looking(Shelf([recipe]), opener(tiny_model))
    try:
        own.open("r.steer")
        recipe.write_text(f"{VALUES}steer pushed {{ add topic by 4.5 at layer 1 }}\n")
        assert own.state("r.steer")["state"] == "closed" and own.asked("r.steer", **ASKED).status_code == 409
        assert own.open("r.steer")["steers"][0]["points"][0]["strength"] == ["4.5"]
    finally:
        own.close()


def test_what_cannot_be_opened_says_why(runs: Path) -> None:
    def fails(source: Path, progress: Any) -> Any:
        raise RecipeError([Diagnostic("R874", "no such \x1b[31mmodel", help="name it")])

    def breaks(source: Path, progress: Any) -> Any:
        raise ZeroDivisionError

    for opens, said in ((fails, "error[R874]: no such"), (breaks, "a bug in steerdsl: ZeroDivisionError")):
        own = Looking(Shelf([runs]), opens)
        try:
            told = own.open("mine")
            assert told["state"] == "failed" and said in told["text"] and "\x1b" not in told["text"]
        finally:
            own.close()
