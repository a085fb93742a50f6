"""The statements of the language: their options, their clauses and an example of each.

In: nothing. Out: entries of kind "statement", which the checker, its suggestions, `explain` and the reference read.
What a statement computes is the business of `lower` and of the plan.
"""

from __future__ import annotations

from functools import partial

from steerdsl.lang.recipe import ANSWER_FORMS, FORMS
from steerdsl.registry import Arg, Entry

DTYPES = ("bf16", "fp16", "fp32", "bfloat16", "float16", "float32")
QUANTIZATIONS = ("int8", "int4", "fp8", "bnb_8bit", "bnb_4bit")
SWITCH = ("on", "off")
LENGTH = Arg("max_tokens", "int", 64, "the longest answer, in tokens", least=1, most=1_000_000)
TEMPERATURE = Arg("temperature", "number", 0.0, "0 takes the likeliest token each time", least=0, most=100)
SEED = Arg("seed", "int", 0, "of the sampling", least=0)

MODEL = (
    Arg("dtype", "word", None, "of the weights and of the forward passes", DTYPES),
    Arg("system", "text", None, "the system prompt"),
    Arg("revision", "text", None, "of a model on the hub: a commit, a tag or a branch"),
    Arg("template", "word", "chat", "how a prompt is rendered", ("chat", "none", "newline")),
    Arg("thinking", "word", None, "whether the model thinks first; the chat template decides unless said", SWITCH),
    Arg("adapter", "text", None, "a PEFT adapter that is put on the model: a folder or a hub id"),
    Arg("quantization", "word", None, "how the weights are quantised on loading", QUANTIZATIONS),
)
DATASET = (
    Arg("field", "text", None, "the field that holds the prompt"),
    Arg("positive", "text", None, "of pairs: the field with the concept"),
    Arg("negative", "text", None, "of pairs: the field without it"),
    Arg("answer", "text", None, "the field that holds the right answer"),
    Arg("choices", "text", None, "the field of the choices of an answer, or a list with one for each", listed=True),
    Arg("answer_form", "word", None, "how the right answer names one of the choices", ANSWER_FORMS),
    Arg("take", "int", None, "how many rows to use, chosen by the seed", least=1),
    Arg("seed", "int", None, "of the split and of `take`; 0 unless said", least=0),
    Arg("held_out", "share", None, "the share of rows that nothing is fitted on; 20% unless said", least=0, below=1),
    Arg("tune", "share", None, "the share of training rows set aside for a search; 30% unless said", least=0, below=1),
    Arg("unsafe", "flag", None, "harmful prompts: answers to them are scored, and neither printed nor kept"),
    Arg("subset", "text", None, "of a hub data set: the configuration"),
    Arg("split", "text", None, "of a hub data set: the published split"),
    Arg("revision", "text", None, "of a hub data set: a commit, a tag or a branch"),
    Arg("columns", "text", None, "the names of a table's columns, where its first row has none", listed=True),
    Arg("form", "word", None, "what a file is that is no table: a `trait` file of persona vectors", FORMS),
)
# What the rows of a matrix are: row k is layer k of a stream, or transformers' `hidden_states[k]`.
ROWS = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "attn_norm_out", "mlp_norm_out", "hidden_states")
LOAD = (
    Arg("rows", "word", None, "of a matrix: the stream whose layer k is row k, or `hidden_states`", ROWS),
    Arg("tensor", "text", None, "which tensor to read of a file that has several"),
)
CLASS_AXES = (Arg("k", "int", 1, "of axes over classes: how many", least=1, most=999),)
EXPLAINED = "of `pcs of`: as many components as explain this share of the variance; 50% unless said"
COMPONENTS = (
    Arg("k", "int", None, "of `pcs of`: how many components", least=1, most=9999),
    Arg("explained", "share", None, EXPLAINED, least=0.01, below=1),
)
PLANE = (
    Arg("rows", "word", "unit", "how the candidates enter: as unit vectors or as they are", ("unit", "raw")),
    Arg("candidates", "word", "layers", "one candidate for each layer, or for each sample", ("layers", "samples")),
)
GENERATE = (
    Arg("steer", "word", None, "the steer to act with; none gives the model's own answers"),
    LENGTH,
    TEMPERATURE,
    Arg("n", "int", 1, "answers for each prompt", least=1, most=1000),
    SEED,
)
_SYSTEM = "the system prompt, or a list of which each is asked with every question"
_PREFIX = "the words that each answer begins with"
ANSWERS = (
    Arg("system", "text", None, _SYSTEM, listed=True),
    Arg("positive system", "text", None, f"of the side with the concept: {_SYSTEM}", listed=True),
    Arg("negative system", "text", None, f"of the side without it: {_SYSTEM}", listed=True),
    Arg("prefix", "text", None, _PREFIX),
    Arg("positive prefix", "text", None, f"of the side with the concept: {_PREFIX}"),
    Arg("negative prefix", "text", None, f"of the side without it: {_PREFIX}"),
    Arg("steer", "word", None, "the steer that the model answers with; none gives its own answers"),
    LENGTH,
    TEMPERATURE,
    Arg("n", "int", 1, "answers to each question under each system prompt", least=1, most=1000),
    SEED,
)
ANSWER, THOUGHTS, BOTH = PARTS = ("answer", "thoughts", "both")  # of what a model with thoughts writes
REFERENCES = "unsteered answers a prompt, sampled, that BLEU, ROUGE and chrF compare with"
EVALUATE = (
    LENGTH,
    TEMPERATURE,
    SEED,
    Arg("references", "int", 4, REFERENCES, least=1, most=100),
    Arg("controls", "word", "all", "what is scored along with the steer", ("all", "random", "prompting", "none")),
    Arg("draws", "int", 5, "random controls, each a random rotation of the steer's directions", least=1, most=1000),
    Arg("instruction", "text", None, "what the prompting control says before each prompt"),
    Arg("part", "word", ANSWER, "what metrics and judges read of an answer with thoughts (`<think>…</think>`)", PARTS),
)
SEARCH = (
    Arg("trials", "int", 40, "how many points are tried", least=2, most=10_000),
    Arg("batch", "int", 8, "how many of them are chosen and answered together", least=1, most=1000),
    Arg("seed", "int", 0, "of the search", least=0, most=2**32 - 1),
)
CHECK = (Arg("confidence", "share", None, "the level at which the prompts must settle the claim", least=0, below=1),)

_statement = partial(Entry, "statement")

ENTRIES = (
    _statement("edition", "the edition of the language that a recipe is written in", example="edition 1"),
    _statement("use", "read another recipe, or inside a steer another steer", example='use "common/model.steer"'),
    _statement(
        "param",
        "a value that the command line can change with `--set`",
        gives="param",
        example='param strength = 10% "share of the residual norm"',
    ),
    _statement(
        "model",
        "the model: a hub id or a folder",
        args=MODEL,
        clauses=("with",),
        example='model "Qwen/Qwen1.5-1.8B-Chat" with dtype: bf16',
    ),
    _statement(
        "dataset",
        "a data set: a file, a data set of the hub, prompts, or a known one with other settings",
        args=DATASET,
        clauses=("where", "positive where", "negative where", "with"),
        gives="data",
        example='dataset econ = "data/econ.jsonl" with field: "prompt"',
    ),
    _statement(
        "answers",
        "a data set of the model's answers to the questions of another one",
        args=ANSWERS,
        clauses=(
            *("to", "where", "positive where", "negative where"),
            *("keep when", "positive keep when", "negative keep when", "with"),
        ),
        gives="data",
        example='dataset curt = answers to econ with system: "Be brief.", n: 4, temperature: 1',
    ),
    _statement(
        "extract",
        "a vector from two classes of prompts, a direction for each layer",
        clauses=("from", "by", "at", "on", "with"),
        gives="vector",
        example="topic = extract diffmean from econ vs generic at last_token",
    ),
    _statement(
        "select",
        "the layers at which a criterion likes a vector best",
        clauses=("by", "keep top", "from layers", "with"),
        gives="choice",
        example="best = select layers of topic by dispersion keep top 3",
    ),
    _statement(
        "orthogonalize",
        "a vector without its component along another",
        args=COMPONENTS,
        clauses=("against", "with"),
        gives="vector",
        example="clean = orthogonalize warm against formal",
    ),
    _statement(
        "load",
        "a vector from a file",
        args=LOAD,
        clauses=("at", "with"),
        gives="vector",
        example='old = load "topic.gguf"',
    ),
    _statement(
        "plane",
        "a plane of two axes, for rotations",
        args=PLANE,
        clauses=("from layers", "with"),
        gives="plane",
        example="turn = plane(topic, pc1)",
    ),
    _statement(
        "steer", "a named list of operations", gives="steer", example="steer forgetful { ablate topic everywhere }"
    ),
    _statement(
        "generate",
        "answers to the prompts of a data set",
        args=GENERATE,
        clauses=("from", "with"),
        gives="answers",
        example="out = generate from econ.held_out with steer: forgetful, max_tokens: 64",
    ),
    _statement(
        "evaluate",
        "scores of a steer by metrics, with those of the unsteered model and of the controls",
        args=EVALUATE,
        clauses=("on", "with"),
        gives="scores",
        example="scores = evaluate forgetful on econ.held_out with bleu, kl",
    ),
    _statement(
        "read",
        "where prompts lie along a direction, and how well it tells two classes apart",
        clauses=("on", "at"),
        gives="scores",
        example="truth = read topic[16] on econ.held_out",
    ),
    _statement(
        "sweep",
        "repeat a block for each value of one axis or several",
        gives="axis",
        example="sweep angle over 0deg..350deg step 10deg { … }",
    ),
    _statement(
        "tune",
        "search the ranges of one axis or several for the point where a score is best",
        gives="tune",
        example="best = tune depth over 20%..80% and strength over 0..4 { … }",
    ),
    _statement(
        "maximize",
        "what the search of a `tune` makes as large as it can within its limits",
        args=SEARCH,
        clauses=("subject to", "with"),
        example="maximize scores.keyword_rate.generic subject to scores.delta_nll.generic < 0.3 with trials: 60",
    ),
    _statement(
        "minimize",
        "what the search of a `tune` makes as small as it can within its limits",
        args=SEARCH,
        clauses=("subject to", "with"),
        example="minimize scores.refusal_rate.harmful subject to scores.kl.generic < 0.1",
    ),
    _statement(
        "plot",
        "a picture of a score, a vector or a plane; the plot's own options follow `with`",
        clauses=("over", "polar", "to", "with"),
        example='plot scores.bleu over angle to "sweep.png"',
    ),
    _statement(
        "check",
        "a claim that a run confirms or refutes",
        args=CHECK,
        clauses=("with",),
        example="check scores.bleu.econ < 50% of baseline",
    ),
    _statement("export", "write a vector, a plane or a steer to a file", example='export topic to "topic.safetensors"'),
)
