"""Extraction: from the activations of two classes to a direction for each layer.

A file here defines ENTRY with `run(positive: Activations, negative: Activations, **options) ->
Directions`. Directions point toward the positive class. `needs` may hold "rows" or "pairs", and
"recapture", for which `run` gets `recapture(q) -> (positive, negative)`: both classes captured
again with the orthonormal rows q [L, k, d] ablated everywhere.
"""
