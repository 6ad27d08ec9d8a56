"""`resatlas data`: download of data sets, check of image folders."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resatlas.cli import display
from resatlas.cli.main import main
from resatlas.data import cifar, fetching
from tests.data import tiny
from tests.data.serving import Behaviour, serving

Say = Callable[..., tuple[str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """A function that runs a command and returns its standard output and standard error."""

    def run(*words: str, code: int = 0) -> tuple[str, str]:
        assert main(words) == code
        output = capsys.readouterr()
        return output.out, output.err

    return run


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, the only place where data are searched."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A server with a tiny CIFAR-10, which replaces the real one."""
    (tmp_path / "certificate").mkdir()
    with serving(tmp_path / "certificate", monkeypatch) as behaviour:
        published, _, archive = tiny.cifar(cifar.CIFAR_10, site=behaviour.site)
        behaviour.files[published.archive.name] = archive
        monkeypatch.setattr(cifar, "CIFAR_10", published)
        yield behaviour


@pytest.mark.usefixtures("server")
def test_a_data_set_is_fetched_once(say: Say, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call shows progress, the fetched files and their folder; the second fetches nothing."""
    monkeypatch.setattr(display, "SILENCE_SECONDS", -1)
    out, err = say("data", "fetch", "cifar-10")
    assert out == f"cifar-10: fetched cifar-10-binary.tar.gz; it is in {data}/cifar-10/cifar-10-batches-bin\n"
    assert err.startswith("cifar-10-binary.tar.gz bytes ")
    assert err.endswith("seconds_left 0\n")
    out, err = say("data", "fetch", "cifar-10")
    assert (out, err) == (f"cifar-10: nothing to fetch; it is in {data}/cifar-10/cifar-10-batches-bin\n", "")


@pytest.mark.usefixtures("server")
def test_json_tells_files_and_what_was_fetched(say: Say, data: Path) -> None:
    """One value: the name, the files that are read, and the fetched files."""
    out, err = say("data", "fetch", "cifar-10", "--json")
    values = json.loads(out)
    assert list(values) == ["name", "files", "fetched"]
    assert values["name"] == "cifar-10"
    assert values["files"] == [str(data / "cifar-10" / path) for path in cifar.CIFAR_10.source.needed]
    assert (values["fetched"], err) == (["cifar-10-binary.tar.gz"], "")


@pytest.mark.usefixtures("server", "data")
def test_quiet_says_nothing(say: Say) -> None:
    """No text but errors."""
    assert say("data", "fetch", "cifar-10", "--quiet") == ("", "")


@pytest.mark.usefixtures("data")
def test_without_a_network_one_line_says_which_file_to_put_where(say: Say, server: Behaviour, data: Path) -> None:
    """Exit code 3; the address, the reason, the file and its folder."""
    server.files.clear()
    out, err = say("data", "fetch", "cifar-10", code=3)
    assert out == ""
    assert err == (
        f"DataError: {server.site}cifar-10-binary.tar.gz cannot be fetched: the server answers 404 Not Found; rerun "
        f"the command later, or put cifar-10-binary.tar.gz of {server.site} into {data}/cifar-10\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [("digits:size=16", "they are part of scikit-learn"), ("synthetic", "they are generated")],
)
def test_sets_that_are_there_anyhow_say_so(say: Say, text: str, words: str) -> None:
    """One line, exit code 0."""
    out, err = say("data", "fetch", text)
    assert words in out
    assert (out.count("\n"), err) == (1, "")
    values = json.loads(say("data", "fetch", text, "--json")[0])
    assert values == {"name": text, "files": [], "fetched": []}


@pytest.mark.usefixtures("data")
def test_imagenet_is_asked_for_elsewhere(say: Say, data: Path) -> None:
    """Exit code 3 and what to do; if it exists, its folder and exit code 0."""
    assert "image-net.org" in say("data", "fetch", "imagenet", code=3)[1]
    (data / "imagenet/train").mkdir(parents=True)
    assert say("data", "fetch", "imagenet:size=128")[0] == f"imagenet: it is in {data}/imagenet\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("chekc", "folder"), 'no action of resatlas data "chekc"; did you mean "check"?'),
        (("chekc",), 'no action of resatlas data "chekc"; did you mean "check"?'),
        (("get", "cifar-10"), 'no action of resatlas data "get"; there are fetch, check'),
        (("fetch",), "resatlas data fetch needs the NAME of a data set (resatlas data --help)"),
        (("check",), "resatlas data check needs a FOLDER of images (resatlas data --help)"),
        ((), "the following arguments are required: ACTION"),
        (("fetch", "cifar10"), 'no data set "cifar10"; did you mean "cifar-10"?'),
        (("fetch", "svhn:extra=2"), "2 is neither"),
        (("fetch", "svhn", "cifar-10"), 'resatlas data does not take "cifar-10"'),
    ],
)
def test_wrong_words_are_answered_with_the_nearest(say: Say, words: tuple[str, ...], sentence: str) -> None:
    """Exit code 2, one line."""
    out, err = say("data", *words, code=2)
    assert out == ""
    assert sentence in err
    assert err.count("\n") == 1


def picture(file: Path, colour: int) -> None:
    """An image of one colour."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16, 3), colour, np.uint8)).save(file)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of good images: two classes, two parts."""
    for k, name in enumerate(
        ("train/cat/a.png", "train/cat/b.png", "train/dog/c.png", "val/cat/d.png", "val/dog/e.png")
    ):
        picture(tmp_path / "images" / name, 40 * k)
    return tmp_path / "images"


def test_a_good_folder_is_counted(say: Say, images: Path) -> None:
    """Exit code 0 and the images of each class of each part."""
    out, _ = say("data", "check", str(images))
    table = ["class  train  val", "cat        2    1", "dog        1    1", "all        3    2"]
    assert out.splitlines() == [*table, "5 images, 0 faults"]
    values = json.loads(say("data", "check", str(images), "--json")[0])
    assert values == {
        "images": 5,
        "unreadable": 0,
        "faults": [],
        "classes": {"train": {"cat": 2, "dog": 1}, "val": {"cat": 1, "dog": 1}},
    }


def test_faults_are_named_on_a_line_each(say: Say, images: Path) -> None:
    """Exit code 3; a line break in a name is escaped."""
    (images / "train/cat/bro\nken.jpg").write_bytes(b"<html>not found</html>")
    (images / "val/dog/empty.png").write_bytes(b"")
    out, _ = say("data", "check", str(images), code=3)
    first, second, *_, last = out.splitlines()
    assert first.startswith("train/cat/bro\\nken.jpg: ")
    assert second.startswith("val/dog/empty.png: ")
    assert last == "5 images, 2 unreadable files, 2 faults"
    values = json.loads(say("data", "check", str(images), "--json", code=3)[0])
    assert [list(fault) for fault in values["faults"]] == [["file", "reason"]] * 2
    assert say("data", "check", str(images), "--quiet", code=3) == ("", "")


def test_a_folder_that_is_none_is_told(say: Say, tmp_path: Path) -> None:
    """Exit code 3, one line."""
    out, err = say("data", "check", str(tmp_path / "nowhere"), code=3)
    assert (out, err.count("\n")) == ("", 1)
    assert "nowhere" in err


def test_long_work_is_told_of_in_between(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A line after a silence and a last line; none for short work, and none if quiet."""
    with display.meter("images", quiet=False) as progress:
        progress("checked", 1, 10)
        progress("soon", 10, 10)
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(display, "SILENCE_SECONDS", -1)
        progress("checked", 2, 10)
        assert capsys.readouterr().err.startswith("checked images 2 of 10 seconds_left ")
        monkeypatch.setattr(display, "SILENCE_SECONDS", 1000)
        progress("checked", 3, 10)
        progress("checked", 10, 10)
        assert capsys.readouterr().err == "checked images 10 of 10 seconds_left 0\n"
    with display.meter("images", quiet=True) as progress:
        progress("checked", 10, 10)
    assert capsys.readouterr().err == ""


def test_a_terminal_shows_one_live_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The line is redrawn in place, permanent lines are above it, and it is erased at the end."""
    monkeypatch.setattr(display, "on_terminal", lambda: True)
    monkeypatch.setattr(display, "REDRAWS_PER_SECOND", 1e9)
    with display.display(quiet=False) as shown:
        shown.show("archive[0].tar", 0.5)
        shown.note("a \x1b[2J line")
        shown.show("long " * 100, 1)
        display.say("said elsewhere")
    long = f"{'#' * 20} {'long ' * 100}"[:79]
    assert capsys.readouterr().err.split(display.ERASE) == [
        *("", "##########.......... archive[0].tar", "a ?[2J line\n##########.......... archive[0].tar", long),
        *(f"said elsewhere\n{long}", ""),
    ]
    display.say("afterwards")
    assert capsys.readouterr().err == "afterwards\n"


PROGRAM = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from dataclasses import replace
from resatlas.data import cifar
archive = replace(cifar.CIFAR_10.archive, site=sys.argv[1], bytes=int(sys.argv[2]))
checksum = replace(archive.checksum, digest=sys.argv[3])
cifar.CIFAR_10 = replace(cifar.CIFAR_10, archive=replace(archive, checksum=checksum), train_images=5, test_images=1)
from resatlas.cli.main import main
raise SystemExit(main(["data", "fetch", "cifar-10"]))
"""


def test_ctrl_c_leaves_a_part_that_the_next_call_completes(server: Behaviour, data: Path) -> None:
    """Exit code 75, one line that says what is kept; the next call requests only the rest."""
    archive = cifar.CIFAR_10.archive
    words = [sys.executable, "-c", PROGRAM, server.site, str(archive.bytes), archive.checksum.digest]
    server.cut, server.pause = 50_000, 20
    part = data / "cifar-10/cifar-10-binary.tar.gz.part"
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=os.environ) as process:
        while process.poll() is None and not (part.exists() and part.stat().st_size > 30_000):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 75
    kept = part.stat().st_size
    assert kept <= 50_000
    where = f"Stopped: {kept:,} of {archive.bytes:,} bytes of cifar-10-binary.tar.gz are in {part}"
    assert err == f"{where}; rerun the command to continue\n"
    server.cut, server.pause = None, 0
    subprocess.run(words, check=True, capture_output=True)
    assert server.asked == ["", f"bytes={kept}-"]
    assert not part.exists()
    assert len(fetching.located(cifar.CIFAR_10.source)) == 7


def test_a_file_that_grows_too_large_is_told_and_kept(server: Behaviour, data: Path) -> None:
    """If the system refuses to write more, one line and exit code 2; the part is kept."""
    archive = cifar.CIFAR_10.archive
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
    words = [sys.executable, "-c", limit + PROGRAM, server.site, str(archive.bytes), archive.checksum.digest]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    place = data / "cifar-10"
    refusal = f"files cannot be written to {place}: file too large; set RESATLAS_DATA to another folder"
    assert done.stderr.endswith(f"{refusal}\n")
    assert (place / "cifar-10-binary.tar.gz.part").stat().st_size == 60_000


def test_the_verb_starts_without_torch(data: Path) -> None:
    """A wrong name and a missing data set are reported before heavy imports."""
    program = (
        "import sys; from resatlas.cli.main import main; code = main(sys.argv[1:]); "
        "print(code, *sorted({'torch', 'sklearn', 'scipy', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    environment = {**os.environ, "RESATLAS_DATA": str(data)}
    for words, code in ((("fetch", "svnh"), 2), (("fetch", "imagenet"), 3)):
        done = subprocess.run(
            [sys.executable, "-c", program, "data", *words], capture_output=True, text=True, check=True, env=environment
        )
        assert done.stdout.split() == [str(code)]
