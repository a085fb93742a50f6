"""What the checker needs of this room is there without torch or transformers."""

from __future__ import annotations

import subprocess
import sys


def test_entries_and_messages_need_no_tensors() -> None:
    code = (
        "import sys\n"
        "import steerdsl.models.catalog, steerdsl.models.prompts\n"
        "from steerdsl.registry import entries\n"
        "entries('position'), entries('stream')\n"
        "print([m for m in ('torch', 'transformers', 'numpy', 'huggingface_hub', 'nnsight') if m in sys.modules])\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
