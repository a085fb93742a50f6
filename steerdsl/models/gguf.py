"""A GGUF file becomes an ordinary model folder, once.

In: a GGUF file. Out: a folder with dense safetensors weights, config, tokenizer and chat template.
The dequantised values are kept exactly (float32) unless a smaller dtype is asked for. A file that a recipe names
becomes a folder in the cache, known by the file's state.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

from steerdsl.forms.files import file_state
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.cache import Progress, cache_root, need_space, no_progress, unwritable
from steerdsl.models.quiet import quiet
from steerdsl.models.weights import weights_files

ENDING = ".gguf"
ABOUT = "gguf.json"  # beside the converted weights: what they were


def home(file: Path) -> Path:
    """The folder in the cache that a GGUF file becomes; it need not exist yet."""
    state = repr((str(file.resolve()), file_state(file)))
    return cache_root() / "models" / f"gguf--{hashlib.sha256(state.encode()).hexdigest()[:32]}"


def opened(file: Path, progress: Progress = no_progress) -> Path:
    """The folder of the model in `file`, made where it is not there yet, whole or not at all.

    Raises RecipeError M604 (no space), M616 (a cache that cannot be written), M668 (a file that cannot be read, or of
    a kind that transformers cannot take apart).
    """
    folder = home(file)
    if weights_files(folder):
        return folder
    try:
        import gguf

        with quiet():
            reader = gguf.GGUFReader(file)
            size = sum(int(tensor.n_elements) for tensor in reader.tensors) * 4
            kind = reader.get_field("general.file_type")
        words = "of unknown types" if kind is None else gguf.LlamaFileType(int(kind.contents())).name
    except Exception as error:  # the reader raises what a damaged file trips
        raise _unreadable(file, error) from error
    need_space(folder, size, file.name)
    progress(f"converting {file.name}", 0, 0)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as work:
            _converted(file, Path(work) / "model", words)
            if not weights_files(folder):  # another process may have been quicker
                shutil.rmtree(folder, ignore_errors=True)
                (Path(work) / "model").rename(folder)
    except OSError as error:
        raise unwritable(error) or _unreadable(file, error) from error
    return folder


def _converted(file: Path, folder: Path, words: str) -> None:
    try:
        convert(file, folder)
    except OSError:
        raise
    except Exception as error:  # an architecture or a type of weights that transformers does not know
        raise _unreadable(file, error) from error
    (folder / ABOUT).write_text(f'{{"file_type": "{words}"}}\n')


def quantised_in(folder: Path) -> str | None:
    """How the weights of a GGUF file were quantised from which a folder was made; None for any other folder."""
    try:
        return str(read_json(folder / ABOUT, {"file_type": str})["file_type"])
    except (OSError, ValueError):
        return None


def _unreadable(file: Path, error: Exception) -> RecipeError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    title = f"{file.name} cannot be opened as a model"
    way_out = "copy the file again, or name the model in safetensors"
    return RecipeError([Diagnostic("M668", title, (), (f"the reason given: {reason}",), way_out)], Exit.FAILED)


def convert(file: Path, folder: Path, dtype: str = "float32") -> None:
    """Write the model in `file` to the new folder `folder`, with weights of `dtype`.

    Takes about 20 s for 135 million parameters, most of it transformers' reading of the vocabulary.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=dtype, quantization_config=GgufConfig(dequantize=True)
        )
        _repair(tokenizer, _pre_tokenizer(file))
        tokenizer.model_max_length = model.config.max_position_embeddings
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _pre_tokenizer(file: Path) -> str | None:
    """The name of the pre-tokenizer that the file asks for (`tokenizer.ggml.pre`)."""
    from gguf import GGUFReader

    field = GGUFReader(file).fields.get("tokenizer.ggml.pre")
    return None if field is None else str(field.contents())


def _repair(tokenizer: Any, pre_tokenizer: str | None) -> None:
    """SmolLM splits digits one by one before anything else; transformers' conversion leaves that
    step out, which joins spaces and newlines before a digit differently from the original."""
    if pre_tokenizer != "smollm":
        return
    from tokenizers import pre_tokenizers

    steps = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
