"""The names of a run's files."""

FIRST = "experiment.json"
"""The file that makes a folder a run, and the first to be written."""

ENVIRONMENT = "env.json"
STATUS = "status.json"
METRICS = "metrics.jsonl"
TIMING = "timing.jsonl"
RESULTS = "results.json"
PREDICTIONS = "predictions.csv"
DETECTIONS = "detections.json"
TRACE = "trace.json.gz"


def checkpoint_name(step: int) -> str:
    """The name of the checkpoint after so many steps."""
    return f"step-{step:08d}"


NORMALISATION = "normalisation.safetensors"
"""The file with the normalisation of a run's images, written once, before the first step."""
