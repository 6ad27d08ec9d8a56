"""The last step of a run: its files agree with each other, and are sealed."""

from resatlas.errors import CheckpointError
from resatlas.runs.decoding import decode_run
from resatlas.runs.seal import write_seal
from resatlas.runs.store import Run


def finish(run: Run) -> None:
    """Seal a run that has its results, once its files agree with each other.

    Raises: CheckpointError if its last checkpoint is not valid; FolderError if its files disagree.
    """
    from resatlas.training.checkpoint import MANIFEST, newest_valid

    last, rejected = newest_valid(run.checkpoints)
    if last is None or rejected:
        raise CheckpointError(f"{run.folder} has no valid checkpoint of its end")
    found = decode_run(run.folder)
    if found.seal is None:
        write_seal(run.folder, checkpoint=last.name, manifest=last / MANIFEST)
    run.set_status("finished", epoch=found.outcome.epochs)
