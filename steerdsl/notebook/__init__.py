"""Recipes in the cells of a notebook."""
