"""The model that lm-evaluation-harness is given, against the harness's own for transformers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from world import World

from steerdsl.engine.likelihood import Reading, read_texts
from steerdsl.measure.answers import Figures
from steerdsl.measure.metrics.lm_eval import figures
from steerdsl.measure.stats import interval
from steerdsl.methods.types import MethodError
from steerdsl.models.cache import no_progress

pytest.importorskip("lm_eval")
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from steerdsl.engine.harness_model import SteeredModel

LONG = "How does inflation change the price of bread? " * 40  # longer than the tiny models' 256 tokens
PAIRS = (
    ("Is bread dear?\nAnswer:", " A"),
    ("Is bread dear?\nAnswer:", " B"),
    ("Is bread dear? ", "yes, very"),
    ("", "Prices rise"),
    ("<s>Is bread dear?", " no"),
    (LONG, " and bread"),
)
UNTIL: dict[str, Any] = {"until": ["e", "\n\n"], "max_gen_toks": 12}


def asked(kind: str, *arguments: tuple[Any, ...]) -> list[Any]:
    return [Instance(kind, {}, given, i) for i, given in enumerate(arguments)]


def ours(world: World, line: str = "", instruction: str | None = None) -> SteeredModel:
    def two(width: int) -> int:
        return 2

    return SteeredModel(world.session, world.acting(line), two, two, no_progress, instruction)


def theirs(world: World) -> Any:
    return HFLM(pretrained=world.model, tokenizer=world.opened.tokenizer, batch_size=2, device="cpu")


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_unsteered_it_answers_as_the_harness_does(tiny_world: Callable[..., World], family: str) -> None:
    world = tiny_world(family)
    mine, own = ours(world), theirs(world)
    pairs = asked("loglikelihood", *PAIRS)
    for (a, greedy), (b, as_greedy) in zip(mine.loglikelihood(pairs), own.loglikelihood(pairs), strict=True):
        assert a == pytest.approx(b, abs=1e-3) and greedy == as_greedy
    texts = asked("loglikelihood_rolling", ("Prices rise.",), (LONG,))
    assert mine.loglikelihood_rolling(texts) == pytest.approx(own.loglikelihood_rolling(texts), abs=1e-2)
    open_ended = asked("generate_until", *((p, dict(UNTIL)) for p in ("Why?", "Is bread dear?", LONG)))
    found = mine.generate_until(open_ended)
    assert found == own.generate_until(open_ended) and len(set(found)) > 1


def test_the_chat_template_is_applied_as_the_harness_does(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("llama")
    talk = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}, {"role": "user", "content": "R"}]
    plain = theirs(world).apply_chat_template(talk)
    assert ours(world).apply_chat_template(talk) == plain
    said = ours(world, instruction="Be brief.")
    assert said.apply_chat_template(talk) == plain.replace("user\nR", "user\nBe brief.\n\nR")
    # The template has said it: it is not said again before the context.
    [given] = asked("loglikelihood", (plain, "A"))
    assert said.loglikelihood([given]) == ours(world).loglikelihood([given])


def test_a_template_with_a_date_is_given_the_one_of_every_prompt(
    tiny_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = tiny_world("llama")
    monkeypatch.setattr(
        world.opened.tokenizer, "chat_template", "{{ strftime_now('%Y-%m-%d') }} {{ messages[0].content }}"
    )
    assert ours(world).apply_chat_template([{"role": "user", "content": "Q"}]) == "2024-07-26 Q"


def test_an_instruction_stands_before_each_prompt_and_is_not_scored(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("llama")
    said = ours(world, instruction="Be brief.")
    pairs = asked("loglikelihood", ("Why?", " so"), ("", " so"))
    whole = asked("loglikelihood", ("Be brief.\n\nWhy?", " so"), ("", " so"))
    assert said.loglikelihood(pairs) == ours(world).loglikelihood(whole)
    [found] = said.loglikelihood_rolling(asked("loglikelihood_rolling", ("Why so?",)))
    encode = world.opened.tokenizer.encode
    before, text = [1, *encode("Be brief.\n\n", add_special_tokens=False)], encode("Why so?")
    with torch.no_grad():
        logits = world.model(torch.tensor([before + text])).logits[0].double().log_softmax(-1)
    wanted = sum(float(logits[len(before) + i - 1, token]) for i, token in enumerate(text))
    assert found == pytest.approx(wanted, abs=1e-3)


def test_steered_log_likelihoods_are_those_of_every_other_reading(tiny_world: Callable[..., World]) -> None:
    world = tiny_world("llama")
    line = "add v by 2 at layer 50% during generation; ablate u at layer 100%"
    pairs = asked("loglikelihood", *PAIRS[:3])
    steered = ours(world, line)
    found = steered.loglikelihood(pairs)
    encoded = [steered._encode_pair(*pair) for pair in PAIRS[:3]]
    texts = [Reading((*a, *b), len(a), world.acting(line)) for a, b in encoded]
    readings = read_texts(world.session, texts, lambda width: 1)
    assert [total for total, _ in found] == pytest.approx([float(r.sum()) for r in readings], abs=1e-4)
    plain = ours(world).loglikelihood(pairs)
    assert max(abs(a - b) for (a, _), (b, _) in zip(found, plain, strict=True)) > 0.05


def test_a_setting_of_generation_that_steering_lacks(tiny_world: Callable[..., World]) -> None:
    with pytest.raises(MethodError) as caught:
        ours(tiny_world("llama")).generate_until(asked("generate_until", ("Why?", {"until": ["x"], "num_beams": 4})))
    assert caught.value.problem == "the task generates with `num_beams`, which a steered model cannot"
    assert caught.value.code == "R892"


def test_figures_have_the_harness_s_mean() -> None:
    assert figures("acc", [1, 0.0, True, 1.0], 0.75) == Figures([1.0, 0.0, 1.0, 1.0], "rate")
    assert figures("f1_own", [0.5, 1.0], 0.75) == Figures([0.5, 1.0])
    likely = figures("perplexity", [-1.0, -3.0], 7.38905609893065)
    assert likely is not None and interval(likely).mean == pytest.approx(7.38905609893065)
    words = figures("word_perplexity", [(-6.0, 3), (-2.0, 1)], 7.38905609893065)
    assert words is not None and words.weights == [3.0, 1.0] and interval(words).mean == pytest.approx(7.389056)
    bits = figures("bits_per_byte", [(-6.0, 3), (-2.0, 1)], 2.8853900817779268)
    assert bits is not None and bits.mean == "arithmetic" and interval(bits).mean == pytest.approx(2.88539)


def test_what_is_no_mean_over_documents_is_no_figure() -> None:
    assert figures("mcc", [(0, 1), (1, 1)], 0.3) is None
    assert figures("acc", [1.0, 0.0], 0.9) is None
    assert figures("bleu", [["a", "b"]], 12.0) is None
