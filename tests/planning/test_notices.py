"""What the plan says of a model's files: stops, a missing template, a tokenizer described twice, rendered prompts."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from tiny import CHAT_TEMPLATE, tiny_folder
from tokenizers import Tokenizer, pre_tokenizers

from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.source import Source
from steerdsl.models.catalog import locate
from steerdsl.models.facts import read_facts
from steerdsl.planning.notices import notices
from steerdsl.planning.plan import Plan, RunOptions
from steerdsl.planning.planner import make_plan
from steerdsl.show.plan_view import plan_view

EXTRACT = "dataset d = econ with take: 4\nv = extract diffmean from d vs generic at last_token\n"


def plan(folder: Path, text: str = EXTRACT) -> Plan:
    source = Source("r.steer", text)
    recipe, report = check_source(source)
    assert recipe is not None, report.found
    locate(str(folder))
    return make_plan(recipe, source, folder, RunOptions(device="cpu", dtype="float32"), read_facts(str(folder)), None)


def said(made: Plan) -> str:
    return "".join(render(d) for d in notices(made))


def view(made: Plan) -> str:
    shown = Console(width=200, file=StringIO(), record=True)
    shown.print(plan_view(made))
    return shown.export_text()


def test_nothing_is_said_of_an_ordinary_model_but_its_stops(tmp_path: Path) -> None:
    made = plan(tiny_folder(tmp_path / "m"))
    assert said(made) == "" and made.mode == "chat"
    assert "stops     answers end at </s> (2) or <|im_end|> (4); the model's files set nothing else" in view(made)


def test_tokens_on_the_border_of_the_words_are_told(tmp_path: Path) -> None:
    """Only where they are read: `mean_content` takes the token that the words share with the template."""
    template = "{{ bos_token }}Q:{{ messages[0]['content'] }}xplain"
    rows = ['{"prompt": "bread"}', '{"prompt": "E"}', '{"prompt": "E"}', '{"prompt": "the"}']
    folder = tiny_folder(tmp_path / "m", template=template)
    (folder / "rows.jsonl").write_text("\n".join(rows))
    (folder / "other.jsonl").write_text('{"prompt": "bread"}')
    text = 'dataset d = "rows.jsonl" with held_out: 0%\ndataset e = "other.jsonl" with held_out: 0%\n'
    text += "v = extract diffmean from d.all vs e.all at POSITION\n"
    assert said(plan(folder, text.replace("POSITION", "last_token"))) == ""
    assert said(plan(folder, text.replace("POSITION", "mean_content"))) == (
        "warning[M661]: in 2 of 4 prompts of `d.all` a token holds the user's and the template's characters\n"
        "help: `mean_content` reads such a token as the user's; where that matters, read `at last_token`\n"
    )


@pytest.mark.parametrize("asked", ["", ' with template: "chat"'])
def test_a_model_without_a_chat_template(asked: str, tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m", template=None)
    made = plan(folder, (f'model "m"{asked}\n' if asked else "") + EXTRACT)
    assert said(made) == (
        f"warning[M620]: `{folder}` has no chat template: its prompts are raw text\n"
        'help: write `template: "none"` if that is what you want; else copy the model with chat_template.jinja\n'
    )
    assert made.mode == "none"
    assert "raw text: the model has no chat template" in view(made)
    for mode in ("none", "newline"):
        made = plan(folder, f'model "m" with template: "{mode}"\n{EXTRACT}')
        assert said(made) == "" and made.mode == mode


def test_a_tokenizer_that_is_described_in_two_ways(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    raw = Tokenizer.from_file(str(folder / "tokenizer.json"))
    raw.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), raw.pre_tokenizer])
    model = json.loads(raw.to_str())
    model["model"]["merges"] += [[".", "."], ["!", "!"]]
    model["model"]["vocab"] |= {"..": 320, "!!": 321}
    (folder / "tokenizer.json").write_text(json.dumps(model))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "tokenizer_class": "GPT2Tokenizer"}))
    assert said(plan(folder)) == (
        f"warning[M621]: texts are cut as the tokenizer.json of `{folder}` says, and not as `GPT2Tokenizer` would\n"
        "help: give `PreTrainedTokenizerFast` as tokenizer_class in tokenizer_config.json: it reads tokenizer.json\n"
    )


@pytest.mark.parametrize(
    ("rows", "subject"),
    [
        ([{"prompt": "<|im_start|>user\nHi<|im_end|>"}, {"prompt": "Hi"}], "a row of `d` holds `<|im_start|>`"),
        ([{"prompt": "<s>Hi"}, {"prompt": "<|im_end|>Hi"}], "2 rows of `d` hold `<s>`"),
        ([{"prompt": "Hi <s"}, {"prompt": "im_start <|im_| end|>"}], None),
        ([{"prompt": "</s> is not of the template"}], None),
    ],
)
def test_prompts_that_hold_the_templates_tokens(
    rows: list[dict[str, str]], subject: str | None, tmp_path: Path
) -> None:
    folder = tiny_folder(tmp_path / "m")
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = 'dataset d = "d.jsonl" with held_out: 0%\nv = extract diffmean from d vs generic at last_token\n'
    expected = (
        ""
        if subject is None
        else f"warning[M622]: {subject}, and the chat template is put around them again\n"
        'help: use `template: "none"` for prompts that are rendered, or take the tokens out\n'
    )
    assert said(plan(folder, text)) == expected
    assert said(plan(folder, f'model "m" with template: "none"\n{text}')) == ""


def test_another_stop_of_the_template_is_another_model(tmp_path: Path) -> None:
    one = plan(tiny_folder(tmp_path / "one"))
    other = plan(tiny_folder(tmp_path / "other", template=CHAT_TEMPLATE.replace("<|im_end|>", "</s>")))
    assert one.model.stops.end == (2, 4) and other.model.stops.end == (2,)
    assert one.model_key != other.model_key
