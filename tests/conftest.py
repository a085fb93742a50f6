"""Puts this folder on the import path (pytest does, for the folder of a conftest): tests share `tiny` and `calling`.

The tests run in several processes, of which each has one thread: two threads spend most of their time
waiting for each other when a model is tiny. This has to be said before torch is imported.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
