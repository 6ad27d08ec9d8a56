"""Charts as files are complete and reproducible, and overwrite no other files."""

import re
from pathlib import Path

import pytest
from PIL import Image

from resatlas.designs.catalog import resolve
from resatlas.errors import FolderError, UsageError
from resatlas.page.drawing import drawing
from resatlas.page.figure import Figure
from resatlas.page.picture import SCALE, WIDTH, write_figures, write_picture

EVIL = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def figure() -> Figure:
    """A drawing."""
    plan = resolve("resnet-8").plan(image=None, classes=None)
    return Figure("network-1", EVIL, drawing(plan, title=EVIL))


def test_a_figure_is_an_svg_and_a_png(tmp_path: Path, figure: Figure) -> None:
    """The folder is created, the background is white, and the PNG has twice the pixels."""
    folder = tmp_path / "deep" / "figures"
    assert write_figures(folder, [figure]) == ("network-1.svg", "network-1.png")
    assert sorted(file.name for file in folder.iterdir()) == ["network-1.png", "network-1.svg"]
    text = (folder / "network-1.svg").read_text(encoding="utf-8")
    size = re.match(r'<svg [^>]*width="(\d+)" height="(\d+)"', text)
    assert size is not None
    with Image.open(folder / "network-1.png") as image:
        assert image.size == (SCALE * int(size[1]), SCALE * int(size[2]))
        assert image.getpixel((0, 0)) in ((255, 255, 255), (255, 255, 255, 255))
    assert int(size[1]) >= WIDTH
    assert text.count("<path") > 5


def test_markup_is_escaped(tmp_path: Path, figure: Figure) -> None:
    """Markup in a title is text, and the file has no addresses except those of the format."""
    write_picture(tmp_path / "a.svg", figure.spec)
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_no_data_are_loaded(tmp_path: Path, figure: Figure) -> None:
    """A specification with the address of data is refused."""
    with pytest.raises(ValueError, match="allowed"):
        write_picture(tmp_path / "a.svg", {**figure.spec, "data": {"url": "https://example.org/a.csv"}, "layer": LAYER})
    assert list(tmp_path.iterdir()) == []


LAYER = [{"mark": "point", "encoding": {"x": {"field": "x"}}}]


def test_the_same_chart_gives_the_same_bytes(tmp_path: Path, figure: Figure) -> None:
    """Files of the same names are replaced, others are kept."""
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "network-10.svg").write_text("mine")
    names = write_figures(tmp_path, [figure])
    first = [(tmp_path / name).read_bytes() for name in names]
    (tmp_path / names[0]).write_text("old")
    assert write_figures(tmp_path, [figure]) == names
    assert [(tmp_path / name).read_bytes() for name in names] == first
    assert (tmp_path / "notes.txt").read_text() == (tmp_path / "network-10.svg").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 4


def test_impossible_places_are_refused(tmp_path: Path, figure: Figure) -> None:
    """A file in place of the folder, a folder in place of a file, and other extensions are refused."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderError, match=r"file is a file; figures are written into a folder$"):
        write_figures(tmp_path / "file", [figure])
    with pytest.raises(FolderError, match=r"file is a file; figures are written into a folder$"):
        write_picture(tmp_path / "file" / "a.svg", figure.spec)
    (tmp_path / "network-1.png").mkdir()
    with pytest.raises(FolderError, match=r"network-1\.png is a folder, so the figure of this name cannot be written"):
        write_figures(tmp_path, [figure])
    with pytest.raises(FolderError, match=r"is a folder; name a file in it, as in .*network\.svg$"):
        write_picture(tmp_path / "network-1.png", figure.spec)
    with pytest.raises(
        UsageError,
        match=r"a picture must be an \.svg or \.png file; got .*file; files of other types are not overwritten$",
    ):
        write_picture(tmp_path / "file", figure.spec)
    with pytest.raises(FolderError, match=r"file is a file; figures are written into a folder$"):
        write_picture(tmp_path / "file" / "deep" / "a.svg", figure.spec)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(FolderError, match=r"cannot be written: file exists$"):
        write_figures(tmp_path / "loop", [figure])
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "loop", "network-1.png"]
