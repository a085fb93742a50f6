"""The report of a run: one file, made from the directory alone, escaped, whole and bounded."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import whole_records as records
from whole_records import answer, figures

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.show.report import write_report
from steerdsl.show.report.answers import marked
from steerdsl.show.report.figures import curve
from steerdsl.show.report.record import command_line

NASTY = "<script>alert('x')</script> & \"quotes\" </details>\x00"
VOID = {"meta", "img"}


class Page(HTMLParser):
    """Elements in the order they open, their text and attributes; every end must close the last open one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def text(self) -> str:
        return "".join(data for _, data in self.texts)


RECORD: dict[str, Any] = {
    **records.RECORD,
    "recipe": {"name": "econ.steer", "text": "# " + NASTY, "sha256": "ab" * 32, "folder": ".."},
    "inputs": {},
    "plan": {
        "params": {"strength": "2.5"},
        "batch_size": 16,
        "steps": [
            {**one, **more}
            for one, more in zip(
                records.RECORD["plan"]["steps"],
                ({"title": NASTY, "settings": [["at", "last_token"]]}, {"title": "evaluate less"}),
                strict=True,
            )
        ],
    },
    "model": {**records.RECORD["model"], "id": "HuggingFaceTB/SmolLM2-135M-Instruct", "dtype": "bfloat16"},
    "data": {"econ": {**records.RECORD["data"]["econ"], "rows": 3}},
    "run": {**records.RECORD["run"], "dtype": "bfloat16", "seed": 7, "set": ["strength=2 5"]},
    "choices": {
        "best": {
            **records.RECORD["choices"]["best"],
            **{"chosen": [9], "layers": [8, 9, 10], "order": [9, 8], "notes": [NASTY]},
            **{"score": [-1.0, -2.0, None], "figures": {"fisher": [1.0, 2.0, None]}},
        }
    },
    "checks": [
        {"claim": "check a < b", "holds": False, "left": 3.0, "right": 2.0, "by": 1.0, "at": {"angle": "90deg"}}
    ],
    "warnings": [NASTY],
}
AGAINST = {"baseline": {"difference": -7.0, "low": -9.0, "high": -5.0, "p": 0.01, "p_holm": 0.02}}
SCORES: dict[str, Any] = {
    "scores": {
        "bleu": {"econ": {"baseline": figures(40), "less": figures(33, against=AGAINST), "random": figures(39)}}
    },
    "swept": {
        "points": [
            {"at": {"angle": f"{x}deg"}, "scores": {"bleu": {"econ": {"baseline": figures(40), "main": figures(x)}}}}
            for x in (0, 90, 180)
        ]
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run directory with everything in it, whose name has quotes too."""
    made = tmp_path / 'it\'s "mine" <b>'
    (made / "plots").mkdir(parents=True)
    write(made, RECORD, SCORES, [answer("baseline", NASTY), answer("less", "an answer")])
    return made


def write(folder: Path, record: Any, scores: Any, rows: list[dict[str, Any]]) -> None:
    (folder / "record.json").write_text(json.dumps(record))
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "generations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_what_others_wrote_is_text(folder: Path) -> None:
    page = read(folder)
    assert "script" not in page.names and "b" in page.names
    shown = NASTY.replace("\x00", "\ufffd")
    # The prompt's answer, twice (it is the summary's pair); a step's title, in the guide and in the plan; a note
    # of the choice, a warning, the recipe's text.
    assert page.text.count(shown) == 7
    assert ("title", f"{folder.name}: econ.steer") in page.texts
    assert not [name for name, _ in page.attributes if name.startswith("on")]


def test_the_page_needs_nothing_from_elsewhere(folder: Path) -> None:
    (folder / "plots" / "pca.png").write_bytes(b"\x89PNG pixels")
    (folder / "plots" / "pca.svg").write_bytes(b"<svg/>")
    (folder / "topic.png").write_bytes(b"\x89PNG topic")
    page = read(folder)
    sources = [value for name, value in page.attributes if name in ("src", "srcset")]
    assert all(value and value.startswith("#") for name, value in page.attributes if name == "href")
    pixels = base64.b64encode(b"\x89PNG topic").decode()
    assert sources == ["data:image/svg+xml;base64,PHN2Zy8+", f"data:image/png;base64,{pixels}"]
    style = next(data for tag, data in page.texts if tag == "style")
    assert "url(" not in style and "@import" not in style and "prefers-color-scheme: dark" in style
    assert "default-src 'none'" in write_report(folder).read_text()


def test_scores_stand_with_intervals_controls_and_differences(folder: Path) -> None:
    text = read(folder).text
    assert "econ (3 prompts)bleubaseline40[39, 41]less33[32, 34]random39[38, 40]" in text
    assert "difference from baseline−7[−9, −5]p = .020" in text
    assert "swept: over angle, 3 points" in text and "0 to 180" in text and "180deg180[179, 181]" in text
    assert "check a < b (angle 90deg)fails32" in text
    assert "best: layer 9 of topic by fisher" in text and "kind pc1, explained 0.5, flipped yes" in text


def test_an_older_run_without_controls_is_shown(folder: Path) -> None:
    scores = {
        "scores": {
            "bleu": {
                "econ": {
                    "baseline": figures(40),
                    "less": {**figures(0), "mean": None, "low": None, "high": None, "n": 0},
                }
            }
        }
    }
    older = {key: value for key, value in RECORD.items() if key not in ("planes", "judge", "reused_from", "files")}
    write(folder, older, scores, [])
    text = read(folder).text
    assert "bleubaseline40[39, 41]less–" in text and "difference from" not in text


def test_a_run_that_failed_early_is_shown_as_far_as_it_got(folder: Path) -> None:
    for name in ("scores.json", "generations.jsonl"):
        (folder / name).unlink()
    failed = {**RECORD, "state": "failed", "reached": "step 1, extract topic", "error": "R810 <it>", "choices": {}}
    (folder / "record.json").write_text(json.dumps(failed))
    page = read(folder)
    assert "reachedstep 1, extract topic" in page.text and "R810 <it>" in page.text
    assert "Answers" not in page.text and "Scores" not in page.text


def test_answers_are_bounded_and_withheld_ones_say_so(folder: Path) -> None:
    rows = [answer(variant, f"text {i}", i) for i in range(20) for variant in ("baseline", "less")]
    rows += [answer("main", "turned", 0, step="swept", point={"angle": f"{x}deg"}) for x in range(0, 360, 10)]
    rows += [
        answer("less", None, 0, step="unsafe", withheld=True, text_sha256="78" * 32),
        answer("less", " ", 1, step="unsafe"),
    ]
    rows += [answer("baseline", "a second sample", 0, sample=1), answer("reference", "a reference")]
    write(folder, RECORD, SCORES, rows)
    text = read(folder).text
    assert "scores on econ: 20 prompts" in text and "8 further prompts are in generations.jsonl" in text
    assert "prompt 11" in text and "prompt 12" not in text
    assert "main, the same at 36 points" in text and "main, angle" not in text
    assert "withheld" in text and "(empty)" in text
    assert "a second sample" not in text and "a reference" not in text


def test_every_point_of_a_sweep_can_be_read_and_what_is_the_same_stands_once(folder: Path) -> None:
    rows = []
    for x in range(0, 360, 45):
        at = {"step": "swept", "point": {"angle": f"{x}deg"}}
        steers = (("baseline", "plain"), ("main", f"turned by {x}"), ("prompted", "asked"))
        rows += [answer(variant, text, **at) for variant, text in steers]
    write(folder, RECORD, SCORES, rows)
    text = read(folder).text.partition("swept on econ")[2].partition("Plan")[0]
    assert re.findall(r"main, angle (\d+)deg", text) == [str(x) for x in range(0, 360, 45)]
    assert text.count("asked") == 1 and "prompted, the same at 8 points" in text and text.count("plain") == 1
    many = [answer("main", f"turned by {x}", step="swept", point={"angle": f"{x}deg"}) for x in range(200)]
    write(folder, RECORD, SCORES, many)
    text = read(folder).text
    assert len(re.findall(r"main, angle \d+deg", text)) == 120 and "80 further answers are in generations.jsonl" in text


def test_the_top_says_what_came_out_what_was_done_and_which_way_is_which(folder: Path) -> None:
    page = read(folder)
    titles = [data for tag, data in page.texts if tag == "h2"]
    assert titles[:4] == ["Summary", "Claims", "How to read this page", "Recipe"] and "Answers" in titles
    links = [value for name, value in page.attributes if name == "href"]
    ids = {value for name, value in page.attributes if name == "id"}
    assert {str(link)[1:] for link in links} == ids and len(links) == len(titles)
    said = page.text
    assert "bestlayer 9 of topic, by fisher" in said
    assert "lesslowers bleu on econ from 40 to 33 [32, 34] (3 prompts, p = .020; lower is more changed)" in said
    assert "random directions: 39" in said
    assert "bleun-gram overlap with the unsteered answers, 0 to 100; 100 is an identical answer" in said


def test_tables_with_many_metrics_are_longer_and_not_wider(folder: Path) -> None:
    metrics = {f"m{i}": {"econ": {"baseline": figures(i), "less": figures(i + 1)}} for i in range(12)}
    points = [{"at": {"x": str(k)}, "scores": metrics} for k in (1, 2)]
    write(folder, RECORD, {"scores": metrics, "swept": {"points": points}}, [])
    heads = re.findall(r"<thead><tr>(.*?)</tr></thead>", write_report(folder).read_text())
    assert max(head.count("<th") for head in heads) <= 9
    text = read(folder).text
    assert "econ (3 prompts)baselinelessm00[−1, 1]1[0, 2]" in text and text.count("m11, econ") == 2


def test_answers_that_have_nothing_in_common_are_not_struck_out() -> None:
    plain = "Inflation is a rise of the price level over time in an economy."
    other = "My legs, my legs! They hurt."
    assert marked(plain, other, "del") == f"<p>{plain}</p>"


def test_words_that_differ_are_marked_on_both_sides() -> None:
    before, after = "The bank raised its rates today.", "The cook raised  its pan today, twice."
    assert marked(before, after, "del") == "<p>The <del>bank</del> raised its <del>rates</del> today.</p>"
    assert (
        marked(after, before, "ins") == "<p>The <ins>cook</ins> raised  its <ins>pan</ins> today<ins>, twice</ins>.</p>"
    )
    assert marked("a < b", None, "ins") == "<p>a &lt; b</p>"
    assert marked("same", "same", "ins") == "<p>same</p>"


def test_large_pictures_are_pixels_and_too_many_are_left_out(folder: Path) -> None:
    (folder / "plots" / "large.svg").write_bytes(b"s" * 800_000)
    (folder / "plots" / "large.png").write_bytes(b"p" * 1000)
    for i in range(3):
        (folder / "plots" / f"other{i}.png").write_bytes(b"p" * 3_000_000)
    page = read(folder)
    sources = [value or "" for name, value in page.attributes if name == "src"]
    assert [len(source) > 10_000 for source in sources] == [False, True, True]
    assert "left out for their size: plots/other2" in page.text


def test_a_curve_has_its_line_its_level_and_its_chosen_place() -> None:
    drawn = curve([0.0, 1.0, None, 3.0, 2.0], level=1.5, chosen=(3,))
    lines = [
        [tuple(map(float, p.split(","))) for p in found.split()] for found in re.findall(r'points="([^"]*)"', drawn)
    ]
    # 160 × 32 with an edge of 3: x in quarters of 154, y from 29 at the lowest to 3 at the highest.
    assert lines == [
        [(3.0, 29.0), (41.5, pytest.approx(29 - 26 / 3, abs=0.05))],
        [(118.5, 3.0), (157.0, pytest.approx(29 - 52 / 3, abs=0.05))],
    ]
    assert re.findall(r'<circle cx="([^"]*)" cy="([^"]*)" r="3" class="chosen">', drawn) == [("118.5", "3.0")]
    assert 'y1="16.0" y2="16.0" class="level"' in drawn
    assert curve([None, None]) == ""


def test_the_command_is_the_one_that_was_typed() -> None:
    words = ["steerdsl", "run", "econ.steer", "--set", "strength=2 5", "--dtype", "bfloat16", "--batch-size", "16"]
    assert list(command_line(RECORD)) == [*words, "--seed", "7"]
    run = {**RECORD["run"], "seed": None, "set": [], "model": "some/model", "keep_unsafe": True}
    typed: Any = {**RECORD, "run": run, "recipe": {"name": "-e"}}
    kept = ["--model", "some/model", "--dtype", "bfloat16", "--batch-size", "16", "--keep-unsafe"]
    assert list(command_line(typed)) == ["steerdsl", "run", "recipe.steer", *kept]


def test_no_record_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="it has no record"):
        write_report(tmp_path)
    (tmp_path / "record.json").write_text("[]")
    with pytest.raises(RecipeError, match="is damaged"):
        write_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_the_same_run_gives_the_same_bytes(folder: Path) -> None:
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first


def call(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    from steerdsl.cli.main import main

    monkeypatch.setattr("sys.argv", ["steerdsl", "report", *words])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


def test_the_command_writes_the_report_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not call(monkeypatch, str(folder))
    assert capsys.readouterr().out == f"{folder / 'report.html'}\n"
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_the_command_names_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, str(tmp_path)) == 2
    assert f"error[R880]: {tmp_path} is not a run directory: it has no record.json\n" in capsys.readouterr().err
