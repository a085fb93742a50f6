"""What changes a content key, and what does not."""

from __future__ import annotations

from datetime import date
from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from tiny import CHAT_TEMPLATE, tiny_folder

from steerdsl.lang.check import check_source
from steerdsl.lang.source import Source
from steerdsl.models.catalog import locate
from steerdsl.models.facts import read_facts
from steerdsl.planning import planning
from steerdsl.planning.plan import Plan, RunOptions
from steerdsl.planning.planner import make_plan
from steerdsl.planning.planning import Planning
from steerdsl.show.plan_view import plan_view

BASE = """
topic = extract diffmean from econ vs generic at last_token
best = select layers of topic by dispersion
steer s { ablate topic[best] at layers 1 }
scores = evaluate s on econ with bleu, max_tokens: 8
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("model") / "llama")


def plan(folder: Path, text: str, **options: object) -> Plan:
    source = Source("r.steer", text)
    recipe, report = check_source(source)
    assert recipe is not None, report.found
    locate(str(folder))
    chosen = RunOptions(device="cpu", **{"dtype": "float32", **options})  # type: ignore[arg-type]
    return make_plan(recipe, source, Path(), chosen, read_facts(str(folder)), None)


def keys(folder: Path, text: str = BASE, **options: object) -> list[str | None]:
    return [step.key for step in plan(folder, text, **options).steps]


def changed(folder: Path, text: str = BASE, **options: object) -> list[bool]:
    """Which of extract, select, steer, evaluate differ from the base recipe."""
    return [a != b for a, b in zip(keys(folder), keys(folder, text, **options), strict=True)]


def test_names_comments_and_layout_change_nothing(folder: Path) -> None:
    renamed = BASE.replace("topic", "subject").replace("best", "place").replace("steer s ", "steer t ")
    renamed = "# a comment\n" + renamed.replace("evaluate s ", "evaluate t ").replace("scores", "results")
    assert not any(changed(folder, renamed))


def test_the_device_and_the_place_change_nothing(folder: Path) -> None:
    assert not any(changed(folder, on="simulate"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ablate topic[best] at layers 1", "ablate topic[best] at layers 2", [0, 0, 1, 1]),
        ("max_tokens: 8", "max_tokens: 9", [0, 0, 0, 1]),
        ("dispersion", "max_norm", [0, 1, 1, 1]),
        ("last_token", "mean_content", [1, 1, 1, 1]),
        ("diffmean", "pca_diff", [1, 1, 1, 1]),
        ("with bleu", "with rouge_l", [0, 0, 0, 1]),
        ("econ vs generic", "generic vs econ", [1, 1, 1, 1]),
    ],
)
def test_a_change_reaches_what_depends_on_it(folder: Path, old: str, new: str, expected: list[int]) -> None:
    assert changed(folder, BASE.replace(old, new)) == [bool(x) for x in expected]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dtype": "bf16"}, [1, 1, 1, 1]),
        ({"batch_size": 3}, [0, 0, 0, 0]),
        ({"seed": 5}, [0, 0, 0, 1]),
    ],
)
def test_options_that_change_numbers_change_keys(folder: Path, options: dict[str, object], expected: list[int]) -> None:
    assert changed(folder, **options) == [bool(x) for x in expected]


def test_the_system_prompt_and_the_template_count(folder: Path) -> None:
    assert all(changed(folder, f'model "x" with system: "Be terse."\n{BASE}', model=str(folder))[:2])


SWITCH = CHAT_TEMPLATE.replace("assistant\n", "assistant\n{% if enable_thinking is false %}<no>{% endif %}")


@pytest.mark.parametrize("thinking", ["on", "off"])
def test_thinking_counts_where_it_is_given(tmp_path: Path, thinking: str) -> None:
    folder = tiny_folder(tmp_path / "m", template=SWITCH)
    given = plan(folder, f'model "x" with thinking: {thinking}\n{BASE}', model=str(folder))
    own = plan(folder, BASE)
    assert all(a.key != b.key for a, b in list(zip(given.steps, own.steps, strict=True))[:2] if a.key)
    assert given.model_key != own.model_key
    for made, said in ((given, thinking), (own, "on, as in the template")):
        view = Console(width=200, file=StringIO(), record=True)
        view.print(plan_view(made))
        assert f"thinking  {said} " in view.export_text()


def test_a_template_that_begins_an_answer_with_a_token_of_its_own_has_a_key_of_its_own(tmp_path: Path) -> None:
    """Pairs and letters stand in another place since, so results of an older version are not taken."""
    channel = "<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}<|im_start|>{% endif %}"
    template = CHAT_TEMPLATE.replace("<|im_start|>{{ m['role'] }}\n", channel)
    assert template != CHAT_TEMPLATE
    made = plan(tiny_folder(tmp_path / "m", template=template), BASE)
    key = made.model_key
    assert Planning.of(made, None)._structure() == {"opening": "<|im_start|>"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Planning, "_structure", lambda self: {})
        assert Planning.of(made, None).model_key != key


def test_the_date_that_a_template_reads_is_in_the_plan_and_in_the_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers of a day's own date, kept by an older version, are not taken for those of the fixed one."""
    dated = tiny_folder(tmp_path / "dated", template="{{ strftime_now('%d %b %Y') }}" + CHAT_TEMPLATE)
    sha256 = read_facts(str(dated)).template_sha256
    assert sha256 is not None
    view = Console(width=200, file=StringIO(), record=True)
    view.print(plan_view(plan(dated, BASE)))
    assert f"chat template, sha256 {sha256[:16]}…, its date 26 July 2024 " in view.export_text()
    own, plain = plan(dated, BASE).model_key, plan(folder, BASE).model_key
    monkeypatch.setattr(planning, "DATE", date(2024, 7, 27))
    assert plan(dated, BASE).model_key != own is not None
    assert plan(folder, BASE).model_key == plain is not None


def test_the_weights_count(folder: Path, tmp_path: Path) -> None:
    other = tiny_folder(tmp_path / "other", "llama", rms_norm_eps=1e-3)
    same = tiny_folder(tmp_path / "same")
    assert keys(folder) == keys(same) or keys(folder)[0] is None
    (other / "model.safetensors").write_bytes(_touched((other / "model.safetensors").read_bytes()))
    assert keys(folder)[0] != keys(other)[0]


def test_the_config_counts(folder: Path, tmp_path: Path) -> None:
    """Equal weights mean other activations under another config."""
    other = tiny_folder(tmp_path / "other")
    config = other / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-02'))
    assert (other / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert all(a != b for a, b in zip(keys(folder)[:2], keys(other)[:2], strict=True))


def _touched(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    ("on", "device"),
    [("local", "cpu, 1 thread"), ("simulate", "cpu, 1 thread, on simulate"), ("ndif", "the server's, on ndif")],
)
def test_the_plan_says_where_the_model_will_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, on: str, device: str
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    view = Console(width=200, file=StringIO(), record=True)
    view.print(plan_view(plan(folder, BASE, on=on)))
    (line,) = (line for line in view.export_text().splitlines() if line.split()[:1] == ["device"])
    assert line.split(maxsplit=1)[1].strip() == device
