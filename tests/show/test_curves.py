"""Curves as text, as `steerdsl run` prints them."""

from __future__ import annotations

from rich.console import Console

from steerdsl.measure.table import of_json
from steerdsl.show.curves import curves

CHOICE = {
    "vector": "topic",
    "criterion": "fisher",
    "chosen": [9],
    "layers": [8, 9, 10],
    "figures": {"fisher": [1.0, 2.0, 1.5]},
    "score": [-1.0, -2.0, None],
}


def printed(scores: dict[str, object], choices: dict[str, object]) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in curves(of_json(scores), choices):
        console.print(table)
    return "\n".join(line.rstrip() for line in console.export_text().splitlines() if line.strip(" ─"))


def point(at: dict[str, str], mean: float | None) -> dict[str, object]:
    return {"at": at, "scores": {"bleu": {"econ": {"baseline": {"mean": 9.0}, "main": {"mean": mean}}}}}


def test_a_choice_is_a_line_for_each_figure_with_the_chosen_layer_in_brackets() -> None:
    text = printed({}, {"best": CHOICE})
    assert "best: layer 9 of topic by fisher, from layers 8 to 10" in text
    assert "▁[█]▅" in text and "█[▁]·" in text
    assert text.split("fisher ")[-1].split()[1:3] == ["1", "2"]


def test_a_sweep_over_one_axis_is_a_line_for_each_variant() -> None:
    points = [point({"angle": f"{x}deg"}, mean) for x, mean in ((0, 1.0), (90, None), (180, 3.5))]
    text = printed({"scores": {"points": points}, "plain": {"bleu": {}}}, {})
    assert "scores: over angle from 0deg to 180deg" in text
    assert text.split("bleu, econ")[1].split() == ["main", "▁·█", "1", "3.5"]


def test_two_axes_and_no_sweep_have_no_curve() -> None:
    assert printed({"scores": {"points": [point({"a": "1", "b": "2"}, 1.0)]}, "plain": {"bleu": {}}}, {}) == ""
