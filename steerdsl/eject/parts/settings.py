"""Stand-ins for the constants that `eject.header` writes with a recipe's own values."""

from __future__ import annotations

import torch

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
REVISION: str | None = None
DTYPE = torch.float32
BATCH_SIZE = 64
READ = 2048
N_LAYERS = 30
END_IDS = (2,)
PAD_ID = 2
CALENDAR = ""
OPENING = ""
SYSTEM = ""
