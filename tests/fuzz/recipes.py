"""Fuzz the language: recipes that the grammar makes, and recipes with words exchanged, checked, formatted and planned.

python tests/fuzz/recipes.py --count 10000
"""

from __future__ import annotations

import random
import sys
from functools import cache
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz.harness import command, main, mutated
from lark import Token

from steerdsl import registry
from steerdsl.lang.check import check_source
from steerdsl.lang.format import format_source
from steerdsl.lang.grammar import SOFT, VERB, Cursor, lex, spellings, verbs
from steerdsl.lang.source import Source

ROOT = Path(__file__).parents[2]
HEAD = "topic = extract diffmean from econ vs generic\nbest = select layers of topic by fisher\n"
STEER = "steer s {\n    ablate topic[best] everywhere\n}\nscores = evaluate s on econ with bleu, rouge_l\n"
TUNE = (
    "best = tune depth over 20%..80% and strength over 0..4 {\n"
    "    steer t { add topic by strength at layers depth }\n"
    "    trial = evaluate t on econ with bleu\n"
    "    maximize bleu.econ subject to bleu.econ < 90, bleu.econ > 10% with trials: 12, seed: 1\n"
    "}\n"
    "steer u { add topic by 2 * best.strength at layers best.depth }\n"
)
NUMBERS = ("0", "1", "12", "-3", "1e308", "1e400", "0.5", "40%", "210deg", "3rad", "2furlong", "9" * 400)
NAMES = ("topic", "best", "s", "scores", "econ", "generic", "econ.held_out", "scores.bleu.econ", "all", "last", "pc1")
TEXTS = (
    '""',
    '"a.jsonl"',
    '"a.json"',
    '"a.tsv"',
    '"a.parquet"',
    '"label"',
    '"I love you"',
    '"../x"',
    r'"\x"',
    '"\x1b[2J"',
    '"' + "é" * 300 + '"',
    '"org/name"',
)
KINDS = ("extract", "select", "plane", "metric", "position", "stream", "plot", "condition")

STATEMENTS: tuple[registry.Kind, ...] = ("statement", "op")


@cache
def words() -> tuple[str, ...]:
    """The names that recipes use, and those of the registry."""
    return (*NAMES, *(name for kind in KINDS for name in registry.entries(kind)))  # type: ignore[arg-type]


@cache
def good() -> tuple[str, ...]:
    """Recipes that are right: the gallery's, the tests' and the examples of every word."""
    files = [*(ROOT / "recipes").glob("*.steer"), *(ROOT / "tests" / "recipes" / "good").glob("*.steer")]
    examples = (HEAD + entry.example for kind in STATEMENTS for entry in registry.entries(kind).values())
    searches = "topic = extract diffmean from econ vs generic\n" + TUNE + "final = evaluate u on econ\n"
    return (*(file.read_text(encoding="utf-8") for file in sorted(files)), *examples, searches)


@cache
def pool() -> dict[str, tuple[str, ...]]:
    """What stands for the terminals that have no one spelling."""
    signs = {"COMPARE": ("<", ">=", "=="), "_NL": ("\n", ";")}
    return {"NAME": words(), "VERB": (*verbs(),), "QUANTITY": NUMBERS, "STRING": TEXTS, **signs, **SOFT}


def token(chance: random.Random, kind: str) -> str:
    """A word for a terminal of the grammar."""
    if kind in spellings():
        return spellings()[kind]
    pool = {
        "NAME": words(),
        "VERB": (*verbs(),),
        "QUANTITY": NUMBERS,
        "STRING": TEXTS,
        "COMPARE": ("<", ">=", "=="),
        "_NL": ("\n", ";"),
        **SOFT,
    }
    return chance.choice(pool.get(kind, ("@",)))


def grown(chance: random.Random) -> str:
    """A recipe that the grammar takes, up to a length: a walk through the parser's states."""
    cursor, made = Cursor("file"), []
    for _ in range(chance.randrange(4, 30)):
        kinds = sorted(cursor.accepts() - {"$END"})
        if not kinds:
            break
        kind = chance.choice(kinds)
        text = token(chance, kind)
        made.append(text)
        soft = kind == VERB or kind in SOFT  # which `layout` tells from names
        fed = [Token.new_borrow_pos(kind, t.value, t) for t in lex(text) if soft or t.type == kind]
        if not fed:
            break
        cursor.feed(fed[0])
    return HEAD + STEER + " ".join(made) + "\n"


def exchanged(chance: random.Random) -> str:
    """A good recipe with some of its tokens exchanged, left out or doubled."""
    tokens = lex(chance.choice(good()))
    made = [str(t) for t in tokens]
    alike = chance.random() < 0.5  # by words of their kind, so that more recipes stay right
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        at = chance.randrange(len(tokens))
        if alike:
            made[at] = token(chance, tokens[at].type) if tokens[at].type in ("NAME", "QUANTITY") else made[at]
        else:
            new = chance.choice((*NUMBERS, *words(), *TEXTS, *spellings().values(), "", made[at] * 2, "\n"))
            made[at] = chance.choice((new, made[chance.randrange(len(made))]))
    return " ".join(made)


@cache
def planned_once() -> None:
    """Import what planning needs, which takes longer than any case may."""
    command("plan", "-e", HEAD + STEER, "--offline")


def case(chance: random.Random, folder: Path) -> str | None:
    """Check, format and plan one recipe. What is formatted says the same, and stays as it is when formatted again."""
    planned_once()
    kind = chance.random()
    if kind < 0.1:
        text = mutated(chance, chance.choice(good()).encode()).decode("utf-8", "replace")
    else:
        text = grown(chance) if kind < 0.25 else exchanged(chance)
    source = Source("x.steer", text)
    recipe, report = check_source(source, read=lambda path: Source(path, "param p = 1\n"))
    layout, _ = format_source(source)
    assert format_source(Source("x.steer", layout))[0] == layout, "formatting twice changes the text"
    if recipe is None:
        assert report.errors and all(d.help or d.notes or d.labels for d in report.errors)
        return report.errors[0].code
    again, _ = check_source(Source("x.steer", layout), read=lambda path: Source(path, "param p = 1\n"))
    assert again is not None and len(again.steps) == len(recipe.steps), "formatting changes the meaning"
    (folder / "x.steer").write_text(text, encoding="utf-8", newline="")
    command("plan", str(folder / "x.steer"), "--offline")
    return "planned"


if __name__ == "__main__":
    main(case, "Fuzz recipes: check, fmt and plan.", 10_000)
