"""What lets someone else get the same numbers: the lock, the comparison of two runs, packs, the hub."""
