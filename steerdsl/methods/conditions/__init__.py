"""Conditions: when an operation acts.

A file here defines ENTRY with `run(h, r) -> Tensor[...]`: the figure, in float32, that `when`
compares with its threshold, for activations `h` [..., d] and a unit direction `r` [d].
"""
