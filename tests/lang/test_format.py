"""The formatter keeps meaning and comments, and formatting twice is formatting once."""

from __future__ import annotations

import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st
from trees import files

from steerdsl.lang import nodes
from steerdsl.lang.format import WIDTH, format_source
from steerdsl.lang.grammar import lex
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source
from steerdsl.lang.unparse import statement_text


def formatted(text: str) -> str:
    result, report = format_source(Source("x.steer", text))
    assert not report.found
    return result


def comments(text: str) -> list[str]:
    return [token.rstrip() for token in lex(text) if token.type == "COMMENT"]


def numbers(text: str) -> list[str]:
    """The numbers as they are spelt."""
    return [str(token) for token in lex(text) if token.type == "QUANTITY"]


def ragged(file: nodes.File, seed: int) -> str:
    """The file's text with comments, blank lines, line ends and extra space at random allowed places."""
    dice = random.Random(seed)
    text = "\n".join(statement_text(s) for s in file.statements)
    out: list[str] = []
    for token in lex(text):
        if token.type == "_NL":
            out.append(dice.choice(["\n", "; ", ";\n", " # end of a statement\n", "\n\n\n# alone\n"]))
        elif token.type == "COMMA" or (out and out[-1].endswith(("(", "[", "{"))):
            out.append(f"{token}" + dice.choice(["", " ", "\n", "  # inside\n"]))
        elif token.type in ("FROM", "AT", "BY", "TO", "ON", "WITH", "DURING", "KEEP", "AND"):
            out.append(dice.choice([" ", "\n  ", " # before a clause\n", "\n # over a clause\n\n"]) + f"{token} ")
        else:
            out.append(f"{token} " if token.type not in ("NAME", "QUANTITY") else f" {token} ")
    return "".join(out)


@settings(max_examples=40)
@given(files)
def test_printed_nodes_parse_to_themselves(file: nodes.File) -> None:
    text = "\n".join(statement_text(s) for s in file.statements)
    parsed, report = parse(Source("x.steer", text))
    assert not report.found
    assert parsed == file


@settings(max_examples=40)
@given(files, st.integers(0, 10**6))
def test_format_keeps_nodes_comments_and_numbers_and_is_idempotent(file: nodes.File, seed: int) -> None:
    text = ragged(file, seed)
    once = formatted(text)
    assert parse(Source("x.steer", once))[0] == file
    assert comments(once) == comments(text)
    assert numbers(once) == numbers(text)
    assert formatted(once) == once


def test_layout() -> None:
    text = """

# The recipe.
edition 1;  model "m" with dtype:bf16   # the model



topic=extract diffmean
  from econ vs generic   # two classes
  # the end of the prompt
  at last_token
steer both{use warm;use honest  # in this order

  ablate (topic[ 6,16 ]) layers 1..3 step 2,7 on head(1,2), attn_out
  # done
}
steer empty { }
sweep a over 1,2
and b over 10%..20% step 5% { ablate topic layers b }   # grid
"""
    assert (
        formatted(text)
        == """\
# The recipe.
edition 1
model "m" with dtype: bf16  # the model

topic = extract diffmean from econ vs generic  # two classes
    # the end of the prompt
    at last_token
steer both {
    use warm
    use honest  # in this order

    ablate topic[6,16] at layers 1..3 step 2,7 on head(1, 2), attn_out
    # done
}
steer empty {}
sweep a over 1,2 and b over 10%..20% step 5% {
    ablate topic at layers b
}  # grid
"""
    )


def test_one_liner_takes_three_lines() -> None:
    text = "extract diffmean from econ vs generic at last_token; ablate layers 6,16,22; rotate plane(pc1) by 210deg"
    assert formatted(text) == (
        "extract diffmean from econ vs generic at last_token\nablate at layers 6,16,22\nrotate plane(pc1) by 210deg\n"
    )


def test_long_lines_break_before_a_clause() -> None:
    line = (
        "scores = evaluate forgetful on econ.held_out, generic.held_out "
        'with bleu, rouge_l, kl, refusal_rate, keyword_rate("econ"), max_tokens: 64'
    )
    lines = formatted(line).splitlines()
    assert len(lines) == 2
    assert all(len(each) <= WIDTH for each in lines)
    assert re.match(r" {4}with bleu", lines[1])


def test_comments_stay_where_they_are() -> None:
    text = """\
steer a {  # opens
    # above
    use b  # beside

    # below
}  # closes
# at the end
"""
    assert formatted(text) == text


def test_a_recipe_with_errors_stays_as_it_is() -> None:
    text = "topic =  extract\nablate   topic\n"
    result, report = format_source(Source("x.steer", text))
    assert result == text
    assert [d.code for d in report.found] == ["S116"]


def test_empty_recipes_format_to_nothing() -> None:
    assert formatted("\n\n ; \n") == ""
    assert formatted("\n# only a comment") == "# only a comment\n"
