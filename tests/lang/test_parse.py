"""Every form of the language, as text and as the nodes that it must give."""

from __future__ import annotations

import pytest

from steerdsl.lang import nodes as n
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source


def name(text: str) -> n.Name:
    return n.Name(tuple(text.split(".")))


def q(value: float, unit: str = "") -> n.Quantity:
    return n.Quantity(value, unit)


def call(function: str, *args: n.Expr | n.Option) -> n.Call:
    return n.Call(function, args)


def layers(*items: n.Item, word: str = "at", singular: bool = False) -> n.Layers:
    return n.Layers(items, word, singular)


def extract(method: str, *clauses: n.Clause) -> n.Action:
    return n.Action("extract", name(method), clauses)


def op(verb: str, operand: n.Expr | None, *clauses: n.Clause) -> n.Operation:
    return n.Operation(verb, operand, clauses)


def bind(to: str, value: n.Action | n.Value) -> n.Binding:
    return n.Binding(name(to), value)


def expr(value: n.Expr, *clauses: n.Clause) -> n.Value:
    return n.Value(value, clauses)


ECON = n.From(name("econ"), name("generic"))
LAST = n.At("last_token")
TOPIC = name("topic")
SIX = (q(6), q(16), q(22))

STATEMENTS: list[tuple[str, n.Statement]] = [
    ("edition 1", n.Edition(q(1))),
    ('use "common/model.steer"', n.Use(n.Text("common/model.steer"))),
    (
        'param strength = 40% "share of the residual norm"',
        n.Param(name("strength"), q(40, "%"), n.Text("share of the residual norm")),
    ),
    ("param k = 3", n.Param(name("k"), q(3))),
    (
        'model "Qwen/Qwen1.5-1.8B-Chat" with dtype: bf16, system: "You are terse."',
        n.Model(
            n.Text("Qwen/Qwen1.5-1.8B-Chat"),
            (n.With((n.Option("dtype", name("bf16")), n.Option("system", n.Text("You are terse.")))),),
        ),
    ),
    (
        'dataset econ = "data/econ.jsonl" with field: "prompt", take: 75, held_out: 20%',
        n.Dataset(
            name("econ"),
            n.Text("data/econ.jsonl"),
            (
                n.With(
                    (
                        n.Option("field", n.Text("prompt")),
                        n.Option("take", q(75)),
                        n.Option("held_out", q(20, "%")),
                    )
                ),
            ),
        ),
    ),
    ("dataset mine = econ", n.Dataset(name("mine"), name("econ"))),
    ("topic = extract diffmean from econ vs generic at last_token", bind("topic", extract("diffmean", ECON, LAST))),
    ("extract diffmean from econ vs generic at last_token", extract("diffmean", ECON, LAST)),
    (
        "v = extract iterative from a vs b with k: 3",
        bind("v", extract("iterative", n.From(name("a"), name("b")), n.With((n.Option("k", q(3)),)))),
    ),
    (
        'v = extract sae with file: "x.safetensors", feature: 7',
        bind("v", extract("sae", n.With((n.Option("file", n.Text("x.safetensors")), n.Option("feature", q(7)))))),
    ),
    (
        "v = extract pca_diff from pairs on attn_out at token -2",
        bind("v", extract("pca_diff", n.From(name("pairs")), n.On((name("attn_out"),)), n.At("token", q(-2)))),
    ),
    ("extract probe from a vs b at suffix 5", extract("probe", n.From(name("a"), name("b")), n.At("suffix", q(5)))),
    (
        "best = select layers of topic by dispersion keep top 3",
        bind("best", n.Action("select", TOPIC, (n.Amount("by", name("dispersion")), n.KeepTop(q(3))))),
    ),
    ('old = load "topic.gguf"', bind("old", n.Action("load", n.Text("topic.gguf")))),
    (
        "u = orthogonalize warm against formal",
        bind("u", n.Action("orthogonalize", name("warm"), (n.Amount("against", name("formal")),))),
    ),
    (
        "sum = warm - 0.5 * formal",
        bind("sum", expr(n.Binary("-", name("warm"), n.Binary("*", q(0.5), name("formal"))))),
    ),
    ("d = (a - b) * 2", bind("d", expr(n.Binary("*", n.Binary("-", name("a"), name("b")), q(2))))),
    ("d = a - b - c", bind("d", expr(n.Binary("-", n.Binary("-", name("a"), name("b")), name("c"))))),
    ("d = -warm", bind("d", expr(n.Negative(name("warm"))))),
    (
        "turn = plane(topic, pc1) from layers 25%..75% with rows: raw",
        bind(
            "turn",
            expr(
                call("plane", TOPIC, name("pc1")),
                layers(n.Range(q(25, "%"), q(75, "%")), word="from"),
                n.With((n.Option("rows", name("raw")),)),
            ),
        ),
    ),
    ("ablate layers 6,16,22", op("ablate", None, layers(*SIX))),
    ("ablate", op("ablate", None)),
    ("ablate topic at layers 6,16,22", op("ablate", TOPIC, layers(*SIX))),
    ("ablate topic[6,16,22] everywhere", op("ablate", n.Index(TOPIC, SIX), n.Word("everywhere"))),
    ("ablate topic[best]", op("ablate", n.Index(TOPIC, (name("best"),)))),
    ("ablate topic[8..22 step 2]", op("ablate", n.Index(TOPIC, (n.Range(q(8), q(22), q(2)),)))),
    (
        "ablate v toward mean(generic) by 50%",
        op("ablate", name("v"), n.Amount("toward", call("mean", name("generic"))), n.Amount("by", q(50, "%"))),
    ),
    ("add v by -1.5 keep norm", op("add", name("v"), n.Amount("by", q(-1.5)), n.Word("keep norm"))),
    ("add -v by 40%", op("add", n.Negative(name("v")), n.Amount("by", q(40, "%")))),
    ("clamp v to 3", op("clamp", name("v"), n.Amount("to", q(3)))),
    ("cap v to 3", op("cap", name("v"), n.Amount("to", q(3)))),
    ("rotate plane(pc1) by 210deg", op("rotate", call("plane", name("pc1")), n.Amount("by", q(210, "deg")))),
    ("rotate turn to 90deg adaptive", op("rotate", name("turn"), n.Amount("to", q(90, "deg")), n.Word("adaptive"))),
    ('patch from "other prompt" at layers 5', op("patch", None, n.From(n.Text("other prompt")), layers(q(5)))),
    ("ablate v at layers 8..22 step 2", op("ablate", name("v"), layers(n.Range(q(8), q(22), q(2))))),
    (
        "ablate v at layers 8..last step 2, all",
        op("ablate", name("v"), layers(n.Range(q(8), name("last"), q(2)), name("all"))),
    ),
    ("ablate v at layers best", op("ablate", name("v"), layers(name("best")))),
    ("ablate v at layer 12", op("ablate", name("v"), layers(q(12), singular=True))),
    ("ablate v on head(3, 5), resid_mid", op("ablate", name("v"), n.On((call("head", q(3), q(5)), name("resid_mid"))))),
    (
        "ablate v during generation first 8 after 2",
        op("ablate", name("v"), n.During("generation"), n.Window("first", q(8)), n.Window("after", q(2))),
    ),
    (
        "ablate v when proj(v) > 0 when cos(v) > 0.3 at layer 12 when step < 16",
        op(
            "ablate",
            name("v"),
            n.When(call("proj", name("v")), ">", q(0)),
            n.When(call("cos", name("v")), ">", q(0.3)),
            layers(q(12), singular=True),
            n.When(name("step"), "<", q(16)),
        ),
    ),
    (
        "steer forgetful { ablate topic[best] everywhere }",
        n.Steer(name("forgetful"), (op("ablate", n.Index(TOPIC, (name("best"),)), n.Word("everywhere")),)),
    ),
    ("steer both { use warm; use honest }", n.Steer(name("both"), (n.Use(name("warm")), n.Use(name("honest"))))),
    ("steer nothing {}", n.Steer(name("nothing"), ())),
    (
        "out = generate from econ.held_out with steer: forgetful, max_tokens: 64, temperature: 0.7",
        bind(
            "out",
            n.Action(
                "generate",
                None,
                (
                    n.From(name("econ.held_out")),
                    n.With(
                        (
                            n.Option("steer", name("forgetful")),
                            n.Option("max_tokens", q(64)),
                            n.Option("temperature", q(0.7)),
                        )
                    ),
                ),
            ),
        ),
    ),
    (
        'evaluate forgetful on econ.held_out, generic.held_out with lm_eval("mmlu", limit: 100), bleu, controls: none',
        n.Action(
            "evaluate",
            name("forgetful"),
            (
                n.On((name("econ.held_out"), name("generic.held_out"))),
                n.With(
                    (
                        call("lm_eval", n.Text("mmlu"), n.Option("limit", q(100))),
                        name("bleu"),
                        n.Option("controls", name("none")),
                    )
                ),
            ),
        ),
    ),
    (
        'evaluate f with words: ["a", "b"], none: []',
        n.Action(
            "evaluate",
            name("f"),
            (n.With((n.Option("words", n.List((n.Text("a"), n.Text("b")))), n.Option("none", n.List(())))),),
        ),
    ),
    (
        "sweep angle over 0deg..350deg step 10deg and depth over 25%,50%,75% { rotate turn by angle at layers depth }",
        n.Sweep(
            (
                n.Axis(name("angle"), (n.Range(q(0, "deg"), q(350, "deg"), q(10, "deg")),)),
                n.Axis(name("depth"), (q(25, "%"), q(50, "%"), q(75, "%"))),
            ),
            (op("rotate", name("turn"), n.Amount("by", name("angle")), layers(name("depth"))),),
        ),
    ),
    (
        "sweep a over -90deg..90deg step 10deg { use b }",
        n.Sweep((n.Axis(name("a"), (n.Range(q(-90, "deg"), q(90, "deg"), q(10, "deg")),)),), (n.Use(name("b")),)),
    ),
    (
        'plot scores.refusal_rate over angle polar to "sweep.png"',
        n.Plot(
            name("scores.refusal_rate"),
            (n.Over((name("angle"),)), n.Word("polar"), n.Amount("to", n.Text("sweep.png"))),
        ),
    ),
    ("plot pca(topic)", n.Plot(call("pca", TOPIC))),
    (
        "check scores.bleu.econ < 50% of baseline",
        n.Check(name("scores.bleu.econ"), "<", n.Share(q(50, "%"), name("baseline"))),
    ),
    ("check cosine(u, v) >= 0.9", n.Check(call("cosine", name("u"), name("v")), ">=", q(0.9))),
    ('export topic to "topic.safetensors"', n.Export(TOPIC, n.Text("topic.safetensors"))),
]


@pytest.mark.parametrize(("text", "node"), STATEMENTS, ids=[text for text, _ in STATEMENTS])
def test_statement(text: str, node: n.Statement) -> None:
    file, report = parse(Source("x.steer", text))
    assert not report.found
    assert file.statements == (node,)


def test_one_liner() -> None:
    text = "extract diffmean from econ vs generic at last_token; ablate layers 6,16,22; rotate plane(pc1) by 210deg"
    file, report = parse(Source("-e", text))
    assert not report.found
    assert file.statements == (
        extract("diffmean", ECON, LAST),
        op("ablate", None, layers(*SIX)),
        op("rotate", call("plane", name("pc1")), n.Amount("by", q(210, "deg"))),
    )


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("210deg", 210, "deg"),
        ("40%", 40, "%"),
        ("210degrees", 210, "degrees"),
        ("1e-3", 1e-3, ""),
        ("0.58turn", 0.58, "turn"),
        ("2e3rad", 2000, "rad"),
        ("90°", 90, "°"),
        ("-1.5", -1.5, ""),
    ],
)
def test_numbers_and_their_units(text: str, value: float, unit: str) -> None:
    file, report = parse(Source("x.steer", f"add v by {text}"))
    assert not report.found
    assert file.statements == (op("add", name("v"), n.Amount("by", q(value, unit))),)


def test_keywords_are_whole_words() -> None:
    file, report = parse(Source("x.steer", "extract diffmean from econ vsgeneric"))
    assert report.found[0].help == "did you mean `vs generic`?"
    assert [d.title for d in report.found] == ["`vsgeneric` is not a word of the language"]
    assert isinstance(file.statements[0], n.Bad)
    file, report = parse(Source("x.steer", 'vsgeneric = load "v.gguf"; ablate first_try'))
    assert not report.found


def test_strings_are_unescaped() -> None:
    file, report = parse(Source("x.steer", r'model "a \"b\" \\ \n\t"'))
    assert not report.found
    assert file.statements == (n.Model(n.Text('a "b" \\ \n\t')),)
