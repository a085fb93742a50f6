"""Operations: what happens to a token's activation.

A file here defines ENTRY, whose `run` is the kernel `run(h, p) -> h'` on float32 `h` [..., d], out
of place, with torch alone (kernels are sent to servers and printed by `eject`), and
`prepare(operand, args) -> dict`, which turns the operation's operand and numbers into the tensors
`p` that the kernel reads. Numbers may be [B, 1, 1] tensors: one value for each row of a batch.
"""
