"""Files of other tools: control vectors, adapters, pickled tensors, and the package's own vectors.

In: a file, or a vector or steer of a run. Out: a `Vector`, or a file that its tool reads. What a format
cannot carry is refused with the reason and never dropped. `table.FORMATS` lists them all.
"""
