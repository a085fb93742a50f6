"""The engine: from a plan to results.

`edits` holds the functions that run inside the model's forward passes, wherever the model is;
`tracing` is the only module that imports nnsight; `program` turns a steer into edits; `capture`,
`answers` and `likelihood` run the passes; `steps` runs a plan, with one module for each kind of step.
"""
