"""Which line ends end a statement, and where nodes say that they stand."""

from __future__ import annotations

import pytest

from steerdsl.lang import nodes as n
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source, Span


def parsed(text: str) -> tuple[n.Statement, ...]:
    file, report = parse(Source("x.steer", text))
    assert not report.found
    return file.statements


@pytest.mark.parametrize(
    "text",
    [
        "topic = extract diffmean\n    from econ\n    vs generic\n\n    # said between\n    at last_token",
        "topic =\textract diffmean from econ vs generic at last_token  # said after",
        "\n;\n topic = extract diffmean from econ vs generic at last_token;;\r\n",
        "\ufefftopic = extract diffmean from econ vs generic\r\n  at last_token\r\n",
    ],
)
def test_lines_that_continue(text: str) -> None:
    file, report = parse(Source("x.steer", text))
    assert not report.found
    assert file.statements == parsed("topic = extract diffmean from econ vs generic at last_token")


def test_lists_and_brackets_may_span_lines() -> None:
    text = """\
steer a
{
  ablate plane(
    topic,
    pc1
  )
}
out = generate from econ with n: 2,
  steer: a,
  seed: 1
"""
    file, report = parse(Source("x.steer", text))
    assert not report.found
    steer, out = file.statements
    assert steer == parsed("steer a { ablate plane(topic, pc1) }")[0]
    assert isinstance(out, n.Binding)
    assert [o.key for o in out.value.clauses[1].items] == ["n", "steer", "seed"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("ablate topic;\nat layers 6", ["ablate", "at"]),
        ("ablate topic\nablate warm", ["ablate", "ablate"]),
        ("steer a { use b }\nat layers 6", ["steer", "at"]),
        ("ablate f(x\nwarm = y", ["ablate", "warm"]),
        ("out = generate from a with n: 1,\nplot x", ["out", "plot"]),
        ("out = generate from a with n: 1,\nstep: 2", ["out"]),
    ],
)
def test_where_statements_begin(text: str, starts: list[str]) -> None:
    file, _ = parse(Source("x.steer", text))
    assert [text[s.span.start :].split()[0] for s in file.statements] == starts


def test_spans_are_exact() -> None:
    text = "  topic = extract diffmean from econ vs generic at token -2 # end\nsteer a { use topic }"
    file, _ = parse(Source("x.steer", text))

    def at(node: n.Node) -> str:
        return text[node.span.start : node.span.end]

    binding, steer = file.statements
    assert isinstance(binding, n.Binding) and isinstance(binding.value, n.Action) and isinstance(steer, n.Steer)
    assert at(binding) == "topic = extract diffmean from econ vs generic at token -2"
    assert at(binding.name) == "topic"
    assert text[binding.value.verb_span.start : binding.value.verb_span.end] == "extract"
    assert [at(c) for c in binding.value.clauses] == ["from econ vs generic", "at token -2"]
    assert binding.value.clauses[1].number is not None  # type: ignore[union-attr]
    assert at(binding.value.clauses[1].number) == "-2"  # type: ignore[union-attr]
    assert at(steer) == "steer a { use topic }"
    assert at(steer.body[0]) == "use topic"
    assert file.span == Span(0, len(text))


def test_empty_recipes() -> None:
    for text in ("", "\n\n", "# nothing\n", " ; ;\n"):
        file, report = parse(Source("x.steer", text))
        assert file == n.File(()) and not report.found
