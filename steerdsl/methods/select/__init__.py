"""Choice of layer: from a vector and its training statistics to scores, one for each layer.

A file here defines ENTRY with `run(candidates: Candidates, **options) -> Ranking` (see `types`).
`needs` may hold "rows", or "model" for criteria that must run the model.
"""
