"""Metrics: what `evaluate … with` and `check` can name.

A file here defines ENTRY (or ENTRIES for a family) with `run(answers: Answers, **options) ->
Figures`, one value for each prompt; `summary` of the entry says the unit and the direction,
`least` and `most` what a value can be at all.
`needs` lists what the engine must fill beyond prompts and answers: "references", "ended", "golds",
"choices", or "logprobs" with the keys that are read. See `measure.answers`.
"""
