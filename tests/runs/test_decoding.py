"""What a run's files say is decoded into words and values that readers can show."""

import json
from pathlib import Path

from resatlas.runs.decoding import read_run
from tests.comparing.folders import EQUAL, environment, seal, write_run


def test_tables_of_the_environment_are_spread(tmp_path: Path) -> None:
    """How a training was carried out stands as single entries; lists are written with commas, empty values left out."""
    run = write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True])
    execution = {"device": "cpu", "logs": ["tensorboard", "wandb"], "deterministic": False}
    file = run.folder / "env.json"
    file.write_text(json.dumps({**environment(), "execution": execution}), encoding="utf-8")
    seal(run.folder)
    entries = dict(getattr(read_run(run.folder).environment, "entries", ()))
    assert (entries["device"], entries["logs"]) == ("cpu", "tensorboard, wandb")
    assert not {"execution", "deterministic"} & set(entries)
