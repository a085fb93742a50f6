"""Recipes on a real NDIF server: the same numbers as here, few bytes, and the right words for what fails."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import server as ndif
from calling import Call
from nnsight.schema.response import Status

from steerdsl.engine import generate as answering
from steerdsl.engine import remote
from steerdsl.engine.tracing.ndif import Ndif

pytestmark = pytest.mark.ndif

EVERYTHING = """
dataset a = econ with take: 10, seed: 1
dataset b = generic with take: 10, seed: 1
topic = extract diffmean from a vs b at last_token
spread = extract probe from a vs b at mean_content on resid_mid
best = select layers of topic by dispersion keep top 3
apart = select layers of topic by auroc keep top 1
plot dispersion(topic)
steer forgetful { ablate topic[best] everywhere }
steer wary { add spread by 30% at layers 14 when cos(topic) > 0 at layer 8 keep norm }
forgotten = generate from a.held_out with steer: forgetful, max_tokens: 12
warm = generate from b.held_out with steer: wary, max_tokens: 12, temperature: 0.8, n: 2, seed: 3
scores = evaluate forgetful on a.held_out with bleu, perplexity, kl, max_tokens: 8
turn = plane(topic, pc1)
sweep angle over 0deg..270deg step 90deg {
    steer turned { rotate turn to angle at layers 12..16 }
    told = evaluate turned on a.held_out with bleu, max_tokens: 8, controls: none
}
"""
SWEEP = """
dataset a = econ with take: 8, held_out: 60%
dataset b = generic with take: 8, held_out: 60%
topic = extract diffmean from a vs b at last_token
sweep strength over 1,2,3 {
    steer strong { add topic by strength at layers 14 }
    told = generate from a.held_out with steer: strong, max_tokens: 6
}
"""
SHORT = "out = generate from econ.held_out with max_tokens: 4"


@pytest.fixture
def on_server(steerdsl: Call) -> Call:
    def call(text: str, *words: str) -> tuple[int, str, str]:
        return steerdsl("run", "-e", text, "--on", "ndif", "--dtype", "float32", "--quiet", *words)

    return call


def answers(folder: str) -> list[Any]:
    lines = (Path(folder) / "generations.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["variant"], row.get("point"), row["row"], row["token_ids"]) for row in rows]


def record(folder: str) -> Any:
    return json.loads((Path(folder) / "record.json").read_text())


def test_here_and_there(steerdsl: Call) -> None:
    """Extraction, a dispersion curve, selections, answers greedy and drawn, scores, and a fused sweep."""
    code, out, err = steerdsl("parity", "-e", EVERYTHING, "--on", "ndif", "--dtype", "float32", "--quiet")
    assert code == 0, out + err
    receipt = json.loads(Path("recipe.parity.json").read_text())
    assert receipt["equal"] and receipt["host"] == ndif.URL
    assert all(pair["here"] == pair["there"] != "-" for pair in receipt["versions"].values())
    by_name = {step["name"]: step for step in receipt["steps"] if step["name"]}
    assert by_name["topic"]["vectors"] <= 1e-6 and by_name["spread"]["vectors"] <= 1e-6
    assert by_name["scores"]["logits"] <= 1e-3
    answered = [step["tokens"] for step in receipt["steps"] if step["tokens"]]
    assert len(answered) == 4 and all(tokens["different"] == 0 < tokens["answers"] for tokens in answered)
    print(out)  # shown by `pytest -s`


def test_what_goes_over_the_wire(on_server: Call) -> None:
    """Statistics of 150 prompts come back, and no activation; the record has every byte."""
    text = "dataset a = econ with take: 75, held_out: 0%\ndataset b = generic with take: 75, held_out: 0%\n"
    code, _, err = on_server(text + "topic = extract diffmean from a vs b at mean_content", "--out", "r")
    assert code == 0, err
    (timing,) = record("r")["timings"]
    print(timing)
    assert timing["sent"] + timing["received"] < 3_000_000
    assert timing["requests"] == 5  # a greeting, and two for each class
    whole = (Path("r") / "record.json").read_text() + err
    assert ndif.KEY not in whole


def test_no_distribution_comes_back(on_server: Call) -> None:
    """Of a divergence and of trials of directions, a number for each token or prompt: one distribution is 0.2 MB."""
    text = """
    dataset a = econ with take: 6, held_out: 50%
    dataset b = generic with take: 6, held_out: 50%
    topic = extract diffmean from a vs b at last_token
    best = select layers of topic by refusal_selection with max_kl: 100, min_induce: -100 from layers 10..13
    steer s { ablate topic[best] everywhere }
    scores = evaluate s on a.held_out with kl, max_tokens: 6
    """
    code, _, err = on_server(text, "--out", "r")
    assert code == 0, err
    timings = {step["verb"]: step for step in record("r")["timings"]}
    print(timings)
    assert timings["select"]["received"] < 50_000 and timings["evaluate"]["received"] < 50_000
    kl = json.loads((Path("r") / "scores.json").read_text())["scores"]["kl"]["a"]
    assert kl["baseline"]["mean"] == 0 < kl["s"]["mean"]


def test_trust_is_told_once(on_server: Call) -> None:
    errors = [on_server(SHORT, "--out", name)[2] for name in ("one", "two")]
    told = f"note: results of {ndif.URL} are unpickled, so whoever runs that server can run code on this machine"
    assert errors[0].count(told) == 1 and told not in errors[1]


def test_a_wrong_key(on_server: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    for key, what in (("mistyped-key", "does not accept the"), ("", "asks for an")):
        monkeypatch.setenv("NDIF_API_KEY", key)
        code, _, err = on_server(SHORT, "--out", f"r{key}")
        assert code == 3
        assert f"error[R825]: the server at {ndif.URL} {what} API key" in err and "step 1, generate" in err
        assert "mistyped-key" not in err + (Path(f"r{key}") / "record.json").read_text()


def test_an_unknown_model(on_server: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model's files are at hand here; under this id the server has none."""
    whole = remote.find_model
    monkeypatch.setattr(remote, "find_model", lambda link, status: whole(renamed(link), status))

    def renamed(link: Any) -> Any:
        link.repo = "nobody/such-a-model"
        return link

    code, _, err = on_server(SHORT)
    assert code == 3
    assert f"error[R821]: the server at {ndif.URL} does not serve `nobody/such-a-model`" in err
    assert f"note: served now: {ndif.MODEL}" in err


def test_a_step_that_fails_there(on_server: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = answering.generation_config

    def too_short(opened: Any, sampling: Any) -> Any:
        config = whole(opened, sampling)
        config.max_new_tokens = -1
        return config

    monkeypatch.setattr(answering, "generation_config", too_short)
    code, _, err = on_server(SHORT)
    assert code == 3
    assert f"error[R826]: the step failed on the server at {ndif.URL}" in err
    assert "1 | out = generate" in err and "step 1, generate" in err
    assert "note: it says: ValueError: " in err and "max_new_tokens" in err


def test_another_dtype(on_server: Call) -> None:
    code, _, err = on_server(SHORT, "--dtype", "bf16")
    assert code == 3 and "runs the model in float32, and this run is planned in bfloat16" in err


@pytest.fixture
def api_again() -> Iterator[None]:
    """The server's API is running when a test ends."""
    yield
    if not ndif.answers("/ping"):
        ndif.restart("api")


def kill_at(patch: pytest.MonkeyPatch, number: int, within: bool) -> None:
    """Kill the server's API before a run's request of this number, or while the server works on it."""
    request, note, seen = Ndif.request, Ndif.note, [0]

    def counted(self: Ndif, *arguments: Any) -> Any:
        seen[0] += 1
        if seen[0] == number and not within:
            ndif.kill("api")
        return request(self, *arguments)

    def noted(self: Ndif, response: Any) -> bool:
        # At the first news after it was taken: by the time it runs, the result may be on its way already.
        if seen[0] == number and within and response.status not in (Status.RECEIVED, Status.LOG):
            ndif.kill("api")
        return note(self, response)

    patch.setattr(Ndif, "request", counted)
    patch.setattr(Ndif, "note", noted)


def requests(folder: str) -> int:
    return sum(step.get("requests", 0) for step in record(folder)["timings"])


@pytest.mark.parametrize("within", [False, True])
def test_a_server_that_is_killed(
    on_server: Call, api_again: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, within: bool
) -> None:
    """Between two requests of a sweep, or while it works on one. Once it is back the same command goes
    on, and the result is that of an undisturbed run."""
    words = ("--batch-size", "1")
    code, _, err = on_server(SWEEP, "--out", "undisturbed", *words)
    assert code == 0, err
    shutil.rmtree(tmp_path / "cache" / "store")
    with monkeypatch.context() as patch:
        patch.setattr(remote, "PAUSES", (0.1,))
        kill_at(patch, requests("undisturbed") - 1, within)
        code, _, err = on_server(SWEEP, "--out", "killed", *words)
    assert code == 3
    said = "R823]: the NDIF server at {} was lost while it" if within else "R820]: no NDIF server answers at {}"
    assert said.format(ndif.URL) in err and ", sweep" in err
    assert record("killed")["timings"][-1]["verb"] == "sweep" and record("killed")["timings"][-1]["sent"] > 0
    assert record("killed")["state"] == "failed" and len(answers("killed")) < len(answers("undisturbed"))
    ndif.restart("api")
    code, _, err = on_server(SWEEP, "--out", "again", *words)
    assert code == 0, err
    assert answers("again") == answers("undisturbed")
    assert requests("again") == 3  # the greeting, the one that was lost, and the one after it
    vectors = [(Path(name) / "vectors" / "topic.safetensors").read_bytes() for name in ("again", "undisturbed")]
    assert vectors[0] == vectors[1]


def test_a_server_that_starts_late(on_server: Call, api_again: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is started while the server is not up yet waits for it."""
    monkeypatch.setattr(remote, "PAUSES", (1.0,) * 120)  # a busy machine starts it slowly
    monkeypatch.setattr(remote, "TRYING", 240.0)
    ndif.kill("api")
    late = threading.Timer(2.0, ndif.restart, ("api",))
    late.start()
    try:
        code, _, err = on_server(SHORT, "--out", "r")
    finally:
        late.join()
    assert code == 0, err
    assert answers("r")
