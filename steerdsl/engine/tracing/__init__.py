"""The only package that knows nnsight: `session` has the passes, `ndif` sends them to a server.

In: an opened model, batches of token ids, and the touches or reads of `edits`. Out: captured rows and
their statistics, generated token ids, logits.
"""

from steerdsl.engine.tracing import before_nnsight as before_nnsight
from steerdsl.engine.tracing.ndif import address as address
from steerdsl.engine.tracing.ndif import api_key as api_key
from steerdsl.engine.tracing.session import Session as Session
