"""The harness of an ejected program: how it opens the model, reads, generates and saves. To be read, not imported.

Each file is written for the reader of that program, so it mentions nothing of this package but what it imports,
whose source is printed too. A line that ends in `# if: WORD` stays only where a recipe has that feature, and one
that ends in `# if: not WORD` only where it has not. `errors` and `sites` have what a program has instead of
classes that know of recipes and of every family of models (`eject.source.INSTEAD`).
"""
