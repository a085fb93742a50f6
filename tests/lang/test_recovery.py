"""After a mistake: one diagnostic for each broken statement, nodes for every good one, and no crash."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from trees import files

from steerdsl.lang import nodes
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source
from steerdsl.lang.unparse import statement_text

GOOD = "topic = extract diffmean from econ vs generic at last_token"

# Each breaks its own statement and no other.
MISTAKES = [
    ("S101", "best = select topic by dispersion"),
    ("S102", "ablat topic at layers 6"),
    ("S105", 'model "unclosed'),
    ("S106", "warm extract diffmean from a vs b"),
    ("S107", "out = generate from econ with n = 4"),
    ("S109", "rotate turn to 210 deg"),
    ("S110", "ablate topic at layers 6,16,"),
    ("S115", "ablate plane(topic, pc1"),
    ("S116", "check scores.bleu.econ <"),
    ("S121", "ablate topic evrywhere"),
]


def codes(text: str) -> list[str]:
    return [d.code for d in parse(Source("x.steer", text))[1].found]


def test_ten_mistakes_among_good_statements_give_ten_diagnostics() -> None:
    lines = [line for _, wrong in MISTAKES for line in (GOOD, wrong)]
    file, report = parse(Source("x.steer", "\n".join([*lines, GOOD])))
    assert [d.code for d in report.found] == [code for code, _ in MISTAKES]
    assert [report.source.position(d.labels[0].span.start)[0] for d in report.found] == list(range(2, 21, 2))
    kinds = [type(statement) for statement in file.statements]
    assert kinds == [nodes.Binding, nodes.Bad] * 10 + [nodes.Binding]


def test_mistakes_inside_a_block_are_found_one_by_one() -> None:
    body = "\n".join(wrong for _, wrong in MISTAKES)
    file, report = parse(Source("x.steer", f"steer a {{\n{GOOD}\n{body}\n}}\n{GOOD}"))
    assert [d.code for d in report.found] == [code for code, _ in MISTAKES]
    steer, after = file.statements
    assert isinstance(steer, nodes.Steer) and isinstance(after, nodes.Binding)
    assert [type(s) for s in steer.body] == [nodes.Binding] + [nodes.Bad] * 10


def test_an_unclosed_bracket_does_not_swallow_the_next_statement() -> None:
    file, report = parse(Source("x.steer", f"ablate plane(topic,\n{GOOD}\nsteer a {{ use b }}"))
    assert [d.code for d in report.found] == ["S110"]
    assert [type(s) for s in file.statements] == [nodes.Bad, nodes.Binding, nodes.Steer]


def test_an_unclosed_block_ends_where_the_indentation_says() -> None:
    file, report = parse(Source("x.steer", f"steer a {{\n    ablate topic\n\nsteer b {{\n    use a\n}}\n{GOOD}\n"))
    assert [d.code for d in report.found] == ["S103"]
    assert [type(s) for s in file.statements] == [nodes.Steer, nodes.Steer, nodes.Binding]


def test_a_bad_head_leaves_its_body_checked() -> None:
    assert codes("steer first {\n    ablate topic evrywhere\n}") == ["S112", "S121"]


def test_deep_nesting_is_refused() -> None:
    for text in (
        "ablate " + "(" * 5000,
        "{" * 5000,
        "steer a {" * 5000,
        "d = " + "-" * 5000 + "b",
        "d = b" + " + b" * 5000,
    ):
        assert codes(text) == ["S128"]


def test_long_words_are_cut_in_messages() -> None:
    _, report = parse(Source("x.steer", "a" * 5000))
    assert report.found[0].title == f"no statement begins with `{'a' * 40}…`"


@settings(max_examples=25)
@given(files)
def test_a_broken_line_changes_no_other_statement(file: nodes.File) -> None:
    text = "\n".join(statement_text(s) for s in file.statements)
    parsed, report = parse(Source("x.steer", f"ablat topic at layers 6\n{text}"))
    assert [d.code for d in report.found] == ["S102"]
    assert parsed.statements[1:] == file.statements


WORDS = [
    *["=", "==", ",", ";", "{", "}", "(", ")", "[", "]", ":", "-", "#", ".", "'", '"', '"s"', "6", "8..22", "40%"],
    *["topic", "n", "ablate", "extract", "from", "vs", "at"],
    "\n",
]
WORDS += ["layers", "with", "steer", "sweep", "over", "and", "step", "keep"]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(WORDS), max_size=25).map(" ".join) | st.text(max_size=40))
def test_any_text_is_read_or_refused_with_places_inside_it(text: str) -> None:
    file, report = parse(Source("x.steer", text))
    assert bool(report.found) >= any(isinstance(s, nodes.Bad) for s in file.statements)
    for diagnostic in report.found:
        span = diagnostic.labels[0].span
        assert 0 <= span.start < span.end <= len(text) + 1
        assert diagnostic.title and not diagnostic.title.endswith(".")
