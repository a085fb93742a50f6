"""Ejected programs: they give the run's own answers and vectors, and read well on their own."""

from __future__ import annotations

import ast
import importlib
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from default import default_model
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from tiny import CHAT_TEMPLATE, tiny_folder, tiny_tokenizer

from steerdsl.cli import main as cli
from steerdsl.eject import literals
from steerdsl.methods.types import Directions, Vector
from steerdsl.models.prompts import Renderer
from steerdsl.store.vector_files import save_vector

ONELINER = "extract diffmean from econ vs generic at last_token; ablate layers 6,16,22; rotate plane(pc1) by 210deg"
SHALLOW = ONELINER.replace("6,16,22", "0,1,2")  # the tiny models have three layers
SMALL = "dataset e = econ with take: 20\ndataset g = generic with take: 20\n"
CLAUSES = (
    SMALL
    + """
topic = extract diffmean from e vs g at mean_content
steer s {
    add topic by 150% at layer 1 during generation
    ablate topic[0,1] everywhere
    rotate plane(topic, pc1) to 120deg adaptive at layers 1..2 keep norm
}
scores = evaluate s on e.held_out, g.held_out with bleu, max_tokens: 12
check scores.bleu.e >= 0
plot cosine(topic)
export topic to "topic.safetensors"
"""
)
STREAMS = (
    SMALL
    + """
topic = extract diffmean from e vs g at token -3 on resid_mid
m = extract diffmean from e vs g at mean_prompt on mlp_out
a = extract diffmean from e vs g at suffix on attn_out
h = extract diffmean from e vs g at mean_content on head(1, 2)
print = select layers of topic by max_norm keep top 2
steer s {
    ablate topic by 50% on resid_mid at layers print
    ablate a toward mean(g) with alpha: 0.5 on attn_out at layers 0..1 keep norm
    add m by -1.5 on mlp_out, mlp_norm_out at layer 1
    clamp h to 3 on head(1, 2)
    cap topic[1] to 0.5 at layer 2 when proj(topic) > 0.1 when cos(m) > -0.9
    add topic by 2 on resid_pre at layer 1 first 5
}
evaluate s on e.held_out, g.held_out with bleu, max_tokens: 8
"""
)
SWEPT = (
    'model "llama" with system: "You are \\"terse\\", and it\'s fine."\n'
    + SMALL
    + """
param how_warm = 0.8
topic = extract diffmean from e vs g at all
noise = extract random with like: topic, seed: 3
both = topic - 0.5 * noise
rest = orthogonalize noise against topic
late = topic[1,2]
turn = plane(topic[1], noise[2])
odd = plane(topic, random, seed: 7)
free = generate from e.held_out with max_tokens: 4
sweep source over 0..2 and angle over -30deg,40deg {
    steer lambda_ {
        ablate topic[source] by 75% everywhere
        add both by 1 at layer source
        rotate turn by angle at layer 1 when proj(topic) > -1 when step < 4
        rotate odd to angle at layer 2 after 1
        ablate late during prompt
        ablate rest at layer 2
    }
    out = generate from e.held_out with steer: lambda_, max_tokens: 6, temperature: how_warm, n: 3, seed: 4
}
"""
)
PAIRS = """
model "gpt2" with template: "newline"
dataset p = "pairs.jsonl" with field: "q", positive: "yes", negative: "no", held_out: 40%
c = extract diffmean from p at token -2
m = extract diffmean from p at mean_response
steer s { add c[1] by 3 at layer 0; add m by 1 at layer 1 }
out = generate from p.held_out.positive with steer: s, max_tokens: 8
"""
ANSWERED = """
dataset warm = "pairs.jsonl" with field: "q", answer: "yes", seed: 3, held_out: 40%
dataset cold = "bare.jsonl" with field: "q", answer: "no", seed: 3, held_out: 40%
dataset p = "bare.jsonl" with field: "q", positive: "yes", negative: "no", seed: 3, held_out: 40%
m = extract diffmean from warm vs cold at mean_response
c = extract diffmean from p at token -2
steer s { add m[1] by 3 at layer 0; add c by 1 at layer 1 }
out = generate from warm.held_out with steer: s, max_tokens: 8
"""
METHODS = """
dataset p = "pairs.jsonl" with field: "q", positive: "yes", negative: "no", held_out: 40%
dataset q = "pairs.jsonl" with field: "q", held_out: 40%
a = extract pca_diff from p at token -2
b = extract iterative from q vs p.negative at last_token with k: 2
c = extract leace from q vs p.positive at all
d = extract probe from p at suffix 2 on mlp_out
own = extract lda from q vs p.negative at mean_response
best = select layers of a by fisher keep top 2
other = select layers of own by refusal_selection with max_kl: 1000, min_induce: -1000, tokens: "a,b", deepest: 0%
spread = plane(a[1], pc1, candidates: samples)
steer s {
    patch from "What is inflation?" on resid_mid at layers 1..2
    patch from "Why?" with align: start on head(1, 2)
    ablate b[best] everywhere when cos(a[1]) > -0.9 at layer 1
    ablate c at layer 2
    add own by 3 at layers other when proj(own) > -100 at layer 0
    rotate spread by 60deg at layer 1
    rotate plane(own, pc1, candidates: samples) to 30deg at layer 2
}
out = generate from q.held_out with steer: s, max_tokens: 6
"""
ROWS = [
    {"q": "Is the sky blue?", "yes": " Yes, it is.", "no": " No, never."},
    {"q": "Is two plus two four?", "yes": " Certainly so.", "no": " Not at all."},
    {"q": "Do birds fly?", "yes": ' Yes, most "do".', "no": " No, they don't."},
    {"q": "Is water wet?", "yes": " Yes.", "no": " No."},
    {"q": "Can fish swim in the sea?", "yes": " Of course they can.", "no": " By no means, \tno."},
]

ODD = (
    SMALL
    + """
v = extract diffmean from e vs g at last_token
steer s { add v[1] by 3 at layer 1 }
out = generate from e.held_out with steer: s, max_tokens: 12
warm = generate from g.held_out with steer: s, max_tokens: 6, temperature: 1.2, n: 2, seed: 3
"""
)


def odd_folder(path: Path, template: str | None) -> None:
    """A model whose files say much that neither a run nor a program may believe: settings of generation, a loop of
    another kind, a class that cuts texts otherwise than tokenizer.json, an end token behind every text."""
    tiny_folder(path, "llama_untied", template)
    for file, settings in {
        "generation_config.json": {"repetition_penalty": 1.8, "num_beams": 2, "min_p": 0.5, "eos_token_id": [2, 70]},
        "config.json": {"is_encoder_decoder": True, "output_attentions": True, "no_repeat_ngram_size": 1},
        "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"},
    }.items():
        said = json.loads((path / file).read_text())
        (path / file).write_text(json.dumps({**said, **settings}))
    raw = json.loads((path / "tokenizer.json").read_text())
    digits = {"type": "Digits", "individual_digits": True}
    spaces = {"type": "Split", "pattern": {"String": "e"}, "behavior": "Isolated", "invert": False}
    raw["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, spaces, raw["pre_tokenizer"]]}
    raw["post_processor"]["single"].append({"SpecialToken": {"id": "</s>", "type_id": 0}})
    raw["post_processor"]["special_tokens"]["</s>"] = {"id": "</s>", "ids": [2], "tokens": ["</s>"]}
    (path / "tokenizer.json").write_text(json.dumps(raw))


# Name of the case: tiny model, its dtype, batch size, recipe.
CASES = {
    "oneliner_llama": ("llama", "float32", "16", SHALLOW),
    "oneliner_gpt2": ("gpt2", "bfloat16", "16", SHALLOW),
    "clauses_llama": ("llama", "bfloat16", "5", CLAUSES),
    "clauses_gpt2": ("gpt2", "float32", "5", CLAUSES),
    "streams_opt": ("opt", "float32", "5", STREAMS),
    "swept_llama": ("llama", "float32", "5", SWEPT),
    "pairs_gpt2": ("gpt2", "float32", "5", PAIRS),
    "odd_raw": ("odd", "float32", "5", ODD),
    "odd_chat": ("odd_chat", "float32", "5", ODD),
    "answered_llama": ("llama", "float32", "5", ANSWERED),
    "methods_llama": ("llama", "float32", "5", METHODS),
    "answered_raw_llama": ("llama", "float32", "5", 'model "llama" with template: "none"\n' + ANSWERED),
}
FAMILIES = ("gemma2", "gpt_neox_sequential", "qwen3", "llama")  # of the streams' recipe, with the slow tests


@dataclass
class World:
    """A folder with tiny models, and the programs ejected there so far."""

    folder: Path

    def steerdsl(self, *arguments: str) -> int:
        """Run the command line in this process, in the folder; gives its exit code."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", ["steerdsl", *arguments])
            with pytest.raises(SystemExit) as left:
                cli.main()
        return int(left.value.code or 0)

    def eject(self, name: str, model: str, dtype: str, batch_size: str, recipe: str) -> Path:
        program = self.folder / f"{name}.py"
        options = ("--model", model, "--dtype", dtype, "--batch-size", batch_size)
        assert self.steerdsl("eject", "-e", recipe, *options, "--out", program.name) == 0
        return program

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start Python in the folder, away from this package's sources."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.Popen(
            [sys.executable, *command], cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True
        )

    def finish(self, program: Path) -> subprocess.Popen[str]:
        """Run a program to its end, so that it and the run do not wait for each other's threads."""
        process = self.start(program.name, "--out", f"{program.stem}.ejected")
        process.wait(timeout=1000)
        return process


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("eject")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    bare = [{key: text.strip() for key, text in row.items()} for row in ROWS]  # answers that begin without a space
    (folder / "bare.jsonl").write_text("".join(json.dumps(row) + "\n" for row in bare))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEERDSL_CACHE", str(folder / "cache"))
        for case in ("llama", "gpt2", "opt"):
            tiny_folder(folder / case, case)
        odd_folder(folder / "odd", None)
        odd_folder(folder / "odd_chat", CHAT_TEMPLATE)
        yield World(folder)


@pytest.fixture(scope="module")
def programs(world: World) -> Mapping[str, Path]:
    """Every case as a program."""
    return {name: world.eject(name, *case) for name, case in CASES.items()}


# Runs several programs in one process, since importing torch takes longer than they do.
DRIVER = """
import importlib, sys
for name in sys.argv[1:]:
    sys.argv = [name, "--out", name + ".ejected"]
    importlib.import_module(name).main()
"""


@pytest.fixture(scope="module")
def started(world: World, programs: Mapping[str, Path]) -> Iterator[Mapping[str, subprocess.Popen[str]]]:
    """Every program, running, while this process runs the recipes; the first as people run it."""
    first, *others = programs
    alone = world.start(programs[first].name, "--out", f"{first}.ejected")
    together = world.start("-c", DRIVER, *others)
    yield {first: alone, **dict.fromkeys(others, together)}
    alone.kill()
    together.kill()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "generations.jsonl").read_text("utf-8").splitlines()]


def vectors(folder: Path) -> dict[str, tuple[dict[str, Any], dict[str, torch.Tensor]]]:
    """Header and tensors of every vector of a run."""
    found = {}
    for path in sorted((folder / "vectors").glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["steerdsl"])
            found[path.name] = header, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    return found


def require_equal(
    world: World, process: subprocess.Popen[str], name: str, model: str, dtype: str, batch_size: str, recipe: str
) -> None:
    """The program's answers and vectors are the run's, bit for bit; in half precision, where the run's answers
    share batches with the controls', most of them begin alike."""
    run = world.folder / f"{name}.run"
    arguments = ("--model", model, "--dtype", dtype, "--batch-size", batch_size, "--quiet", "--out", str(run))
    assert world.steerdsl("run", "-e", recipe, *arguments) == 0
    process.wait(timeout=300)
    assert process.returncode == 0, process.stderr.read() if process.stderr else ""
    ejected = world.folder / f"{name}.ejected"
    beside = ("random", "prompted", "reference")  # a program leaves the controls to `steerdsl run`
    own, runs = lines(ejected), [line for line in lines(run) if line["variant"] not in beside]
    if dtype == "float32":
        assert own == runs
    else:
        tokens = ("token_ids", "text", "ended")
        places = [[{k: v for k, v in line.items() if k not in tokens} for line in side] for side in (own, runs)]
        assert places[0] == places[1]
        alike = [a["token_ids"][:2] == b["token_ids"][:2] for a, b in zip(own, runs, strict=True)]
        assert sum(alike) > 0.9 * len(alike)
    ours, theirs = vectors(ejected), vectors(run)
    assert ours.keys() == theirs.keys()
    for vector, (header, tensors) in ours.items():
        said, expected = theirs[vector]
        assert {k: v for k, v in header.items() if k != "meta"} == {k: v for k, v in said.items() if k != "meta"}
        assert header["meta"].items() <= said["meta"].items()
        assert tensors.keys() == expected.keys()
        for key, tensor in tensors.items():
            torch.testing.assert_close(tensor, expected[key], rtol=0, atol=0)


# ---- the run's own answers and vectors ----------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_program_gives_the_runs_own_answers_and_vectors(
    world: World, started: Mapping[str, subprocess.Popen[str]], name: str
) -> None:
    require_equal(world, started[name], name, *CASES[name])


def test_what_a_models_files_say_of_generation_is_not_in_the_program(programs: Mapping[str, Path]) -> None:
    raw, chat = programs["odd_raw"].read_text("utf-8"), programs["odd_chat"].read_text("utf-8")
    assert "END_IDS = (2, 70)\n" in raw and "END_IDS = (2, 4, 70)\n" in chat
    assert all("= PreTrainedTokenizerFast.from_pretrained(" in text for text in (raw, chat))
    assert "AutoTokenizer.from_pretrained(" in programs["pairs_gpt2"].read_text("utf-8")


@pytest.mark.parametrize("name", ["oneliner_llama", "oneliner_gpt2", "clauses_llama", "clauses_gpt2", "streams_opt"])
def test_the_steers_of_these_tests_change_the_answers(world: World, started: Mapping[str, Any], name: str) -> None:
    started[name].wait(timeout=300)
    answers = lines(world.folder / f"{name}.ejected")
    found = {(line["variant"], line["dataset"], line["row"]): line["token_ids"] for line in answers}
    assert any(ids != found["baseline", *key] for (variant, *key), ids in found.items() if variant != "baseline")


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_stream_of_other_families(world: World, family: str) -> None:
    tiny_folder(world.folder / f"{family}_streams", family)
    case = (f"{family}_streams", "float32", "5", STREAMS)
    program = world.eject(f"streams_{family}", *case)
    require_equal(world, world.finish(program), program.stem, *case)


@pytest.mark.slow
def test_the_one_liner_on_the_default_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located = default_model()
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "cache"))  # no result of another run
    few = "".join(f"dataset {name} = {name} with take: 30, held_out: 20%\n" for name in ("econ", "generic"))
    case = (str(located.path), "auto", "16", few + ONELINER)
    world = World(tmp_path)
    program = world.eject("default", *case)
    require_equal(world, world.finish(program), program.stem, *case)


# ---- a file for people --------------------------------------------------------------------------


def ruff(*arguments: str, folder: Path) -> str:
    pytest.importorskip("ruff")
    command = [sys.executable, "-m", "ruff", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


def test_programs_are_formatted(world: World, programs: Mapping[str, Path]) -> None:
    names = [program.name for program in programs.values()]
    assert ruff("format", "--isolated", "--line-length", "120", "--diff", *names, folder=world.folder) == ""


def test_programs_are_free_of_lint(world: World, programs: Mapping[str, Path]) -> None:
    names = [program.name for program in programs.values()]
    rules = "E4,E7,E9,F,I,B,UP,SIM,D101,D102,D103"
    options = ("--isolated", "--line-length", "120", "--output-format", "concise")
    report = ruff("check", *options, "--select", rules, *names, folder=world.folder)
    assert report == "All checks passed!\n"


@pytest.mark.parametrize("name", CASES)
def test_a_program_stands_alone(programs: Mapping[str, Path], name: str) -> None:
    tree = ast.parse(programs[name].read_text("utf-8"))
    imported = {
        module.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for module in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    known = {"nnsight", "torch", "transformers", "safetensors", "numpy", "sklearn"}
    assert imported - set(sys.stdlib_module_names) <= known
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"exec", "eval", "compile", "__import__"}


def test_the_recipe_stands_at_the_top(programs: Mapping[str, Path]) -> None:
    text = programs["swept_llama"].read_text("utf-8")
    quoted = [line.removeprefix("#").removeprefix("     ") for line in text.splitlines() if line.startswith("#")]
    assert SWEPT.strip() in "\n".join(quoted)
    assert "# with how_warm = 0.8.\n" in text


def test_what_is_left_out_is_said(programs: Mapping[str, Path]) -> None:
    text = " ".join(line.removeprefix("# ") for line in programs["clauses_llama"].read_text("utf-8").splitlines())
    assert (
        "Left out here, and done by `steerdsl run`: the scores of `scores` (bleu), its controls and its references; "
        "the claim `check scores.bleu.e >= 0`; the plot cosine of `topic`; "
        "the export of `topic` to topic.safetensors (vectors/topic.safetensors has it)." in text
    )


def test_module_paths_are_written_out(programs: Mapping[str, Path]) -> None:
    for name, path in (("clauses_gpt2", "transformer.h.{l}.attn"), ("clauses_llama", "model.layers.{l}.self_attn")):
        assert f'        "attn_out": Site("{path}", "output"),\n' in programs[name].read_text("utf-8")


def test_a_program_has_nothing_that_its_recipe_does_not_use(programs: Mapping[str, Path]) -> None:
    def defined(name: str) -> set[str]:
        body = ast.parse(programs[name].read_text("utf-8")).body
        return {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}

    assert {"dispersion", "plane_pc1", "ablate", "rotate", "at_last_token"} <= defined("oneliner_llama")
    assert not {"add", "make_gate", "make_probe", "combine", "follow", "chooser"} & defined("oneliner_llama")
    assert {"add", "everywhere", "at_mean_content"} <= defined("clauses_llama")
    assert {"chooser", "combine", "make_gate"} <= defined("swept_llama")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_is_kept(value: str) -> None:
    written = literals.text(value)
    assert ast.literal_eval(written) == value
    assert written.isprintable()


@given(st.lists(st.integers(0, 40), min_size=1, unique=True).map(sorted))
def test_layers_are_kept(values: list[int]) -> None:
    written = literals.numbers(values)
    found = ast.literal_eval(written.removeprefix("range"))
    if written.startswith("range"):
        found = range(found) if isinstance(found, int) else range(*found)
    assert list(found) == values


# ---- refusals -----------------------------------------------------------------------------------

REFUSED = """\
old = load "old.safetensors"
topic = extract pca from econ vs generic
sweep n over 0,1 { steer t { ablate topic at layers 0..n } }
"""
REFUSAL = """\
error[P721]: `eject` cannot write `load`, `sweep` with points that differ in more than numbers
 --> refused.steer:1:7
  |
1 | old = load "old.safetensors"
  |       ^^^^^^^^^^^^^^^^^^^^^^ `load`
  |
 ::: refused.steer:3:1
"""


def test_what_cannot_be_written_is_refused_in_one_message(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.folder / "refused.steer").write_text(REFUSED)
    directions = Directions(torch.eye(3, 32)[:, None], torch.ones(3, 1, dtype=torch.float64))
    save_vector(Vector("old", directions, torch.arange(3), "resid_post"), world.folder / "old.safetensors")
    assert world.steerdsl("eject", "refused.steer", "--model", "llama", "--out", "refused.py") == 1
    printed = capsys.readouterr().err
    message = printed[printed.index("error[P721]") :]
    assert message.startswith(REFUSAL)
    assert message.endswith("help: take it out, or run the recipe with `steerdsl run`\n")
    assert message.count(" ::: ") == 1
    assert not (world.folder / "refused.py").exists()


def test_numbers_that_are_not_finite_end_a_program_with_a_sentence(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    steer = "steer s { add v[1] by 1e42 at layer 1 }\ngenerate from e with steer: s"
    recipe = f"{SMALL}v = extract diffmean from e vs g\n{steer}"
    program = world.eject("overflow", "llama", "float32", "16", recipe)
    monkeypatch.setattr(sys, "argv", [program.name, "--out", str(world.folder / "overflow.ejected")])
    sentence = "an operation would hold numbers that are not finite: step; take a smaller strength"
    with pytest.raises(SystemExit, match=sentence):
        runpy.run_path(str(program), run_name="__main__")


def test_an_operation_that_never_acts_is_refused(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = "extract diffmean from econ vs generic; ablate layers 0 during generation when step < 1"
    assert world.steerdsl("eject", "-e", recipe, "--model", "llama") == 3
    assert "never acts: its clauses leave no token" in capsys.readouterr().err


def test_an_existing_file_is_kept(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    (world.folder / "mine.py").write_text("mine\n")
    recipe = ("-e", "extract diffmean from econ vs generic", "--model", "llama")
    assert world.steerdsl("eject", *recipe, "--out", "mine.py") == 2
    assert capsys.readouterr().err == (
        "error[R801]: mine.py already exists\nhelp: name another file with --out, or add --force\n"
    )
    assert (world.folder / "mine.py").read_text() == "mine\n"
    assert world.steerdsl("eject", *recipe, "--out", "mine.py", "--force") == 0
    assert "diffmean" in (world.folder / "mine.py").read_text()
    assert world.steerdsl("eject", *recipe, "--out", "nowhere/mine.py") == 3
    assert "error[R802]: nowhere/mine.py could not be created: no such file or directory" in capsys.readouterr().err


def test_without_a_file_the_program_is_printed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert world.steerdsl("eject", "-e", "extract diffmean from econ vs generic", "--model", "llama") == 0
    printed = capsys.readouterr().out
    assert printed.startswith('"""') and printed.endswith("from error\n")
    assert "def generate(" not in printed


def test_a_template_with_a_date_writes_the_same_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's prompts are the run's, and both do not depend on the day."""
    template = "{{ bos_token }}Today: {{ strftime_now('%d %b %Y') }}\n{{ messages[0]['content'] }}"
    tiny_folder(world.folder / "dated", template=template)
    made = world.eject("dated_program", "dated", "float32", "16", SHALLOW)
    monkeypatch.syspath_prepend(made.parent)
    program = importlib.import_module(made.stem)
    tokenizer = tiny_tokenizer(template)
    assert program.rendered(tokenizer, "hi") == Renderer(tokenizer).render("hi").text == "<s>Today: 26 Jul 2024\nhi"


@pytest.mark.parametrize(("role", "thinking"), [("system", "off"), ("developer", "on"), ("developer", "off")])
def test_thinking_and_roles(world: World, monkeypatch: pytest.MonkeyPatch, role: str, thinking: str) -> None:
    template = CHAT_TEMPLATE.replace("assistant\n", "assistant\n{% if enable_thinking %}<think>{% endif %}")
    if role == "developer":
        template += "{% if messages[0]['role'] == 'system' %}{{ raise_exception('developer') }}{% endif %}"
    name = f"thinks_{role}_{thinking}"
    tiny_folder(world.folder / name, template=template)
    recipe = f'model "x" with system: "Be terse.", thinking: {thinking}\n{SHALLOW}'
    made = world.eject(f"{name}_program", name, "float32", "16", recipe)
    monkeypatch.syspath_prepend(made.parent)
    program = importlib.import_module(made.stem)
    tokenizer = tiny_tokenizer(template)
    own = Renderer(tokenizer, "Be terse.", thinking=thinking).render("hi").text
    assert program.rendered(tokenizer, "hi") == own and f"{role}\nBe terse." in own


def test_a_model_that_is_not_here_is_no_obstacle(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert world.steerdsl("eject", "-e", ONELINER, "--offline") == 0
    printed = capsys.readouterr().out
    assert 'MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"\n' in printed
    assert "apply_chat_template" in printed and "N_LAYERS = 30\n" in printed
