"""The pages: what they show of a run, that a stranger's record is shown and never obeyed, and who may ask."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from looking import RECIPE, Looking, opener

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.show.report.code import words
from steerdsl.viewing.app import ASSETS
from steerdsl.viewing.shelf import Shelf

EVIL = (
    "<script>steal()</script><img src=x onerror=steal()>\"'><svg onload=steal()></pre>"
    "\x1b]0;owned\x07\x1b[2J\u202e\u009b31m"
)
PAGES = ("/", "/runs/mine", "/recipes/mine.steer", "/compare?first=mine&second=mine")


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def having(self, name: str, value: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.found if value in (attrs.get(name) or "").split()]


def test_the_list_has_every_run_and_recipe(looking: Looking) -> None:
    page = Elements(looking.get("/").text)
    links = [attrs["href"] for tag, attrs in page.found if tag == "a"]
    assert links == ["/recipes/mine.steer", "/runs/mine"] and "complete" in page.text


def test_a_run_that_ends_meanwhile_appears_and_a_damaged_one_says_why(
    runs: Path, tiny_model: Path, tmp_path: Path
) -> None:
    own = Looking(Shelf([tmp_path]), opener(tiny_model))
    try:
        assert "There is no run" in own.get("/").text
        shutil.copytree(runs / "mine", tmp_path / "new")
        assert "/runs/new" in own.get("/").text and own.get("/runs/new").status_code == 200
        (tmp_path / "new" / "scores.json").write_text("{")
        assert "cannot be read" in own.get("/").text
        page = own.get("/runs/new")
        assert page.status_code == 422 and "error[R881]" in page.text and "Traceback" not in page.text
        assert own.get("/api/runs/new/s/0").status_code == 422
    finally:
        own.close()


def test_a_run_shows_scores_answers_and_its_recipe_with_marks(looking: Looking, runs: Path) -> None:
    page = Elements(looking.get("/runs/mine").text)
    assert RECIPE.strip() in page.text and page.having("class", "k-word")
    assert {"sweeps", "dial", "recipe", "scores", "answers", "plan", "record"} <= {
        attrs.get("id") for _, attrs in page.found
    }
    scores = json.loads((runs / "mine" / "scores.json").read_text("utf-8"))
    figures = [
        line["mean"]
        for point in scores["s"]["points"]
        for data in ("a", "b")
        for line in point["scores"]["keyword_rate"][data].values()
    ]
    assert len(figures) == 4 * 2 * 2 and page.having("class", "around")
    assert len(page.having("class", "spot")) == sum(mean is not None for mean in figures) > 8
    for place, point in enumerate(scores["s"]["points"]):
        mean = point["scores"]["keyword_rate"]["a"]["turned"]["mean"]
        labels = [s["aria-label"] for s in page.having("class", "spot") if s["data-place"] == str(place)]
        assert mean is None or any(f"a, turned, keyword_rate {mean:.3g}" in str(label) for label in labels), labels


@pytest.mark.parametrize("text", [RECIPE, EVIL, "", "\t ;;{", 'x = "', "ä 🦉 €"])
def test_marking_a_recipe_changes_none_of_its_text(text: str) -> None:
    assert "".join(piece for _, piece in words(text)) == text


def test_a_point_has_the_answers_of_the_run(looking: Looking, runs: Path) -> None:
    lines = [json.loads(line) for line in (runs / "mine" / "generations.jsonl").read_text("utf-8").splitlines()]
    for place, angle in enumerate(("0deg", "90deg", "180deg", "270deg")):
        told = looking.get(f"/api/runs/mine/s/{place}").json()
        assert (told["at"], told["steer"], told["point"], told["left"]) == (
            f"angle {angle}",
            "turned",
            {"angle": angle},
            0,
        )
        found = {
            (asked["data"], asked["row"], answer["name"]): "".join(text for text, _ in answer["parts"])
            for asked in told["prompts"]
            for answer in asked["answers"]
        }
        own = (line for line in lines if line.get("point") == {"angle": angle})
        assert found == {(line["dataset"], line["row"], line["variant"]): line["text"] for line in own}


NOWHERE = (
    "/runs/other",
    "/runs/..%2Fmine",
    "/runs/mine.steer",
    "/recipes/mine",
    "/compare?first=mine&second=x",
    "/other",
)
NOTHING = ("/api/runs/other/s/0", "/api/runs/mine/t/0", "/api/runs/mine/s/4", "/api/dial/other", "/assets/app.py")


@pytest.mark.parametrize("path", [*NOWHERE, *NOTHING, "/assets/..%2Fapp.py", "/assets/%2e%2e/app.py"])
def test_what_there_is_not_is_404(looking: Looking, path: str) -> None:
    assert looking.get(path).status_code == 404


@pytest.mark.parametrize(
    "path", [*PAGES, *NOWHERE, *NOTHING, "/api/dial/mine", "/api/runs/mine/s/0", *(f"/assets/{a}" for a in ASSETS)]
)
def test_nothing_inline_may_run_on_any_page(looking: Looking, path: str) -> None:
    response = looking.get(path)
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert response.headers["x-content-type-options"] == "nosniff"


def hostile(folder: Path, like: Path) -> None:
    """A record that has `EVIL` wherever a text may stand."""
    shutil.copytree(like, folder)
    record = json.loads((folder / "record.json").read_text("utf-8"))
    scores = json.loads((folder / "scores.json").read_text("utf-8"))
    lines = [json.loads(line) for line in (folder / "generations.jsonl").read_text("utf-8").splitlines()]
    keep = ("state", "on", "batch_size", "step", "step", "average", "variant", "dataset", "evaluation", "verb")
    record, lines = poisoned(record, keep), poisoned(lines, keep)
    record["state"] = "complete"
    for point in scores["s"]["points"]:
        point["at"] = {EVIL: point["at"]["angle"] + EVIL}
        point["scores"] = {f"{metric}{EVIL}": found for metric, found in point["scores"].items()}
    scores["s"]["points"][0]["failed"] = EVIL
    for line in lines:
        if "point" in line:
            line["point"] = {EVIL: line["point"]["angle"]}
    for name, value in (("record.json", record), ("scores.json", scores)):
        (folder / name).write_text(json.dumps(value), "utf-8")
    (folder / "generations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def poisoned(value: Any, keep: tuple[str, ...]) -> Any:
    match value:
        case str():
            return value + EVIL
        case list():
            return [poisoned(each, keep) for each in value]
        case dict():
            return {key: each if key in keep else poisoned(each, keep) for key, each in value.items()}
        case _:
            return value


def harmless(page: str) -> Iterator[str]:
    """What is wrong with a page: what could run, load or steer."""
    if found := [hex(ord(c)) for c in page if (ord(c) < 32 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0]:
        yield f"control characters: {found[:5]}"
    for tag, attrs in Elements(page).found:
        if tag == "script" and attrs != {"type": "module", "src": "/assets/view.js"}:
            yield f"a script: {attrs}"
        if tag in ("iframe", "object", "embed", "base", "style") or (
            tag == "img" and not str(attrs.get("src")).startswith("data:image/")
        ):
            yield f"a {tag}: {attrs}"
        yield from (f"{tag} has {name}" for name in attrs if name.startswith("on") or name in ("style", "srcdoc"))
        href = attrs.get("href")
        if href is not None and not href.startswith(("/", "#", "data:,")):
            yield f"a link to {href}"


def test_a_strangers_record_is_shown_and_never_obeyed(runs: Path, tiny_model: Path, tmp_path: Path) -> None:
    hostile(tmp_path / "<img src=x onerror=steal()>", runs / "mine")
    own = Looking(Shelf([tmp_path]), opener(tiny_model))
    try:
        (name,) = Shelf([tmp_path]).items()
        quoted = str(httpx.URL(path=f"/{name}").raw_path, "ascii").removeprefix("/")
        for path in ("/", f"/runs/{quoted}", f"/compare?first={quoted}&second={quoted}", f"/runs/{quoted}x"):
            page = own.get(path)
            assert page.status_code == (404 if path.endswith("x") else 200), page.text
            assert list(harmless(page.text)) == [], path
        assert "steal()" in own.get(f"/runs/{quoted}").text, "it is shown"
        told = own.get(f"/api/runs/{quoted}/s/0")
        assert told.headers["content-type"] == "application/json" and len(told.json()["prompts"]) > 1
        assert EVIL in told.json()["prompts"][0]["prompt"]
    finally:
        own.close()


def test_a_record_of_another_schema_is_refused_with_a_message(runs: Path, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "mine", tmp_path / "old")
    record = json.loads((tmp_path / "old" / "record.json").read_text("utf-8"))
    (tmp_path / "old" / "record.json").write_text(json.dumps({**record, "schema": 0}))
    own = Looking(Shelf([tmp_path]), opener(tiny_model))
    try:
        assert "cannot be read" in own.get("/").text
        page = own.get("/runs/old")
        assert page.status_code == 422 and "error[R882]" in page.text and "its schema is 0" in page.text
    finally:
        own.close()


def test_two_runs_are_compared(runs: Path, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "mine", tmp_path / "other")
    lines = (tmp_path / "other" / "generations.jsonl").read_text("utf-8").splitlines()
    changed = {**json.loads(lines[0]), "text": "Something else"}
    (tmp_path / "other" / "generations.jsonl").write_text("\n".join([json.dumps(changed), *lines[1:]]) + "\n")
    own = Looking(Shelf([runs / "mine", tmp_path / "other"]), opener(tiny_model))
    try:
        page = own.get("/compare?first=mine&second=other").text
        assert f"{len(lines) - 1} of {len(lines)} equal" in page and "<ins>Something</ins>" in page.replace(
            "<ins>Something else</ins>", "<ins>Something</ins>"
        )
        assert "Nothing differs" in own.get("/compare?first=mine&second=mine").text
    finally:
        own.close()


@pytest.mark.parametrize("path", [*PAGES, "/api/dial/mine", "/assets/view.js"])
def test_a_page_of_another_name_reaches_nothing(looking: Looking, path: str) -> None:
    assert looking.get(path, headers={"host": "evil.example"}).status_code == 403


POSTS = ("/api/dial/mine/open", "/api/dial/mine/answer")


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_a_form_of_another_page_asks_nothing(looking: Looking, path: str, kind: str) -> None:
    assert looking.client.post(path, content="{}", headers={"content-type": kind}).status_code == 415


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize(
    ("body", "status"), [("{", 400), ("NaN", 400), ('"' + "x" * (1 << 18) + '"', 413), ("\xff", 400)]
)
def test_a_body_that_is_wrong_is_refused(looking: Looking, path: str, body: str, status: int) -> None:
    content = body.encode("latin-1")
    response = looking.client.post(path, content=content, headers={"content-type": "application/json"})
    assert response.status_code == status


def test_with_a_key_a_browser_comes_in_by_a_link_that_has_it(runs: Path, tiny_model: Path) -> None:
    own = Looking(Shelf([runs]), opener(tiny_model), key="se cret")
    try:
        for path in (*PAGES[:2], "/api/dial/mine", "/assets/view.js"):
            assert own.get(path).status_code == 401
        assert own.get("/?key=wrong").status_code == 401
        came = own.get("/runs/mine?key=se%20cret")
        assert came.status_code == 303 and came.headers["location"] == "/runs/mine"
        cookie = came.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert own.get("/runs/mine").status_code == 200, "the client keeps the cookie"
        alone = httpx.get(own.url, headers={"authorization": "Bearer se cret"})
        assert alone.status_code == 200
    finally:
        own.close()


@pytest.mark.parametrize("name", ["gone", "other.txt", "bad.steerpack"])
def test_what_is_no_place_to_view_is_said(tmp_path: Path, name: str) -> None:
    if name != "gone":
        (tmp_path / name).write_text("x")
    with pytest.raises(RecipeError) as wrong:
        Shelf([tmp_path / name])
    assert wrong.value.diagnostics[0].code == ("R866" if name == "bad.steerpack" else "R910")


def test_runs_of_one_name_have_pages_of_their_own(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "mine", tmp_path / "mine")
    assert list(Shelf([runs, tmp_path]).items()) == ["mine", "mine~2"]
