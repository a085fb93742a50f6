"""The pages in a real browser: what a click, a key and a turn of the dial do, and that no record runs there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from looking import Looking, opener
from test_pages import hostile

from steerdsl.viewing.shelf import Shelf

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
CHROMIUM = next((found for name in NAMES if (found := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"no Chromium on this machine: none of {', '.join(NAMES)}")
WAIT = 60_000  # milliseconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page; nothing on it may go wrong unseen."""
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    made = context.new_page()
    made.set_default_timeout(WAIT)
    wrong: list[str] = []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    yield made
    context.close()
    assert wrong == []


def lines(runs: Path, **wanted: Any) -> list[dict[str, Any]]:
    found = map(json.loads, (runs / "mine" / "generations.jsonl").read_text("utf-8").splitlines())
    return [line for line in found if all(line.get(key) == value for key, value in wanted.items())]


def shown(text: str) -> str:
    """A text as a page has it: what cannot be read as a character is none, and white space is one space."""
    return " ".join(text.split())


def test_a_click_on_a_point_shows_its_answers(page: Any, looking: Looking, runs: Path) -> None:
    page.goto(f"{looking.url}/runs/mine")
    spot = page.locator('.spot[data-place="1"] .reach').first
    spot.scroll_into_view_if_needed()
    box = spot.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".behind article")
    title = page.locator(".behind h3").text_content()
    assert title == "s at angle 90deg"
    prompts = page.locator(".behind article h4").all_text_contents()
    own = lines(runs, variant="turned", point={"angle": "90deg"})
    assert prompts == [line["prompt"] for line in own]
    cards = page.locator(".behind article .answers > div:nth-child(2) p").all_text_contents()
    assert [shown(card) for card in cards] == [shown(line["text"]) or "(empty)" for line in own]


def test_keys_go_along_a_line_and_show_a_point(page: Any, looking: Looking) -> None:
    page.goto(f"{looking.url}/runs/mine")
    page.locator('.spot[data-variant="baseline"]').first.focus()
    page.keyboard.press("ArrowRight")
    place = page.evaluate("document.activeElement.dataset.place")
    page.keyboard.press("ArrowLeft")
    assert (place, page.evaluate("document.activeElement.dataset.place")) == ("1", "0")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.place") == "3", "a circle has no end"
    page.keyboard.press("Enter")
    page.wait_for_selector(".behind article")
    assert page.locator(".behind h3").text_content() == "s at angle 270deg"
    assert page.locator(".spot.here").count() >= 1


def says(page: Any, side: str, line: dict[str, Any]) -> None:
    """Wait until one side of the dial has this answer and is not at work any more."""
    text = shown(line["text"]) or "(empty)"
    find = """([side, text]) => {
        const said = document.querySelector(`.dial .${side} p`)?.textContent ?? "";
        const done = document.querySelector("[data-state=answered]") !== null;
        return done && said.split(/[\\s\\x1c-\\x1f\\x85]+/).filter(Boolean).join(" ") === text;
    }"""
    page.wait_for_function(find, arg=[side, text])


def test_the_dial_answers_what_the_run_did_and_turns(page: Any, looking: Looking, runs: Path) -> None:
    looking.open("mine.steer")  # so that the page has to ask for its own
    page.goto(f"{looking.url}/runs/mine")
    page.locator('.spot[data-place="1"]').first.focus()
    page.keyboard.press("Enter")
    page.get_by_text("Take it to the dial").click()
    page.wait_for_selector(".knob")
    page.locator("label.tokens input").fill("6")
    page.locator("label.tokens input").dispatch_event("change")
    for side, variant in (("baseline", "baseline"), ("steered", "turned")):
        says(page, side, lines(runs, variant=variant, point={"angle": "90deg"})[0])
    assert page.locator(".knob").get_attribute("aria-valuenow") == "90"

    page.locator(".knob").focus()
    page.keyboard.press("PageUp")
    page.keyboard.press("PageUp")
    says(page, "steered", lines(runs, variant="turned", point={"angle": "180deg"})[0])

    box = page.locator(".knob").bounding_box()  # dragged to the left, and then to the bottom
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(middle[0] - 40, middle[1])
    page.mouse.down()
    page.mouse.move(middle[0], middle[1] + 40)
    page.mouse.up()
    assert page.locator(".knob").get_attribute("aria-valuenow") == "270"
    says(page, "steered", lines(runs, variant="turned", point={"angle": "270deg"})[0])


def test_there_are_sliders_for_what_a_steer_has(page: Any, looking: Looking) -> None:
    looking.open("mine")
    page.goto(f"{looking.url}/runs/mine")
    page.wait_for_selector("label.steer select")
    visible = {}
    for steer in ("pushed", "erased", "held", "turned"):
        page.locator("label.steer select").select_option(steer)
        parts = {"angle": ".knobs", "strength": "label.strength", "layer": "label.layer", "point": "label.point"}
        visible[steer] = {name for name, place in parts.items() if page.locator(place).is_visible()}
    assert visible == {
        **{"pushed": {"strength", "layer"}, "erased": {"strength"}, "held": {"layer"}},
        "turned": {"angle", "layer", "point"},
    }
    page.locator("label.steer select").select_option("pushed")
    page.locator("label.strength input").fill("1.5")
    assert page.locator("label.strength output").text_content() == "3 (× 1.5)"
    page.locator("text=As in the recipe").click()
    assert page.locator("label.strength output").text_content() == "2 (× 1)"
    page.wait_for_selector("[data-state=answered]")


def test_a_strangers_record_runs_nothing(page: Any, runs: Path, tiny_model: Path, tmp_path: Path) -> None:
    hostile(tmp_path / "<img src=x onerror=steal()>", runs / "mine")
    own = Looking(Shelf([tmp_path]), opener(tiny_model))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script("window.stolen = []; window.steal = () => window.stolen.push(1)")
    try:
        page.goto(own.url)
        page.locator(".runs a").click()
        page.wait_for_url("**/runs/*", wait_until="load")
        page.locator('.spot[data-place="1"]').first.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(".behind article")
        assert "steal()" in page.locator(".behind").text_content()
        assert page.evaluate("window.stolen") == [] and page.locator("script").count() == 1
        assert all(url.startswith((own.url, "data:")) for url in asked)
    finally:
        own.close()


@pytest.mark.parametrize("path", ["/", "/runs/mine", "/recipes/mine.steer", "/compare?first=mine&second=mine"])
@pytest.mark.parametrize("width", [360, 800])
def test_no_page_is_wider_than_a_narrow_screen(page: Any, looking: Looking, path: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(looking.url + path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_and_light_are_the_screens_own(page: Any, looking: Looking) -> None:
    def ground(scheme: str) -> str:
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{looking.url}/runs/mine")
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    assert ground("light") == "rgb(255, 255, 255)" and ground("dark") == "rgb(21, 23, 26)"
