"""The pages of `steerdsl view`: the list of runs, a run, a recipe, two runs compared.

In: what is on the shelf. Out: HTML in which all that recipes, data and models wrote is escaped. Its parts are those of
report.html; what moves on a page is the work of the scripts beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.share.comparison import Comparison, Part, compare_runs, marked
from steerdsl.show.numbers import apart, signed
from steerdsl.show.report import html
from steerdsl.show.report.answers import answers
from steerdsl.show.report.code import code
from steerdsl.show.report.figures import number
from steerdsl.show.report.found import choices, pictures, searched
from steerdsl.show.report.guide import found, guide, recipe
from steerdsl.show.report.html import Html, contents, section, table, tag
from steerdsl.show.report.record import claims, headline, plan, record, rerun
from steerdsl.show.report.scores import scores
from steerdsl.store.finished_run import Finished
from steerdsl.viewing.shelf import Shelf, ShelfItem, Summary
from steerdsl.viewing.sweeps import sweeps

LISTED = 1000  # runs of the list
DIFFERENCES = 200  # differences of one kind that are shown
ANSWERS = 24  # answers of a comparison that are shown
LARGEST = 1 << 20  # bytes of a recipe


def index(shelf: Shelf) -> str:
    """What there is: recipes, then runs with how they ended."""
    items = list(shelf.items().values())
    runs = [item for item in items if item.kind == "run"][:LISTED]
    recipes = [item for item in items if item.kind == "recipe"]
    parts = [tag("header", tag("h1", "steerdsl"))]
    if recipes:
        parts.append(section("Recipes", tag("ul", *(tag("li", _link(item)) for item in recipes))))
    if runs:
        head = ("run", "", "recipe", "model", "started", "claims")
        rows_ = [_run_row(item, shelf.summary(item)) for item in runs]
        parts.append(section("Runs", table(head, rows_, class_="runs"), _compare_form(runs) if len(runs) > 1 else ""))
    else:
        where = ", ".join(map(str, shelf.folders))
        empty = f"There is no run in {where} yet." if where else "No run was named."
        example = tag("pre", tag("code", "steerdsl run recipes/econ.steer"))
        parts.append(section("Runs", tag("p", empty, " A run appears here when it has ended:"), example))
    return _page("steerdsl", *parts)


def run_page(item: ShelfItem, run: Finished) -> str:
    """A run: what came out, its sweeps with their answers, the dial, and all that report.html has."""
    first = [part(run) for part in (found, claims, sweeps)]
    rest = [part(run) for part in (recipe, searched, scores, pictures, choices, answers, guide, plan, rerun, record)]
    parts = [*first, *([_dial(item)] if run.steers or _swept(run) else []), *rest]
    header = tag("header", _up(), headline(run), contents(parts))
    return _page(item.name, header, tag("main", *(part for part in parts if part)), item=item.name)


def recipe_page(item: ShelfItem) -> str:
    """A recipe with its dial. Raises OSError and ValueError for a file that is no text of bounded size."""
    with item.place.open("rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"{item.place.name} has more than {LARGEST} bytes")
    parts = [_dial(item), section("Recipe", code(data.decode("utf-8")))]
    header = tag("header", _up(), tag("h1", item.name))
    return _page(item.name, header, tag("main", *parts), item=item.name)


def comparison_page(names: tuple[str, str], before: Finished, after: Finished) -> str:
    """Two runs side by side: what went in, vectors, scores, answers. Raises RecipeError as `compare_runs`."""
    told = compare_runs(before, after)
    equal = tag("p", "Nothing differs but times and places.") if told.equal else Html("")
    parts = [equal, *_differences(told, names)]
    header = tag("header", _up(), tag("h1", f"{names[0]} and {names[1]}"), contents(parts))
    return _page(f"{names[0]} and {names[1]}", header, tag("main", *parts))


def wrong_page(title: str, text: str) -> str:
    """What cannot be shown, and why."""
    return _page(title, tag("header", _up(), tag("h1", title)), tag("main", tag("pre", text, class_="error")))


def refusal(error: RecipeError) -> str:
    """The diagnostics as the terminal prints them."""
    return "".join(map(render, error.diagnostics))


def _page(title: str, *body: Html, item: str | None = None) -> str:
    """A whole page. Styles and scripts are files of the server; nothing inline runs."""
    styles = (tag_("link", rel="stylesheet", href=f"/assets/{name}.css") for name in ("report", "view"))
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag_("link", rel="icon", href="data:,"),
        *styles,
        tag("script", type="module", src="/assets/view.js"),
    )
    shown = tag("body", *body, **({} if item is None else {"data-item": item}))
    return f"<!doctype html>\n{tag('html', head, shown, lang='en')}\n"


def tag_(name: str, **attributes: str) -> Html:
    """An element that has no end."""
    return Html(tag(name, **attributes).removesuffix(f"</{name}>"))


def _up() -> Html:
    return tag("p", tag("a", "all runs", href="/"), class_="up")


def _link(item: ShelfItem) -> Html:
    return tag("a", item.name, href=f"/{item.kind}s/{quote(item.name, safe='')}")


def _run_row(item: ShelfItem, about: Summary) -> list[Html | str]:
    if about.wrong:
        return [_link(item), tag("span", "cannot be read", class_="state failed"), about.wrong.splitlines()[0]]
    state = tag("span", about.state, class_=f"state {about.state.split(' ')[-1]}")
    counted = Counter(about.claims)
    said = ", ".join(f"{outcome}: {n}" for outcome, n in counted.items())
    seconds = "" if about.seconds is None else f", {number(about.seconds)} s"
    return [_link(item), state, Path(about.recipe).name, about.model, f"{about.started}{seconds}", said]


def _compare_form(runs: Sequence[ShelfItem]) -> Html:
    def choice(name: str, place: int) -> Html:
        options = (
            tag("option", item.name, value=item.name, selected="" if i == place else None)
            for i, item in enumerate(runs)
        )
        return tag("select", *options, name=name, **{"aria-label": f"the {name} run"})

    parts = ("Compare ", choice("first", 1), " with ", choice("second", 0), " ", tag("button", "Compare"))
    return tag("form", *parts, action="/compare", method="get", class_="compare")


def _swept(run: Finished) -> bool:
    return any(step["verb"] == "sweep" for step in run.record["plan"]["steps"])


def _dial(item: ShelfItem) -> Html:
    note = "Turn a steer by hand, and a prompt is answered anew without it and with it. The model is opened first."
    start = tag("button", "Open the model", type="button", id="open")
    return section("Dial", tag("p", note, class_="note"), tag("div", start, id="panel", class_="dial"))


def _differences(told: Comparison, names: tuple[str, str]) -> Iterator[Html]:
    rows = [(d.name, _plain(d.before), _plain(d.now)) for d in told.settings]
    yield section("What went in", _bounded(("", *names), rows) if rows else tag("p", "equal", class_="note"))
    vectors = [
        (v.name, "equal" if v.equal else f"{v.missing} run has none" if v.missing else _cosines(v.cosines))
        for v in told.vectors
    ]
    yield section("Vectors", _bounded((), vectors) if vectors else "")
    changed = [
        (", ".join(x for x in s.place if x), *apart(s.before, s.after), signed(s.difference))
        for s in told.changed_scores
    ]
    same = len(told.scores) - len(changed)
    yield section(
        "Scores",
        tag("p", f"{same} equal, {len(changed)} different", class_="note") if told.scores else "",
        _bounded(("", *names, "difference"), changed) if changed else "",
    )
    total = told.equal_answers + len(told.answers)
    alone = "".join(f"; {n} only in {name}" for n, name in zip(told.alone, names, strict=True) if n)
    said = tag("p", f"{told.equal_answers} of {total} equal{alone}", class_="note")
    articles = []
    for pair in told.answers[:ANSWERS]:
        sides = zip(names, marked(pair.before, pair.after), ("del", "ins"), strict=True)
        cards = (tag("div", tag("h5", name), tag("p", *_marked(parts, mark))) for name, parts, mark in sides)
        place = tag("p", ", ".join(x for x in pair.place if x), class_="note")
        articles.append(tag("article", tag("h4", pair.prompt), place, tag("div", *cards, class_="answers")))
    left = len(told.answers) - len(articles)
    more = tag("p", f"{left} further answers differ", class_="note") if left > 0 else ""
    yield section("Answers", said, *articles, more)


def _cosines(found: Sequence[tuple[int, float]]) -> str:
    if not found:
        return "no layer in common"
    low, high = (end(cosine for _, cosine in found) for end in (min, max))
    return f"cosines from {low:.6f} to {high:.6f}, {len({layer for layer, _ in found})} layers"


def _bounded(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    left = len(rows) - DIFFERENCES
    more = tag("p", f"and {left} more", class_="note") if left > 0 else ""
    return html.joined((table(head, rows[:DIFFERENCES], class_="figures"), more))


def _marked(parts: Sequence[Part], mark: str) -> Iterator[Html | str]:
    yield from (tag(mark, words) if own else words for words, own in parts)


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    return "–" if value is None else str(value)
