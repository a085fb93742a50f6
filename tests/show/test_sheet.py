"""Tables on any width: no figure is cut or broken, and a pipe has no width."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steerdsl.measure.table import of_json
from steerdsl.show.numbers import apart, duration, number, p_value, signed
from steerdsl.show.sheet import Sheet
from steerdsl.show.tables import claims, score_tables, sweep_table
from steerdsl.show.terminal import Terminal

FIGURE = re.compile(r"[-+]?\d[\d.]*(?:e[-+]\d+)?")


def printed(sheet: Any, width: int) -> str:
    out = io.StringIO()
    Terminal(file=out, width=width).print(sheet)
    return out.getvalue()


def line(mean: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 1.0, "high": mean + 1.5, "n": 3, "values": [mean] * 3, **more}


numbers = st.floats(-1e12, 1e12).filter(lambda x: abs(x) > 1e-12)


@settings(max_examples=60)
@given(means=st.lists(numbers, min_size=2, max_size=7), width=st.integers(10, 160))
def test_every_figure_of_a_score_table_stands_whole_at_every_width(means: list[float], width: int) -> None:
    gap = {"baseline": {"difference": means[0], "low": means[0] - 2, "high": means[0] + 2, "p": 0.03, "p_holm": 0.04}}
    table = {f"metric_{i}": {"econ": {"baseline": line(m), "s": line(m, against=gap)}} for i, m in enumerate(means)}
    (sheet,) = score_tables(of_json({"scores": table}))
    words = set(re.split(r"[\s\[\],]+", printed(sheet, width)))
    for mean in means:
        assert {number(mean), number(mean - 1.0), number(mean + 1.5)} <= words
    assert {signed(means[0]), number(means[0] - 2), number(means[0] + 2)} <= words
    assert "p = .040" in printed(sheet, width)


@settings(max_examples=60)
@given(values=st.lists(numbers, min_size=1, max_size=6), width=st.integers(30, 120))
def test_prose_is_broken_between_words_and_never_in_a_figure(values: list[float], width: int) -> None:
    text = " and ".join(f"{number(x)} [{number(x - 1)}, {number(x + 1)}] (p = .042)" for x in values)
    out = printed(Sheet(("", ""), [("name", text)], prose=(1,)), width)
    for x in values:
        assert f"{number(x)} " in out.replace("\n", " ") and f"[{number(x - 1)}, {number(x + 1)}]" in out
    assert out.count("p = .042") == len(values)


def by_data(x: int) -> dict[str, Any]:
    return {"econ": {"baseline": line(1), "s": line(12345.678 * x)}}


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_sweeps_and_claims_are_whole_too(width: int) -> None:
    points = [{"at": {"strength": f"{x}%"}, "scores": {"a": by_data(x), "b": by_data(x)}} for x in (1, 2)]
    out = printed(sweep_table("swept", of_json({"swept": {"points": points}})), width)
    assert {"12346", "24691", "24690", "24693"} <= set(re.split(r"[\s\[\],]+", out))
    check = {"claim": "check a < b", "holds": False, "left": 0.500001, "right": 0.5, "at": {}}
    assert "0.500001 against 0.5" in " ".join(printed(claims([check]), width).split())


def test_a_table_is_turned_before_it_is_broken_into_bands() -> None:
    table = {f"m{i}": {"econ": {"baseline": line(1), "s": line(2)}} for i in range(9)}
    (sheet,) = score_tables(of_json({"scores": table}))
    wide, narrow = printed(sheet, 200).splitlines(), printed(sheet, 50).splitlines()
    assert wide[1].split() == [f"m{i}" for i in range(9)]
    assert narrow[1].split() == ["baseline", "s"] and all(len(row) <= 50 for row in narrow)


def test_a_pipe_has_no_width_and_columns_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    out = io.StringIO()
    Terminal(file=out).print(Sheet(("", ""), [("name", "word " * 200)], prose=(1,)))
    assert len(out.getvalue().splitlines()[0]) > 900
    monkeypatch.setenv("COLUMNS", "60")
    out = io.StringIO()
    Terminal(file=out).print(Sheet(("", ""), [("name", "word " * 200)], prose=(1,)))
    assert max(map(len, out.getvalue().splitlines())) <= 60


TEXTS = {
    2270.4: "2270",
    1234567.0: "1234567",
    999.7: "1000",
    0.00192: "0.00192",
    0.0666: "0.0666",
    12.34: "12.3",
    0: "0",
    -0.0111: "-0.0111",
    1.2e-5: "1.2e-05",
    3e12: "3e+12",
    None: "–",
    float("nan"): "–",
    float("inf"): "∞",
    "3": "–",
}


@pytest.mark.parametrize(("x", "text"), TEXTS.items())
def test_a_figure_is_rounded_and_keeps_every_digit_before_its_point(x: Any, text: str) -> None:
    assert number(x) == text


@given(st.floats(-1e9, 1e9, exclude_min=True, exclude_max=True))
def test_no_figure_below_a_milliard_has_an_exponent_for_its_size(x: float) -> None:
    assert "e+" not in number(x) and float(number(x)) == pytest.approx(x, rel=5.1e-3, abs=1e-300)


@given(numbers, numbers)
def test_two_figures_that_differ_are_told_apart(a: float, b: float) -> None:
    one, two = apart(a, b)
    assert (one == two) == (a == b)
    assert float(one) == pytest.approx(a, rel=6e-3) and float(two) == pytest.approx(b, rel=6e-3)


@pytest.mark.parametrize(("p", "text"), [(0.0004, "p < .001"), (0.042, "p = .042"), (0.9999, "p = 1"), (None, "")])
def test_p_values(p: float | None, text: str) -> None:
    assert p_value(p) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.96, "10.0 s"), (9, "9 s"), (12.4, "12 s"), (125, "2 min 5 s"), (4321, "1 h 12 min")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
