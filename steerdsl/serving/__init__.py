"""Steers made ready to act outside of a run: in a program's own model, in a conversation, on a server."""
