"""The card of a pack, whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from packs import RECIPE, RECORD, members, written

from steerdsl.share.card import card
from steerdsl.share.pack import pack_bytes, read_pack

CARD = """\
---
license: "mit"
base_model: "acme/tiny"
library_name: steerdsl
tags: [steerdsl, activation-steering]
---

# one

A recipe of steerdsl: an intervention on the activations of a language model, with the data, the direction and \
the answers of one run.

What one direction does.

## How to run

```sh
pip install steerdsl
steerdsl pull ada/one
steerdsl run x.steerpack
steerdsl verify x.steerpack
```

`run` makes it again; `verify` also compares every vector, answer and score with this run's.

SHA-256 of the pack: `{sha256}`

## The recipe

```
# What one direction does.
edition 1

ablate at layers 1
```

## What was run

| | |
|---|---|
| model | acme/tiny |
| revision | abc |
| weights, SHA-256 | {zeros} |
| dtype | float32 |
| batch | 16 |
| params | strength = 40% |
| data econ | 8 rows of econ |

## Scores

Means over prompts, with 95% intervals.

### scores

| metric | data | baseline | n |
|---|---|---|---|
| bleu | econ | 100 (90.5 to 100) | 8 |

## Claims

- scores.bleu.econ \\< 50: fails

## Limits

- The figures are of this model, these prompts and these settings; another model is another experiment.
- Intervals are over prompts alone, not over seeds, models or ways to ask.
- Another machine, dtype or version of a package may change last bits, and with them a token: this run was in \
float32 on cpu.
- Scores of texts by words or overlap are stand-ins for a reader's judgement.
- topic: weak at layer 1
"""


def test_the_card_says_what_how_figures_and_limits(tmp_path: Path) -> None:
    pack = read_pack(written(tmp_path, pack_bytes(RECIPE, members())))
    assert card(pack, "ada/one", "mit") == CARD.format(sha256=pack.sha256, zeros="0" * 64)


def test_a_recipe_cannot_leave_its_fence(tmp_path: Path) -> None:
    text = b"# ``` <script> | [x](y)\n# ````\nablate at layers 1\n"
    record = {**RECORD, "recipe": {**RECORD["recipe"], "sha256": hashlib.sha256(text).hexdigest()}}
    changed = {f"recipe/{RECIPE}": text, "run/record.json": json.dumps(record).encode()}
    pack = read_pack(written(tmp_path, pack_bytes(RECIPE, members(**changed))))
    made = card(pack, "ada/one")
    assert "`````\n# ``` <script>" in made
    assert "\\`\\`\\` \\<script\\> \\| \\[x\\](y)" in made


def test_points_of_a_sweep_have_a_table_each(tmp_path: Path) -> None:
    figures = b'{"bleu": {"e": {"main": {"mean": 1, "low": null, "high": null, "n": 1, "values": [1]}}}}'
    points = b'{"s": {"points": [{"at": {"angle": "90deg"}, "scores": %b}]}}' % figures
    pack = read_pack(written(tmp_path, pack_bytes(RECIPE, {**members(), "run/scores.json": points})))
    assert "### s at angle 90deg\n\n| metric | data | main | n |\n|---|---|---|---|\n| bleu | e | 1 | 1 |" in card(
        pack, "ada/one"
    )
