"""What is probably wrong with a statement that does not parse.

In: the statement's tokens. Out: one `Mistake`. The first function in `MISTAKES` that recognises the
case speaks; a suggestion that can be tried is tried: the repaired tokens must parse further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lark import Token

from steerdsl.lang import mistakes_foreign as foreign
from steerdsl.lang import mistakes_lexical as lexical
from steerdsl.lang import wording
from steerdsl.lang.build import token_span
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.failure import Failure, Mistake, fail_at
from steerdsl.lang.grammar import clause_words, heads, keywords, lex, statement_words
from steerdsl.lang.layout import CLOSING, OPENING, opens_statement
from steerdsl.lang.wording import quote, spelt
from steerdsl.registry import entries

SEPARATE = "put a new line or `;` between two statements"
VERBS = frozenset({"EXTRACT", "LOAD", "ORTHOGONALIZE", "GENERATE", "EVALUATE", "SELECT"})
FOREIGN = {
    "for": "a sweep repeats its block: `sweep angle over 0deg..350deg step 10deg { … }`",
    "while": "a sweep repeats its block: `sweep angle over 0deg..350deg step 10deg { … }`",
    "if": "a condition is a clause of an operation: `when proj(topic) > 0`",
    "import": 'another recipe is read by `use "model.steer"`',
    "include": 'another recipe is read by `use "model.steer"`',
    "let": "a binding needs no word before its name: `topic = extract …`",
    "var": "a binding needs no word before its name: `topic = extract …`",
    "set": 'a value to change from outside is a param: `param strength = 40% "what it means"`',
    "assert": "a claim is a check: `check scores.bleu.econ < 50% of baseline`",
    "def": "a steer is a named list of operations: `steer forgetful { … }`",
    "subtract": "write `add topic by -10%` to subtract a direction, `ablate topic` to remove it",
    "remove": "a direction is removed by `ablate topic`",
    "erase": "a direction is removed by `ablate topic`",
    "project": "a direction is projected out by `ablate topic`",
    "inject": "a direction is added by `add topic by 10%`",
    "intervene": "an intervention is an operation: `ablate topic everywhere`, `add topic by 10% at layers 12`",
    "print": "`steerdsl plan` and `steerdsl show` print; a recipe has `plot` and `check`",
    "return": "a recipe has no result to return: `check`, `plot` and `export` say what is wanted",
    "prompt": 'prompts are a data set: `dataset mine = "mine.txt"`',
    "data": 'data is declared by `dataset econ = "econ.jsonl"`',
    "layer": "layers go in a clause of an operation: `ablate topic at layers 12`",
}


def explain(tokens: Sequence[Token]) -> Mistake:
    """Return the one thing to say about a statement that does not parse."""
    failure = fail_at(tokens)
    return next(mistake for rule in MISTAKES if (mistake := rule(failure)) is not None)


def option_with_equal(f: Failure) -> Mistake | None:
    """`with take = 75`."""
    if f.token not in ("=", "==") or "COLON" not in f.expected or f.before is None:
        return None
    value = f.tokens[f.at + 1] if f.at + 1 < len(f.tokens) else "…"
    return Mistake("S107", "an option is written with a colon", f.span, f"write {quote(f'{f.before}: {value}')}")


def reserved_name(f: Failure) -> Mistake | None:
    """A word of the language where a name is expected."""
    if f.kind == "EQUAL" and f.at == 1 and f.head in keywords():
        return _reserved(f.tokens[0])
    if f.token is None or f.kind not in keywords():
        return None
    if f.at == 0:
        second = f.tokens[1].type if len(f.tokens) > 1 else ""
        return _reserved(f.token) if second == "EQUAL" else None
    if f.kind == "MODEL" and f.tokens[f.at - 1].type in ("SWEEP", "TUNE", "AND"):
        title, help = "no axis goes over models", "run the recipe for each of them, as in `steerdsl run … --model gpt2`"
        return Mistake("S480", title, token_span(f.token), help)
    named = "NAME" in f.expected and f.helped_by(f.at, f.at + 1, ("NAME", "name"))
    return _reserved(f.token) if named and "$END" not in f.expected else None


def _reserved(word: Token) -> Mistake:
    title = f"`{word}` is a word of the language and cannot be a name"
    return Mistake("S112", title, token_span(word), f"choose another name, such as `my_{word}`")


def clause_alone(f: Failure) -> Mistake | None:
    if f.at > 0 or f.kind not in clause_words():
        return None
    title = f"`{f.token}` cannot begin a statement"
    return Mistake("S122", title, f.span, "a clause follows its statement: remove the `;` or `}` between them")


def missing_equal(f: Failure) -> Mistake | None:
    """`topic extract …`, `param strength: 40%`."""
    if f.expected != {"EQUAL"} or f.before is None:
        return None
    name = f.before
    if f.head == "NAME" and f.kind not in VERBS | {"COLON", "COMPARE"}:
        return None
    at = f.at
    while at + 1 < len(f.tokens) and f.tokens[at].type in ("COLON", "COMPARE", "EQUAL"):  # `:=`, `: =`
        at += 1
    after = f.tokens[at] if at < len(f.tokens) else None
    value = "…" if after is None else f"{after} …" if after.type in VERBS else str(after)
    return Mistake("S106", f"`=` is missing after {quote(name)}", f.span, f"write {quote(f'{name} = {value}')}")


def unknown_statement(f: Failure) -> Mistake | None:
    if f.at > 1 or f.head in heads():
        return None
    word = f.tokens[0]
    if f.head != "NAME":
        return Mistake("S102", f"a statement cannot begin with {wording.found(word)}", token_span(word), BEGINNING)
    close = nearest(word, statement_words())
    help = FOREIGN.get(word) or (f"did you mean `{close}`?" if close else BEGINNING)
    return Mistake("S102", f"no statement begins with {quote(word)}", token_span(word), help)


BEGINNING = "a statement begins with `name =` or with a word such as `model`, `dataset`, `steer`, `ablate`, `generate`"


def block(f: Failure) -> Mistake | None:
    """Colons and missing braces after `steer` and `sweep`, and braces after anything else."""
    if f.head == "STEER" and f.at == 2 and f.kind in clause_words():
        given = spelt(f.tokens[1:])
        help = f"`steer` names a list of operations; one that adds a direction is `add {given}`"
        return Mistake("S108", "the block of `steer` goes in braces", f.span, help)
    if not {"STEER", "SWEEP", "TUNE"} & {token.type for token in f.tokens[:3]}:
        title = f"`{f.tokens[0]}` has no block"
        help = "only `steer`, `sweep` and `tune` have one"
        return Mistake("S125", title, f.span, help) if f.kind == "LBRACE" else None
    if "LBRACE" not in f.expected or f.kind not in ("COLON", "$END", "EQUAL"):
        return None
    head = " ".join([*f.tokens[:2], "…"] if f.at > 2 else f.tokens[: f.at])
    return Mistake("S108", f"the block of `{f.tokens[0]}` goes in braces", f.span, f"write `{head} {{ … }}`")


def axes(f: Failure) -> Mistake | None:
    """`sweep angle over 0deg..90deg, depth over 25%,50%`."""
    commas = [i for i, t in enumerate(f.tokens[: f.at]) if t.type == "COMMA"]
    block = next((t for t in f.tokens[:3] if t.type in ("SWEEP", "TUNE")), None)
    if block is None or f.kind != "OVER" or not commas:
        return None
    comma = f.tokens[commas[-1]]
    return Mistake(
        "S111", f"the axes of a {block} are joined with `and`", token_span(comma), f"write `and {f.before} over …`"
    )


def comma(f: Failure) -> Mistake | None:
    """A comma with nothing after it, or where none belongs."""
    ends = CLOSING | clause_words() | {"COMMA", "LBRACE", "$END"}
    if f.before is not None and f.before.type == "COMMA" and f.kind in ends:
        return Mistake("S110", "nothing follows this comma", token_span(f.before), "remove it")
    if f.kind != "COMMA":
        return None
    words = [t.type for t in f.tokens[: f.at] if t.type in clause_words()]
    if words and words[-1] == "FROM" and "VS" in f.expected:
        return Mistake("S110", "two classes are separated by `vs`", f.span, "write `from econ vs generic`")
    if f.at + 1 == len(f.tokens) or f.helped_by(f.at, f.at + 1):
        return Mistake("S110", "a comma does not belong here", f.span, "remove it")
    return None


def misspelt(f: Failure) -> Mistake | None:
    """A name here, or up to two tokens back, that was meant to be a word of the language."""
    for i in range(f.at, max(0, f.at - 3), -1):
        token = f.tokens[i] if i < len(f.tokens) else None
        if token is None or token.type != "NAME":
            continue
        fitting = {keywords()[t]: t for t in fail_at(f.tokens[:i]).expected if t in keywords()}
        if meant := _glued(f, i, fitting) or _similar(f, i, fitting):
            title = f"{quote(token)} is not a word of the language"
            return Mistake("S121", title, token_span(token), f"did you mean {quote(meant)}?")
    return None


def _similar(f: Failure, at: int, fitting: Mapping[str, str]) -> str | None:
    word = nearest(f.tokens[at], fitting)
    return word if word and f.helped_by(at, at + 1, (fitting[word], word)) else None


def _glued(f: Failure, at: int, fitting: Mapping[str, str]) -> str | None:
    """`vsgeneric`, `layers6`: a word and what follows it without the space."""
    for word in sorted(fitting, key=len, reverse=True):
        rest = lex(f.tokens[at].removeprefix(word))
        two = f.tokens[at].startswith(word) and len(rest) == 1
        if two and f.helped_by(at, at + 1, (fitting[word], word), (rest[0].type, rest[0])):
            return f"{word} {rest[0]}"
    return None


def comparison(f: Failure) -> Mistake | None:
    inside = f.head == "CHECK" or any(t.type == "WHEN" for t in f.tokens[: f.at])
    if not inside:
        return None
    if f.kind == "EQUAL":
        after_sign = f.before is not None and f.before.type == "COMPARE"
        help = f"write `{f.before}`" if after_sign and len(str(f.before)) == 2 else "write `==`, `<`, `<=`, `>` or `>=`"
        return Mistake("S118", "`=` does not compare", f.span, help)
    if f.kind == "COMPARE":
        return Mistake("S118", "two things are compared at a time", f.span, "write one comparison for each claim")
    if f.kind == "AND":
        return Mistake("S118", "`and` does not join comparisons", f.span, "write one `check` or `when` for each")
    return None


def brackets(f: Failure) -> Mistake | None:
    stack = f.open_brackets()
    if f.kind in CLOSING and (not stack or OPENING[stack[-1].type] != f.kind):
        title = f"`{f.token}` does not close `{stack[-1]}`" if stack else f"`{f.token}` closes nothing"
        return Mistake(
            "S104", title, f.span, "brackets close in the order in which they open" if stack else "remove it"
        )
    if not stack:
        return None
    opener = stack[-1]
    closer = ")" if opener.type == "LPAR" else "]"
    kind = OPENING[opener.type]
    if kind in f.expected and (f.token is None or f.helped_by(f.at, f.at, (kind, closer))):
        return Mistake("S115", "this bracket is never closed", token_span(opener), f"close it with `{closer}`")
    return None


def two_statements(f: Failure) -> Mistake | None:
    if "$END" not in f.expected or not opens_statement(f.tokens[f.at : f.at + 2]):
        return None
    return Mistake("S117", "a statement starts on a new line", f.span, SEPARATE)


def too_early(f: Failure) -> Mistake | None:
    if f.token is not None:
        return None
    missing = f"expected {wording.expected(f.expected)}"
    return Mistake("S116", "the statement ends too early", f.span, _example(f), missing)


def anything(f: Failure) -> Mistake:
    title = f"expected {wording.expected(f.expected)}, found {wording.found(f.token)}"
    return Mistake("S101", title, f.span, _example(f))


def _example(f: Failure) -> str:
    """A right statement of the kind that begins like this one, or that is bound here."""
    known = {**entries("op"), **entries("statement")}
    words = [str(t) for t in f.tokens[: f.at] if t.type in heads()]
    return f"for example `{known[words[0] if words else 'extract'].example}`"


MISTAKES: tuple[Callable[[Failure], Mistake | None], ...] = (
    lexical.open_string,
    foreign.foreign_comment,
    lexical.wrong_quotes,
    foreign.hook_path,
    lexical.dotted_number,
    lexical.unit_apart,
    foreign.range_of_layers,
    lexical.unquoted_path,
    lexical.unknown_character,
    foreign.strength_as_option,
    foreign.measure,
    option_with_equal,
    reserved_name,
    clause_alone,
    missing_equal,
    unknown_statement,
    block,
    axes,
    foreign.layers_in_brackets,
    comma,
    comparison,
    brackets,
    foreign.where_in_words,
    foreign.late_operand,
    two_statements,
    misspelt,
    foreign.one_word,
    too_early,
    anything,
)
