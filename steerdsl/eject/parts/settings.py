"""Stand-ins for the constants that `eject.write` fills with a recipe's own values."""

from __future__ import annotations

import torch

from steerdsl.models.sites import Architecture, BlockKind, Site

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
REVISION: str | None = None
DTYPE = torch.float32
BATCH_SIZE = 64
N_LAYERS = 30
END_IDS = (2,)
PAD_ID = 2
CALENDAR = ""
OPENING = ""
SYSTEM = ""
SWITCH: dict[str, bool] = {}
ARCH = Architecture("", "", (), (BlockKind({"resid_pre": Site("model.layers.{l}", "input")}),), (0,))
