"""The table of steers that the engine and the hooks must agree on, as lines of the language.

`{cos(v)}` stands for a threshold at which the prompts of a model part, at half depth, and
`{each cos(v)}` for one at which their tokens do.
Layers are shares of the depth, so that one table serves a model of three layers and one of thirty.
"""

from __future__ import annotations

import re

PATCH = "Name three birds of the sea, and say where each of them lives and what it eats in winter."
# A vector for each stream, at the scale of what flows there. Beside them `u` is another of resid_post,
# `two` has two directions a layer, `slanted` reads and writes different ones, and `p` is a plane.
STREAMS = {
    "pre": "resid_pre",
    "anorm": "attn_norm_out",
    "h": "head",
    "att": "attn_out",
    "mid": "resid_mid",
    "mnorm": "mlp_norm_out",
    "ffn": "mlp_out",
    "v": "resid_post",
}

OPERATIONS = (
    "ablate v",
    "ablate v[50%] everywhere",
    "ablate v[0%,50%,100%]",
    "ablate two at layer 50%",
    "ablate slanted at layer 50%",
    "ablate slanted by 50% at layers 0%..50%",
    "ablate v by 50%",
    "ablate v by 150% at layer 50%",
    "ablate v toward mean(generic) at layer 50%",
    "ablate v toward mean(generic) by 50% with alpha: 0.7 at layer 50%",
    "add v by 2 at layer 50%",
    "add v by -1.5 at layer 50%",
    "add v by 40% at layer 50%",
    "add v by -60% at layer 50%",
    "add two by 1.5 at layer 50%",
    "add two by 60% at layer 50%",
    "add v - 0.5 * u by 1.5 at layer 50%",
    "add v[0%] by 40% everywhere",
    "clamp v to {each proj(v)} at layer 50%",
    "cap v to {each proj(v)} at layer 50%",
    "rotate plane(v[50%], u[50%]) by 90deg",
    "rotate p by -60deg at layer 50%",
    "rotate p to 210deg at layer 50%",
    "rotate p to 60deg everywhere",
    "rotate p by 150deg adaptive",
    "rotate p to 150deg at layer 50% adaptive",
    f'patch from "{PATCH}" at layer 50%',
    f'patch from "{PATCH}" at layer 50% with align: start',
    'patch from "Why?" at layer 50% with align: start',
    'patch from "Why?" everywhere',
)
KEEPING = (
    "ablate v keep norm",
    "add v by 2 at layer 50% keep norm",
    "add v by 60% at layer 50% keep norm",
    "clamp v to {each proj(v)} at layer 50% keep norm",
    "cap v to {each proj(v)} at layer 50% keep norm",
    "rotate p by 90deg at layer 50% keep norm",
    f'patch from "{PATCH}" at layer 50% keep norm',
)
SITES = (
    *(
        line.format(name=name, stream=stream)
        for name, stream in STREAMS.items()
        if stream != "head"
        for line in (
            "ablate {name} on {stream}",
            "add {name} by 2 at layer 50% on {stream} keep norm",
            "rotate p by 120deg at layers 0%..50% on {stream}",
            'patch from "Why?" at layer 50% on {stream}',
        )
    ),
    "ablate h on head(0, 1), head(2, 3)",
    "add h by 3 on head(1, 2) keep norm",
    "clamp h to 2 on head(1, 0), head(1, 1), head(1, 3)",
    f'patch from "{PATCH}" on head(1, 0), head(0, 3)',
    "ablate v at layers 50%..100% on attn_out, mlp_out",
    "add mid by 50% at layers 0%..100% step 2 on resid_mid",
)
TIMES = (
    "add v by 2 at layer 50% during prompt",
    "add v by 2 at layer 50% during generation",
    "add v by 2 at layer 50% first 2",
    "add v by 2 at layer 50% after 2",
    "add v by 2 at layer 50% first 4 after 1",
    "add v by 2 at layer 50% during generation first 3",
    "add v by 2 at layer 50% during generation after 0",
    "add v by 2 at layer 50% when step < 2",
    "add v by 2 at layer 50% when step <= 2",
    "add v by 2 at layer 50% when step > 2",
    "add v by 2 at layer 50% when step >= 1 when step < 4",
    "ablate v during prompt",
    "ablate v[50%] everywhere during generation",
    "add mid by 2 at layer 50% on resid_mid during generation",
    "add h by 3 on head(1, 2) during prompt",
    "rotate p to 210deg at layer 50% first 1",
    'patch from "Why?" at layer 50% first 2',
)
CONDITIONS = (
    "ablate v when proj(v) > {each proj(v)}",
    "ablate v when proj(v) <= {each proj(v)} keep norm",
    "add v by 2 at layer 50% when cos(v) < {each cos(v)}",
    "add v by 2 at layer 50% when cos(u) >= {each cos(u)}",
    "ablate v at layer 50% when proj() > {each proj(v)}",
    "rotate p by 150deg when proj() > 0",
    "rotate p by 150deg adaptive when cos(u) > {each cos(u)}",
    "ablate h on head(1, 2), head(0, 1) when proj(h) > 0",
    "add mid by 2 at layer 50% on resid_mid when proj(mid) > {each proj(mid)}",
    "ablate v when cos(v) > {cos(v)} at layer 50%",
    "add v by 2 at layer 0% when cos(v) > {cos(v)} at layer 50%",
    "add v by 2 at layer 50% when cos(v) > {cos(v)} at layer 50%",
    "add v by 2 at layer 100% when cos(v) < {cos(v)} at layer 50%",
    "add v by 2 at layer 100% when cos(v[0%]) >= {cos(v[0%])} at layer 50%",
    "add v by 2 at layer 50% when cos() <= {cos(v)} at layer 50%",
    "add v by 2 at layer 100% when proj(mid) > {proj(mid)} at layer 50%",
    "add mid by 2 at layer 50% on resid_mid when cos(mid) > {cos(mid)} at layer 50%",
    "add v by 2 at layer 50% when proj(ffn) < {proj(ffn)} at layer 50%",
    "add v by 2 at layer 50% when cos(att) > {cos(att)} at layer 50%",
    "add v by 2 at layer 50% when cos(v) > {cos(v)} at layer 50% during generation",
    "rotate p by 150deg at layer 100% when cos() > {cos(p)} at layer 50%",
    "ablate v when proj(v) > {each proj(v)} when cos(u) > {cos(u)} at layer 50%",
    "add v by 2 at layer 50% when cos(v) > {cos(v)} at layer 50% when step >= 2",
    "ablate v[50%] everywhere when cos(v) > {cos(v)} at layer 50%",
    'patch from "Why?" at layer 50% when cos(v) > {cos(v)} at layer 50%',
    'patch from "Why?" at layer 50% when proj(v) > {each proj(v)}',
)
TOGETHER = (
    "ablate v at layer 50%; add v by 2 at layer 50%",
    "add v by 2 at layer 50%; ablate v at layer 50% by 50%",
    "add mid by 2 at layer 50% on resid_mid; ablate att on attn_out; add att by 1 at layer 50% on attn_out",
    "add v by 1 at layer 50%; add u by 2 at layer 100% when cos(v) > {cos(v)} at layer 50%",
    "add u by 2 at layer 100% when cos(v) > {cos(v)} at layer 50%; add v by 1 at layer 50%",
    "add h by 2 on head(1, 2) during generation; rotate p by 45deg on resid_mid; ablate pre on resid_pre;"
    " cap ffn to 0 on mlp_out when proj(u) > 0; add anorm by 30% at layer 50% on attn_norm_out keep norm",
)
TABLE = OPERATIONS + KEEPING + SITES + TIMES + CONDITIONS + TOGETHER
# For every family: each of its streams, and what depends on the shape of its modules.
EVERYWHERE = (
    "ablate v[50%] everywhere",
    "add v by 60% at layer 50% during generation first 3",
    "ablate h on head(0, 1), head(2, 3)",
    "add h by 3 on head(1, 2) keep norm",
    f'patch from "{PATCH}" at layer 50% on mlp_out',
    "add v by 2 at layer 100% when cos(att) > {cos(att)} at layer 50%",
    "ablate v when cos(v) > {cos(v)} at layer 50%",
    "rotate p by 150deg adaptive",
    *(f"add {name} by 2 at layer 50% on {stream} keep norm" for name, stream in STREAMS.items() if stream != "head"),
    "add mid by 2 at layer 50% on resid_mid; ablate att on attn_out; add pre by 1 at layers 50% on resid_pre",
)


def streams_of(line: str) -> set[str]:
    """The streams that a line of the table needs."""
    vectors = {s for n, s in STREAMS.items() if re.search(rf"\b{n}\b", line)}
    return vectors | {s for s in STREAMS.values() if re.search(rf"\b{s}\b", line)}
