"""Models: finding, fetching and opening one, rendering prompts for it, and where its streams are.

In: a model id or folder, and prompts as text. Out: `catalog.locate` (a folder with weights),
`catalog.read_config` (no weights needed), `opened.open_model`, `prompts.Renderer`,
`batching.batches`, and the table of sites in `sites`. Nothing here imports nnsight.
"""
