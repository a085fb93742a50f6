"""Measurement: from answers to figures with intervals.

In: `Answers` that the engine has filled, and the metrics that a recipe names. Out: `Score`s and
`Comparison`s for the tables, the record and `check`. A new metric is one new file in metrics/.
"""
