"""Sweeps over words from the command line: one table, what is done once, and the same figures as written out."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from calling import Call

from steerdsl.engine import capture as capturing
from steerdsl.engine import generate_shared
from steerdsl.store.results import Store

METHODS = ("diffmean", "diffmean_unit", "pca", "pca_center", "pca_diff", "probe", "lda")
POSITIONS = ("last_token", "token -2", "suffix 2")
PAIRS = 'dataset NAME = "NAME.jsonl" with field: "q", positive: "yes", negative: "no", held_out: 40%\n'
CAA, LAW = PAIRS.replace("NAME", "caa"), PAIRS.replace("NAME", "law")
SCORED = "scores = evaluate pushed on DATA with delta_nll, max_tokens: 2, controls: none"


@pytest.fixture
def pairs(steerdsl: Call) -> None:
    """Two small data sets of pairs in the working folder."""
    for name, yes, no in (("caa", "yes money", "no water"), ("law", "of course", "never")):
        rows = [{"q": f"{name} {i}?", "yes": f" {yes} {i} a", "no": f" {no} b {i}"} for i in range(10)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """Readings of prompts, rows of answers and results that are put into the store, as they are made."""
    made: dict[str, list[Any]] = {"read": [], "rows": [], "stored": []}
    read, answer, save = capturing.capture_several, generate_shared.answer, Store.save

    def capture(session: Any, prompts: Any, *more: Any, **options: Any) -> Any:
        made["read"].append(len(prompts))
        return read(session, prompts, *more, **options)

    def answered(session: Any, rows: Any, *more: Any) -> Any:
        made["rows"].append(len(rows))
        return answer(session, rows, *more)

    def stored(self: Store, key: str, about: Any, *more: Any, **options: Any) -> Any:
        made["stored"].append(about.get("kind"))
        return save(self, key, about, *more, **options)

    monkeypatch.setattr(capturing, "capture_several", capture)
    monkeypatch.setattr(generate_shared, "answer", answered)
    monkeypatch.setattr(Store, "save", stored)
    return made


def run(on_tiny: Call, recipe: str, out: str) -> dict[str, Any]:
    Path(f"{out}.steer").write_text(recipe)
    code, _, err = on_tiny("run", f"{out}.steer", "--out", out, "-q")
    assert code == 0, err
    found: dict[str, Any] = json.loads((Path(out) / "scores.json").read_text())
    return found


def figures(scores: dict[str, Any]) -> dict[str, float]:
    """The mean of each variant of the one metric and the one data set."""
    (by_data,) = scores.values()
    (by_variant,) = by_data.values()
    return {variant: line["mean"] for variant, line in by_variant.items()}


def test_seven_methods_at_three_positions_are_one_table(
    on_tiny: Call, pairs: None, counted: dict[str, list[Any]]
) -> None:
    body = "v = extract METHOD from caa at PLACE\nsteer pushed { add v by 2 at layer 1 }\n"
    body += SCORED.replace("DATA", "caa.positive") + "\n"
    axes = f"method over {','.join(METHODS)} and place over {','.join(POSITIONS)}"
    swept = body.replace("METHOD", "method").replace("PLACE", "place")
    made = run(on_tiny, f"{CAA}sweep {axes} {{\n{swept}}}\nplot scores.delta_nll\n", "swept")
    points = made["scores"]["points"]
    assert [point["at"] for point in points] == [{"method": m, "place": p} for m in METHODS for p in POSITIONS]
    # Each class is read once for all methods and positions, the unsteered answers are made once for all points.
    rows = sum(counted["rows"])
    assert len(counted["read"]) == 2
    assert counted["stored"].count("vector") == len(points)
    prompts = len(points[0]["scores"]["delta_nll"]["caa"]["baseline"]["values"])
    assert rows == prompts * (len(points) + 1)
    lines = list(csv.DictReader((Path("swept") / "scores.csv").read_text().splitlines()))
    own = [
        (line["at method"], line["at place"]) for line in lines if line["variant"] == "pushed" and not line["against"]
    ]
    assert own == [(m, p) for m in METHODS for p in POSITIONS]
    for m, p in (("probe", "suffix 2"), ("pca_diff", "token -2"), ("diffmean", "last_token")):
        plain = run(on_tiny, CAA + body.replace("METHOD", m).replace("PLACE", p), f"{m} {p[:4]}")
        point = next(each for each in points if each["at"] == {"method": m, "place": p})
        assert figures(point["scores"]) == pytest.approx(figures(plain["scores"]), rel=1e-5)
    assert Path("swept/plots/scores-delta_nll.svg").exists()


def test_an_extraction_is_made_once_for_each_value_that_it_depends_on(
    on_tiny: Call, pairs: None, counted: dict[str, list[Any]]
) -> None:
    body = "same = extract diffmean from caa\nv = extract method from caa\n"
    body += "steer pushed { add v by k at layer 1; add same by 1 at layer 0 }\n"
    body += "out = generate from caa.positive with steer: pushed, max_tokens: 1"
    run_text = f"{CAA}sweep method over pca,probe and k over 1..3 {{\n{body}\n}}\n"
    Path("x.steer").write_text(run_text)
    code, _, err = on_tiny("run", "x.steer", "--out", "x", "-q")
    assert code == 0, err
    assert len(counted["read"]) == 2
    assert counted["stored"].count("vector") == 3  # diffmean, pca, probe; not one for each of the six points


def test_behaviours_are_one_axis(on_tiny: Call, pairs: None) -> None:
    body = "v = extract diffmean from DATA\nsteer pushed { add v by K at layer 1 }\n"
    body += SCORED.replace("DATA", "DATA.positive") + "\n"
    swept = body.replace("DATA", "behavior").replace("K", "k")
    text = f"{CAA}{LAW}sweep behavior over caa,law and k over 1,2 {{\n{swept}}}\ncheck scores.delta_nll.behavior < 99\n"
    points = run(on_tiny, text + "plot scores.delta_nll.behavior over k, behavior\n", "swept")["scores"]["points"]
    assert [list(point["scores"]["delta_nll"]) for point in points] == [["behavior"]] * 4
    for point in points:
        name, k = point["at"].values()
        own = run(on_tiny, CAA + LAW + body.replace("DATA", name).replace("K", k), f"{name} {k}")
        assert list(own["scores"]["delta_nll"]) == [name]
        assert figures(point["scores"]) == pytest.approx(figures(own["scores"]), rel=1e-5)
    record = json.loads(Path("swept/record.json").read_text())
    assert [(check["at"], check["holds"]) for check in record["checks"]] == [(point["at"], True) for point in points]
    lines = [json.loads(line) for line in Path("swept/generations.jsonl").read_text().splitlines()]
    assert {line["dataset"] for line in lines} == {"caa", "law"}
    assert all(line["dataset"] == line["point"]["behavior"] for line in lines)


def test_steers_are_one_axis_and_are_shown_as_one(on_tiny: Call, steerdsl: Call, pairs: None) -> None:
    head = CAA + LAW + "one = extract diffmean from caa\ntwo = extract diffmean from law\n"
    head += "steer jolly { add one by 2 at layer 1 }\nsteer sober { add two by 2 at layer 1 }\n"
    asked = "evaluate WHICH on caa.positive with delta_nll, max_tokens: 2, controls: none"
    text = f"{head}sweep which over jolly,sober {{ by_steer = {asked.replace('WHICH', 'which')} }}\n"
    points = run(on_tiny, text + "plot by_steer.delta_nll\n", "swept")["by_steer"]["points"]
    for point in points:
        name = point["at"]["which"]
        plain = run(on_tiny, head + f"s = {asked.replace('WHICH', name)}\n", name)
        assert figures(point["scores"]) == pytest.approx(figures(plain["s"]), rel=1e-5)
    code, shown, _ = steerdsl("show", "swept")
    assert code == 0 and "over which, 2 points" in shown and "jolly" in shown and "█" in shown
    report = Path("swept/report.html").read_text()
    assert "jolly, sober" in report and 'class="bar"' in report


def test_each_point_keeps_its_choice(on_tiny: Call, pairs: None) -> None:
    body = "v = extract method from caa\nsame = extract diffmean from caa\nbest = select layers of v by fisher\n"
    body += "always = select layers of same\nsteer s { add v by 1 at layers best }\n"
    body += "steer t { add same by 1 at layers always }\nout = generate from caa.positive with steer: s, max_tokens: 1"
    Path("x.steer").write_text(f"{CAA}sweep method over diffmean,probe {{\n{body}\n}}\n")
    code, _, err = on_tiny("run", "x.steer", "--out", "x", "-q")
    assert code == 0, err
    record = json.loads(Path("x/record.json").read_text())
    assert sorted(record["choices"]) == ["always", "best at method diffmean", "best at method probe"]


def test_a_point_that_fails_is_marked_and_the_others_are_kept(on_tiny: Call, pairs: None) -> None:
    Path("odd.jsonl").write_text("".join(json.dumps({"prompt": f"odd {i}"}) + "\n" for i in range(12)))
    text = f'{CAA}dataset odd = "odd.jsonl" with held_out: 40%\nsweep method over diffmean,pca_diff {{\n'
    text += "v = extract method from caa.positive vs odd\nsteer pushed { add v by 2 at layer 1 }\n"
    Path("x.steer").write_text(text + SCORED.replace("DATA", "odd") + "\n}\nplot scores.delta_nll\n")
    code, _, err = on_tiny("run", "x.steer", "--out", "x", "-q")
    assert code == 3, err
    assert "at method pca_diff, extract v: R810" in err
    first, second = json.loads(Path("x/scores.json").read_text())["scores"]["points"]
    assert not first["failed"] and second["failed"] and figures(second["scores"])["pushed"] is None
