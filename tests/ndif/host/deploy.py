"""Deploy one model on the running server: `python deploy.py REPO_ID DTYPE SIZE_BYTES`, in the server's environment."""

import json
import sys

from ndif.cli.lib.deploy import deploy

repo, dtype, size = sys.argv[1:]
key = "nnsight.modeling.transformers.TransformersModel:" + json.dumps(
    {"repo_id": repo, "revision": None, "task": "text-generation"}
)
spec = {
    "checkpoint": repo,
    "model_key": key,
    "size_bytes": int(size),
    "padding_bias": 0,
    "dtype": dtype,
    "trusted": True,
    "actor_class": "cpu_actor.CPUModelActor",
}
print(deploy([spec]))
