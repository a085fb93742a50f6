"""Task files of lm-evaluation-harness that come with a recipe.

In: the path of a yaml in the recipe's folder. Out: a `TaskFile`: the task as plain data and the rows of
its splits, or a RecipeError. A recipe may come from a stranger, so a task file may hold data and templates and
nothing that runs: no `!function`, no class, no file or address of its own choosing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from steerdsl.data import files, formats
from steerdsl.data.faults import Fault, diagnostics
from steerdsl.forms.files import Misread
from steerdsl.forms.form import Either, Maybe, misfit
from steerdsl.forms.text import DEEPEST, require_plain
from steerdsl.lang.diagnostics import RecipeError, nearest
from steerdsl.lang.nodes import NOWHERE
from steerdsl.lang.source import Source, Span

# What a task file may say: words of the harness's TaskConfig, and of its `fewshot_config`, that are
# data or templates.
PLAIN = frozenset(
    [
        "task",
        "task_alias",
        "tag",
        "dataset_path",
        "dataset_kwargs",
        "training_split",
        "validation_split",
        "test_split",
        "fewshot_split",
        "doc_to_text",
        "doc_to_target",
        "doc_to_choice",
        "description",
        "target_delimiter",
        "fewshot_delimiter",
        "fewshot_config",
        "num_fewshot",
        "sampler",
        "split",
        "samples",
        "fewshot_indices",
        "metric_list",
        "output_type",
        "generation_kwargs",
        "repeats",
        "filter_list",
        "gen_prefix",
        "metadata",
    ]
)
LARGEST = 64 << 10  # bytes of a task file
# A bracket, or a line of many lists in each other.
_BRACKETS = re.compile(r"[\[\]{}]|(?:[-?:][ \t]+){60}")
_LISTED = Either(([dict], None))
TASK: Mapping[str, Any] = {
    "task": str,
    **dict.fromkeys(("fewshot_config", "generation_kwargs", "metadata"), Maybe(Either((dict, None)))),
    **dict.fromkeys(("metric_list", "filter_list"), Maybe(_LISTED)),
    **dict.fromkeys(("num_fewshot", "repeats"), Maybe(int | None)),
    **dict.fromkeys(("target_delimiter", "fewshot_delimiter", "description", "output_type"), Maybe(str | None)),
}
CODE = "a task file next to a recipe may hold only data and templates"


@dataclass(frozen=True, slots=True)
class TaskFile:
    """config: the task without its data. splits: the rows of each split. sha256: of the yaml and of
    each data file, by path from the recipe's folder."""

    config: Mapping[str, Any]
    splits: Mapping[str, list[Mapping[str, Any]]]
    sha256: Mapping[str, str] = field(default_factory=dict)


def load_task(
    path: str, root: Path, allowed: tuple[Path, ...] = (), source: Source | None = None, span: Span = NOWHERE
) -> TaskFile:
    """Read a task file and its data. Paths in it start at the recipe's folder, as those in the recipe do.

    Raises RecipeError: R891 for what a task file may not hold, D501 and D502 for the files it names,
    D503-D507 for what is in them.
    """
    reader = _Reader(path, root, allowed, source, span)
    config = reader.config()
    splits = reader.splits(config)
    kept = {key: value for key, value in config.items() if key not in ("dataset_path", "dataset_kwargs")}
    return TaskFile(kept, splits, reader.sha256)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one task file; `source` and `span` are where the recipe names it."""

    name: str
    root: Path
    allowed: tuple[Path, ...]
    source: Source | None
    span: Span
    sha256: dict[str, str] = field(default_factory=dict)

    def error(self, fault: Fault) -> RecipeError:
        return RecipeError(diagnostics([fault], self.span, self.source))

    def refused(self, what: str, help: str = CODE) -> RecipeError:
        return self.error(Fault("R891", f"{self.name} {what}", help))

    def bytes(self, path: str) -> bytes:
        """A file's bytes, its hash noted."""
        found = files.find(path, self.root, self.allowed)
        raw = found if isinstance(found, Fault) else files.read(found, path)
        if isinstance(raw, Fault):
            raise self.error(raw)
        self.sha256[path] = sha256(raw).hexdigest()
        return raw

    def text(self) -> str:
        """The task file's text; the reader of yaml takes seconds for a megabyte."""
        raw = self.bytes(self.name)
        if len(raw) > LARGEST:
            raise Misread(f"{self.name} has {len(raw):,} bytes, and a task file has at most {LARGEST:,}")
        text = raw.decode("utf-8-sig")
        depth = 0
        for mark in _BRACKETS.findall(text):
            depth += 1 if mark in "[{" else -1 if mark in "]}" else DEEPEST
            if depth > DEEPEST:  # its time grows with the square of it
                raise Misread(f"{self.name} is nested more than {DEEPEST} deep")
        return text

    def config(self) -> dict[str, Any]:
        """The task as plain data, with nothing in it that runs."""
        import yaml

        try:
            config = yaml.safe_load(self.text())
            require_plain(config, self.name)
        except yaml.constructor.ConstructorError as error:
            raise self.refused(f"asks for code{_line(error)}") from error
        except Misread as error:
            raise self.refused(
                str(error).removeprefix(f"{self.name} "), "write it as lm-evaluation-harness says"
            ) from error
        # A tag such as !!int "abc" or a date in month 13 is a plain ValueError of the reader.
        except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
            raise self.refused(f"is not yaml{_line(error)}", "look for a missing quote or a tab") from error
        if not isinstance(config, dict) or not isinstance(config.get("task"), str):
            raise self.refused("names no task", "write `task: NAME` in it")
        if (wrong := misfit(config, TASK)) is not None:
            raise self.refused(f"has a wrong form: {wrong}", "write it as lm-evaluation-harness says")
        for key in [*config, *(config.get("fewshot_config") or ())]:
            if key not in PLAIN:
                close = nearest(str(key), PLAIN)
                raise self.refused(f"may not say `{key}`", f"did you mean `{close}`?" if close else CODE)
        for metric in config.get("metric_list") or ():
            if not isinstance(metric, dict) or "hf_evaluate" in metric:
                raise self.refused("asks for a metric of the hub, which is code", "use one of the harness's own")
        return config

    def splits(self, config: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
        """The rows of each split; data files without a split are `train`, as the harness has it."""
        kwargs = config.get("dataset_kwargs")
        given = kwargs["data_files"] if isinstance(kwargs, dict) and set(kwargs) == {"data_files"} else None
        if config.get("dataset_path") not in ("json", "csv") or not given:
            form = 'write `dataset_path: json` and `dataset_kwargs: {data_files: {test: "data/rows.jsonl"}}`'
            raise self.refused("does not say which files its data are", form)
        by_split = given if isinstance(given, dict) else {"train": given}
        return {
            str(split): [
                row for path in (named if isinstance(named, list) else [named]) for row in self.rows(str(path))
            ]
            for split, named in by_split.items()
        }

    def rows(self, path: str) -> list[Mapping[str, Any]]:
        table, faults = formats.parse(self.bytes(path), path)
        if faults:
            raise self.error(faults[0])
        return [record.fields for record in table.records]


def _line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" in line {mark.line + 1}" if mark else ""
