"""Build a release and check it: python -m docs.release.build [PYTHON …], by default with this Python alone.

build/release has the source distribution, the wheel that is built from it, the site as a zip archive, the design page
as one file, and SHA256SUMS.
The wheel is installed in a fresh environment of each PYTHON, with the dependencies that it names, pinned by
constraints.txt; that downloads some gigabytes. With --dependencies installed, which is for tests, they are those of
this environment. A PYTHON that cannot be started is left out, except the first.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Literal, get_args

from docs.site import build as site
from PIL import Image, ImageDraw

from resatlas import __version__

ROOT = Path(__file__).parents[2]


Dependencies = Literal["downloaded", "installed"]


def main(words: list[str]) -> None:
    """Build and check the release."""
    parser = argparse.ArgumentParser(prog="python -m docs.release.build", description="build a release and check it")
    parser.add_argument("pythons", nargs="*", default=[sys.executable], metavar="PYTHON", help="interpreters to check")
    parser.add_argument("--dependencies", choices=get_args(Dependencies), default="downloaded")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "release", metavar="DIR")
    options = parser.parse_args(words)
    out = options.out.resolve()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    wheel = build(out)
    for place, name in enumerate(options.pythons):
        python = _interpreter(name)
        if python is None and place == 0:
            raise SystemExit(f"{name} cannot be started; name another: make release PYTHONS=python3.12")
        print(check(python, wheel, options.dependencies) if python else f"{name} cannot be started: not checked")
    print(sums(out))


def build(out: Path) -> Path:
    """Write the source distribution, the wheel and the site, which is beside OUT; the path of the wheel."""
    _run(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", out, cwd=ROOT)
    [source] = out.glob("*.tar.gz")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")
    _run(sys.executable, "-m", "pip", "wheel", *offline, "-w", out, source, cwd=out)
    if site.build(out.parent):
        raise SystemExit("the site was not built")
    design = out.parent / "site" / "generated" / "design.html"
    if not design.exists():
        raise SystemExit("the site has no design page, and the release needs it; the line above says how to get it")
    shutil.copy2(design, out / f"resatlas-{__version__}-design.html")
    shutil.make_archive(str(out / f"resatlas-{__version__}-site"), "zip", out.parent / "site")
    [wheel] = out.glob("*.whl")
    return wheel


def check(python: Path, wheel: Path, dependencies: Dependencies) -> str:
    """Install the wheel in a fresh environment and carry out some commands there; a line about it.

    Raises: SystemExit if a command fails or its output is not as expected.
    """
    with tempfile.TemporaryDirectory(prefix="resatlas-release-") as folder:
        home = Path(folder)
        _run(python, "-m", "venv", home / "fresh", cwd=home)
        fresh = home / "fresh" / "bin" / "python"
        _install(fresh, wheel, dependencies)
        command = home / "fresh" / "bin" / "resatlas"
        _expect(f"resatlas {__version__}", _run(command, "--version", cwd=home))
        _expect("stages.2.2", _run(command, "describe", "resnet-20", cwd=home))
        _expect("_shtab_resatlas", _run(command, "completion", "bash", cwd=home))
        picture(home / "shirt.png")
        answer = json.loads(_run(command, "predict", "resatlas/fashion-resnet-20", "shirt.png", "--json", cwd=home))
        _expect("T-shirt/top", answer[0]["classes"][0]["class"])
        return f"{_run(fresh, '--version', cwd=home).strip()}: installed, described, predicted"


def picture(file: Path) -> None:
    """Draw a white T-shirt on black, as in Fashion-MNIST."""
    image = Image.new("L", (28, 28))
    body = [(3, 7), (10, 2), (18, 2), (25, 7), (22, 12), (20, 10), (20, 26), (8, 26), (8, 10), (6, 12)]
    ImageDraw.Draw(image).polygon(body, fill=220)
    image.save(file)


def sums(out: Path) -> str:
    """Write the sha256 of every file, as `sha256sum --check` reads them."""
    files = sorted(file for file in out.iterdir() if file.name != "SHA256SUMS")
    text = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (out / "SHA256SUMS").write_text(text, encoding="utf-8")
    return text.rstrip()


def _interpreter(name: str) -> Path | None:
    """The path of an interpreter that can be started; a launcher of other versions may be there and fail."""
    path = shutil.which(name)
    if path is None:
        return None
    done = subprocess.run([path, "-c", "import venv"], capture_output=True, check=False)  # noqa: S603 - as the user named it
    return None if done.returncode else Path(path)


def _install(fresh: Path, wheel: Path, dependencies: Dependencies) -> None:
    pip = (fresh, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
    match dependencies:
        case "downloaded":
            _run(*pip, "-c", ROOT / "constraints.txt", wheel, cwd=wheel.parent)
        case "installed":
            _run(*pip, "--no-deps", "--no-index", wheel, cwd=wheel.parent)
            find = "import sysconfig; print(sysconfig.get_path('purelib'))"
            packages = Path(_run(fresh, "-c", find, cwd=wheel.parent).strip())
            ours = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
            (packages / "dependencies.pth").write_text("\n".join(sorted(ours)), encoding="utf-8")


def _run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; it does not see this repository's sources.

    Raises: SystemExit if it fails.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _expect(part: str, text: str) -> None:
    if part not in text:
        raise SystemExit(f"expected {part!r} in:\n{text[:2000]}")


if __name__ == "__main__":
    main(sys.argv[1:])
