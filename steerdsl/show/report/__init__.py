"""`report.html`: one file that shows a run, made from its directory alone.

In: a run directory. Out: a page without scripts, fonts or pictures from elsewhere; whatever recipes,
data and models wrote is escaped.
"""

from __future__ import annotations

from pathlib import Path

from steerdsl.show.report.answers import answers
from steerdsl.show.report.found import added, choices, pictures, searched
from steerdsl.show.report.guide import found, guide, recipe
from steerdsl.show.report.html import contents, page, tag
from steerdsl.show.report.record import claims, headline, plan, record, rerun
from steerdsl.show.report.scores import scores
from steerdsl.store.finished_run import Finished, open_run

REPORT = "report.html"


def fragment(run: Finished) -> str:
    """What a notebook shows of a run: what came out, its claims, its scores and its pictures."""
    return tag("div", *(part(run) for part in (found, claims, scores, pictures)))


def write_report(folder: Path) -> Path:
    """Write `report.html` into a run directory from its files; returns its path.

    Parts that a run did not reach are left out. Raises RecipeError as `open_run`, OSError where the page cannot
    be written.
    """
    from steerdsl.store.files import write_text

    run = open_run(folder, whole=False)
    first = (found, claims, guide, recipe)
    parts = [part(run) for part in (*first, searched, scores, added, pictures, choices, answers, plan, rerun, record)]
    body = [tag("header", headline(run), contents(parts)), tag("main", *(part for part in parts if part))]
    name = Path(run.record["recipe"]["name"]).name
    write_text(folder / REPORT, page(f"{folder.name}: {name}", *body))
    return folder / REPORT
