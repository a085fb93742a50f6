"""Second axes of a rotation plane.

A file here defines ENTRY with `run(first: Tensor[d], candidates: Tensor[K, d], **options) -> Plane`,
all float64; `candidates` are the per-layer directions, zero rows dropped, unit or raw as asked.
"""
