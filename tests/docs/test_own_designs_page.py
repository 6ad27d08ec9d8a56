"""The story of docs/own-designs.md: a design of a user, from the file to the comparison, outside of the package."""

import re
import shlex
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.designs import catalog
from resatlas.designs.plugins import GROUP

TEXT = (Path(__file__).parents[2] / "docs" / "own-designs.md").read_text(encoding="utf-8")
FILE, RESUMING = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
[COMMANDS] = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
[ENTRY_POINT] = re.findall(r"```ini\n(.*?)```", TEXT, re.DOTALL)


def test_the_page_is_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every command succeeds; without the file the training is resumed and tested; installed, the family has names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_nets.py").write_text(FILE, encoding="utf-8")
    said = {}
    for line in COMMANDS.splitlines():
        _, *words = shlex.split(line)
        assert main(words) == 0, line
        said[words[0]] = capsys.readouterr().out
    assert "class Network(nn.Module):" in said["eject"]
    assert "resnet-20" in said["compare"]
    installed = tmp_path / "installed"
    installed.mkdir()
    (tmp_path / "my_nets.py").rename(installed / "my_nets.py")
    results = (tmp_path / "runs" / "mine" / "results.json").read_bytes()
    exec(RESUMING, {})  # noqa: S102 - the page's own text
    assert (tmp_path / "runs" / "mine" / "results.json").read_bytes() == results
    assert main(["evaluate", "runs/mine", "--quiet"]) == 0

    head, line = ENTRY_POINT.strip().splitlines()
    assert head == f'[project.entry-points."{GROUP}"]'
    folder = installed / "mine-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{line.replace(chr(34), '')}\n", encoding="utf-8")
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(installed))
    catalog.installed.cache_clear()
    try:
        assert catalog.resolve("positive-20").family == "positive"
    finally:
        for known in (catalog.installed, catalog._spelling, catalog.own_design_named):
            known.cache_clear()
