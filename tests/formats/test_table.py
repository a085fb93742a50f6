"""The endings that the language takes are those that the table of formats reads and writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from steerdsl.formats.table import FORMATS, of
from steerdsl.lang.lower.outputs import EXPORTED, LOADED
from steerdsl.registry import entries

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"


@pytest.mark.parametrize("kind", sorted(EXPORTED))
def test_what_the_language_exports_is_written(kind: str) -> None:
    assert {f.ending for f in FORMATS if getattr(f, f"write_{kind}")} == set(EXPORTED[kind])


def test_what_the_language_loads_is_read() -> None:
    assert {f.ending for f in FORMATS if f.read} == set(LOADED)


def test_a_path_names_its_format() -> None:
    assert [f.ending if (f := of(path)) else None for path in ("a/B.GGUF", "x.peft/", "model/", "v1.5")] == [
        ".gguf",
        ".peft",
        None,
        None,
    ]


def test_every_format_is_in_the_docs() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for form in FORMATS:
        assert f"`{form.ending}`" in text
        for name in (name for name, entry in entries("op").items() if entry.effect in form.effects):
            assert f"`{name}`" in text
