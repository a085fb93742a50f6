"""The lock: `econ.steer.lock`, every pin of a recipe in a file next to it.

In: pins. Out: a JSON file with sorted keys and one pin a line, so that a change is one line of a
diff; and the pins of such a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from steerdsl.forms.files import Misread
from steerdsl.forms.kept import LARGEST_LOCK, LOCK
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.share.pins import FORMER, Pin
from steerdsl.store.files import write_text

SCHEMA = 1


def lock_path(recipe: Path) -> Path:
    """Where the lock of a recipe is."""
    return recipe.with_name(recipe.name + ".lock")


def lock_text(pins: Mapping[str, Pin]) -> str:
    """The text of a lock."""
    content = {"schema": SCHEMA, "pins": dict(pins)}
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_lock(pins: Mapping[str, Pin], path: Path) -> None:
    """Write a lock. Raises RecipeError R802 when the place cannot be written."""
    try:
        write_text(path, lock_text(pins))
    except OSError as error:
        title = f"{path} could not be created: {(error.strerror or str(error)).lower()}"
        raise RecipeError(
            [Diagnostic("R802", title, help="check the permissions of the recipe's folder")], Exit.FAILED
        ) from error


def read_lock(path: Path) -> dict[str, Pin] | None:
    """The pins of a lock, None where there is none. Raises RecipeError R861 for a damaged one."""
    try:
        found = read_json(path, LOCK, most=LARGEST_LOCK)
        if found["schema"] != SCHEMA:
            raise Misread(f"its schema is {found['schema']}, and this version writes {SCHEMA}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        title = f"{path.name} cannot be read as a lock"
        reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        way_out = "renew it with `steerdsl lock --upgrade`"
        raise RecipeError([Diagnostic("R861", title, notes=(f"the reason given: {reason}",), help=way_out)]) from error
    return {name: value for name, value in found["pins"].items() if name not in FORMER}
