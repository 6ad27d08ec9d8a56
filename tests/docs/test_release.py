"""A release: what is built, the sums, and the commands that are carried out in a fresh environment."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from docs.release import build as release
from docs.site import build as site

import resatlas


def small_site(folder: Path) -> int:
    """A site of two pages; `test_site.py` builds the whole one."""
    (folder / "site" / "generated").mkdir(parents=True)
    (folder / "site" / "generated" / "design.html").write_text("<title>design</title>")
    (folder / "site" / "index.html").write_text("<title>resatlas</title>")
    return 0


@pytest.mark.slow
def test_a_release_is_built_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wheel, sources and site with their sums; the wheel works in a fresh environment; an absent Python is named."""
    monkeypatch.setattr(site, "build", small_site)
    out = tmp_path / "release"
    release.main(["--dependencies", "installed", "--out", str(out), sys.executable, "python2.9"])
    version = resatlas.__version__
    names = {f"resatlas-{version}{end}" for end in ("-py3-none-any.whl", ".tar.gz", "-site.zip", "-design.html")}
    assert {file.name for file in out.iterdir()} == {*names, "SHA256SUMS"}
    assert zipfile.ZipFile(out / f"resatlas-{version}-site.zip").namelist() == [
        "generated/",
        "index.html",
        "generated/design.html",
    ]
    lines = (out / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    assert {tuple(line.split("  ")) for line in lines} == {
        (hashlib.sha256((out / name).read_bytes()).hexdigest(), name) for name in names
    }
    python = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    told = capsys.readouterr().out
    assert f"Python {python}: installed, described, predicted" in told
    assert "python2.9 cannot be started: not checked" in told
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=out, check=True)  # noqa: S607 - of coreutils


def test_the_first_python_has_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says how to name another."""

    def built(out: Path) -> Path:
        return out / "wheel"

    monkeypatch.setattr(release, "build", built)
    with pytest.raises(SystemExit, match=r"python2\.9 cannot be started; name another: make release PYTHONS="):
        release.main(["--out", str(tmp_path / "release"), "python2.9"])


def test_a_failure_ends_the_check(tmp_path: Path) -> None:
    """A file that is no wheel is not installed; the message has the output of pip."""
    (tmp_path / "resatlas-0.0.0-py3-none-any.whl").write_text("")
    with pytest.raises(SystemExit, match=r"(?s)install .* failed:.*ERROR"):
        release.check(Path(sys.executable), tmp_path / "resatlas-0.0.0-py3-none-any.whl", "installed")
