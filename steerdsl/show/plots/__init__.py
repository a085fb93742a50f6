"""Pictures: from results to a matplotlib figure.

A file here defines ENTRY with `run(view, **options) -> matplotlib.figure.Figure`. The first argument
of the entry says what it draws ("vector", "plane" or "layers"), and so which view of
`engine.plot_data` it is given; `scores` draws a `ScoreView`. `needs` may hold "rows".
"""
