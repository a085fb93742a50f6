"""The definitions that an ejected program is put together from: Python to be read, not imported.

Each is written for the reader of that program, so it mentions nothing of this package and fits into
88 columns. `eject.source` takes single definitions out of these files, with what they need and
import. A line that ends in `# if: WORD` stays only where a recipe has that feature, and one that
ends in `# if: not WORD` only where it has not. Tests import them, to hold them against the registry.
"""
