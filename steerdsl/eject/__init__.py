"""Recipes as standalone programs, for people who want to leave or to learn.

In: a plan. Out: the text of one Python file that does what the recipe does with nnsight and torch
alone. `script` writes the recipe's steps and asks for the definitions that they need; `parts` has
those definitions, `source` reads them, `program` puts everything into one file. Nothing is executed.
"""
