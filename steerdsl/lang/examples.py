"""One right statement for each word that begins one, for the help of messages and commands."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# By terminal of the grammar.
EXAMPLES: Mapping[str, str] = MappingProxyType(
    {
        "EDITION": "edition 1",
        "USE": 'use "common/model.steer"',
        "PARAM": 'param strength = 10% "share of the residual norm"',
        "MODEL": 'model "Qwen/Qwen1.5-1.8B-Chat" with dtype: bf16',
        "DATASET": 'dataset econ = "data/econ.jsonl" with field: "prompt"',
        "EXTRACT": "topic = extract diffmean from econ vs generic at last_token",
        "SELECT": "best = select layers of topic by dispersion keep top 3",
        "ORTHOGONALIZE": "clean = orthogonalize warm against formal",
        "LOAD": 'old = load "topic.gguf"',
        "STEER": "steer forgetful { ablate topic everywhere }",
        "ABLATE": "ablate topic at layers 6,16,22",
        "ADD": "add topic by 10% at layers 8..12",
        "CLAMP": "clamp topic to 3 at layers 12",
        "CAP": "cap topic to 3 at layers 12",
        "ROTATE": "rotate plane(topic, pc1) to 210deg adaptive",
        "PATCH": 'patch from "another prompt" at layers 5',
        "GENERATE": "out = generate from econ.held_out with steer: forgetful, max_tokens: 64",
        "EVALUATE": "scores = evaluate forgetful on econ.held_out with bleu, kl",
        "SWEEP": "sweep angle over 0deg..350deg step 10deg { … }",
        "PLOT": 'plot scores.bleu over angle to "sweep.png"',
        "CHECK": "check scores.bleu.econ < 50% of baseline",
        "EXPORT": 'export topic to "topic.safetensors"',
    }
)
