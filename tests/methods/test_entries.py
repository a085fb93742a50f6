"""What every entry of the methods promises to the checker, the plan and the reference pages."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest

from steerdsl.cli.explain import entry_text
from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.source import Source
from steerdsl.registry import REQUIRED, Entry, entries

KINDS = ("extract", "select", "plane", "op", "condition")
ENTRIES = [pytest.param(entry, id=f"{kind}-{name}") for kind in KINDS for name, entry in entries(kind).items()]

# What the engine supplies by name beside the recipe's own arguments.
SUPPLIED = {"recapture", "width", "layers"}
ADVISED = [*ENTRIES, *(pytest.param(e, id=f"position-{name}") for name, e in entries("position").items())]


@pytest.mark.parametrize("entry", ENTRIES)
def test_entry_says_what_it_is(entry: Entry) -> None:
    assert entry.summary[0].islower() and not entry.summary.endswith(".")
    assert entry.formula and entry.example and entry.run.__doc__
    assert all(arg.doc and not arg.doc.endswith(".") for arg in entry.args)
    assert entry.name in entry.example or (entry.kind, entry.name) == ("plane", "vector")


@pytest.mark.parametrize("entry", ADVISED)
def test_explain_says_when_to_use_it(entry: Entry) -> None:
    assert entry.when.startswith("Use it ") and entry.when.endswith(".")
    assert 1 <= entry.when.count(". ") <= 2 and f"\n\n{entry.when}\n\n" in entry_text(entry)


@pytest.mark.parametrize("entry", [p for p in ENTRIES if p.values[0].kind in ("extract", "select", "plane")])
def test_arguments_are_those_of_the_function(entry: Entry) -> None:
    parameters = inspect.signature(entry.run).parameters
    own = {name: p for name, p in parameters.items() if p.default is not p.empty or p.kind is p.KEYWORD_ONLY}
    own = {name: p for name, p in own.items() if name not in SUPPLIED}
    assert set(own) == {arg.name for arg in entry.args}
    for arg in entry.args:
        default = own[arg.name].default
        assert arg.default == (REQUIRED if default is inspect.Parameter.empty else default)


@pytest.mark.parametrize("entry", ENTRIES)
def test_one_file_each_named_after_its_entry(entry: Entry) -> None:
    assert entry.run.__module__.rpartition(".")[2] == entry.name
    assert import_module(entry.run.__module__).ENTRY is entry


@pytest.mark.parametrize("name", sorted(entries("op")))
def test_every_operation_prepares(name: str) -> None:
    assert list(inspect.signature(entries("op")[name].prepare).parameters) == ["operand", "args"]


def test_entries_are_cheap_to_import() -> None:
    """`check`, `fmt` and `explain` read them all and need no tensors."""
    program = (
        "import sys; from steerdsl.registry import entries; "
        f"[entries(k) for k in {KINDS!r}]; "
        "print([m for m in ('torch', 'numpy', 'sklearn', 'transformers', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


PAIRS = 'dataset statements = "pairs.jsonl" with positive: "yes", negative: "no"\n'
VECTORS = "".join(
    f"{name} = extract diffmean from econ vs generic at last_token\n" for name in ("topic", "warm", "honest", "refusal")
)


@pytest.mark.parametrize("entry", ENTRIES)
def test_example_is_of_the_language(entry: Entry) -> None:
    prelude = PAIRS if entry.kind == "extract" else VECTORS
    source = Source("example", prelude + entry.example + "\n")
    _, report = check_source(source)
    assert "".join(render(d) for d in report.errors) == ""
