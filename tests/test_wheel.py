"""What is built of the package: the files in it, and what it does where nothing but it and its dependencies is."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import resatlas

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "resatlas"

EVERY_NAME = """
import resatlas
from resatlas import *

print(resatlas.__file__)
print([name for name in resatlas.__all__ if name not in globals()])
"""


def done(*command: str | Path, cwd: Path) -> str:
    """What a command prints, which succeeds; it does not see this repository's sources."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the source distribution, and with the wheel that pip builds from it."""
    folder = tmp_path_factory.mktemp("built")
    done(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder, cwd=ROOT)
    [source] = folder.iterdir()
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    done(sys.executable, "-m", "pip", "wheel", *offline, "-w", folder, source, cwd=folder)
    return folder


def test_every_file_of_the_package_is_in_both(built: Path) -> None:
    """Tables, texts and py.typed too, and nothing that is made where the package runs."""
    own = {
        f"resatlas/{file.relative_to(PACKAGE)}"
        for file in PACKAGE.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }
    assert {"resatlas/py.typed", "resatlas/designs/printed.csv", "resatlas/studies/demo.toml"} <= own
    [wheel], [source] = built.glob("*.whl"), built.glob("*.tar.gz")
    assert {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name} == own
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {name.removeprefix("src/") for name in inside if name.startswith("src/")} == own
    assert {"LICENSE", "README.md", "pyproject.toml", "CITATION.cff", "SECURITY.md", "tests/test_wheel.py"} <= inside


@pytest.mark.slow
def test_a_wheel_works_in_a_fresh_environment(built: Path, tmp_path: Path) -> None:
    """Its command runs, its network is described, and `from resatlas import *` brings every public name."""
    home = tmp_path / "fresh"
    done(sys.executable, "-m", "venv", "--without-pip", home, cwd=tmp_path)
    python = home / "bin" / "python"
    here = Path(done(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    [wheel] = built.glob("*.whl")
    done(
        *(sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install"),
        *("--no-deps", "--no-index", wheel),
        cwd=tmp_path,
    )
    dependencies = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (here / "dependencies.pth").write_text("\n".join(dependencies), encoding="utf-8")
    command = home / "bin" / "resatlas"
    assert done(command, "--version", cwd=tmp_path).split()[-1] == resatlas.__version__
    assert "usage: resatlas demo" in done(command, "demo", "--help", cwd=tmp_path)
    assert "stages.2.2" in done(command, "describe", "resnet-20", cwd=tmp_path)
    file, missing = done(python, "-c", EVERY_NAME, cwd=tmp_path).splitlines()
    assert Path(file).is_relative_to(here)
    assert missing == "[]"
