"""Pictures as files: the same bytes each time, whole or not at all; their names; curves in text."""

from __future__ import annotations

import struct
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import pytest
from made_views import PICTURES, bare_view, plane_view

from steerdsl.lang.recipe import Plot
from steerdsl.methods.types import MethodError
from steerdsl.registry import entries
from steerdsl.show.drawing import default_name, draw, pictures
from steerdsl.show.sparks import sparkline


def test_every_plot_is_among_the_pictures() -> None:
    assert {entry for entry, _, _ in PICTURES.values()} == set(entries("plot"))


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_view_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    entry, view, options = PICTURES[name]
    for kind in ("png", "svg"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for i in (1, 2):
                draw(entry, view(), options, tmp_path / f"{i}.{kind}")
        assert (tmp_path / f"1.{kind}").read_bytes() == (tmp_path / f"2.{kind}").read_bytes()
    png = (tmp_path / "1.png").read_bytes()
    width, height = struct.unpack(">II", png[16:24])
    assert width >= 800 and height >= 500
    assert b"matplotlib" not in png.lower()
    svg = (tmp_path / "1.svg").read_text()
    assert svg.rstrip().endswith("</svg>") and "dc:date" not in svg
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.png", "1.svg", "2.png", "2.svg"]


def test_a_user_s_settings_change_nothing_and_stay_theirs() -> None:
    plain = pictures("plane", plane_view(), {}, ["png", "svg"])
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "savefig.dpi": 30}):
        assert pictures("plane", plane_view(), {}, ["png", "svg"]) == plain
        assert matplotlib.rcParams["font.size"] == 20


def test_what_cannot_be_drawn_leaves_no_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    old = tmp_path / "old.png"
    old.write_bytes(b"old")
    with pytest.raises(MethodError):
        draw("pca", bare_view(), {}, old)
    assert [p.name for p in tmp_path.iterdir()] == ["old.png"] and old.read_bytes() == b"old"


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(path: Path, content: bytes) -> int:
        with path.open("wb") as f:
            f.write(content[: len(content) // 2])
        raise OSError("no space left on device")

    old = tmp_path / "old.png"
    old.write_bytes(b"old")
    monkeypatch.setattr(Path, "write_bytes", write_half)
    with pytest.raises(OSError, match="no space left"):
        draw("plane", plane_view(), {}, old)
    assert [p.name for p in tmp_path.iterdir()] == ["old.png"] and old.read_bytes() == b"old"


def test_missing_folders_are_made_and_the_ending_may_be_in_capitals(tmp_path: Path) -> None:
    path = tmp_path / "plots" / "deep" / "plane.PNG"
    draw("plane", plane_view(), {}, path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_plots_are_known_without_heavy_imports() -> None:
    code = "import sys; from steerdsl.registry import entries; import steerdsl.show.drawing, steerdsl.show.sparks; "
    code += "entries('plot'); print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("plot", "name"),
    [
        (Plot("pca", "topic"), "pca-topic"),
        (Plot("dispersion", "pre", others=("mid",)), "dispersion-pre-mid"),
        (Plot("pca", "topic", options={"layer": (12,)}), "pca-topic-layer-12"),
        (Plot("norms", "topic", options={"scale": "linear"}), "norms-topic"),
        (Plot("norms", "topic", options={"scale": "log"}), "norms-topic-scale-log"),
        (Plot("scores", "scores.bleu.econ"), "scores-bleu-econ"),
        (Plot("scores", "scores.bleu", ("angle",), True), "scores-bleu-over-angle-polar"),
        (Plot("scores", "scores.bleu", ("angle", "depth")), "scores-bleu-over-angle-depth"),
    ],
)
def test_a_plot_without_a_path_is_named_after_what_it_shows(plot: Plot, name: str) -> None:
    assert default_name(plot) == name


def test_a_name_that_is_taken_gets_a_number() -> None:
    taken = {"pca-topic", "pca-topic-2"}
    assert default_name(Plot("pca", "topic"), taken) == "pca-topic-3"


@pytest.mark.parametrize(
    ("values", "chosen", "text"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], (), "▁▂▃▄▅▆▇█"),
        ([-3.0, 5.0], (), "▁█"),
        ([1, 2, 3], (1,), "▁[▅]█"),
        ([None, 1.0, float("nan"), 2.0, float("inf")], (0,), "[·]▁·█·"),
        ([2.0, 2.0], (), "▅▅"),
        ([], (), ""),
    ],
)
def test_a_curve_in_text(values: list[float | None], chosen: tuple[int, ...], text: str) -> None:
    assert sparkline(values, chosen) == text
