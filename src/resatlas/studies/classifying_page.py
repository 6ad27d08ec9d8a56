"""The page that classifies images, for a finished run or a saved network."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.comparing.words import presentable
from resatlas.exporting.page.runtime import read_runtime
from resatlas.exporting.targets import ExportOptions
from resatlas.inference.engines.packages import check_packages
from resatlas.runs.record import RunRecord
from resatlas.studies.predictors import predictor_of

if TYPE_CHECKING:  # a wrong folder is reported before torch is imported
    from resatlas.exporting.page.document import WrittenPage
    from resatlas.exporting.page.encoding import Precision


def write_classifying_page(
    source: str | Path,
    file: str | Path,
    *,
    title: str = "",
    precision: "Precision" = "fp32",
    runtime: str | Path | None = None,
) -> "WrittenPage":
    """Write one HTML file that classifies images with a run's network, or with that of a saved folder, offline.

    Without a title it is the folder's name. Its answers are those of `predict`, up to rounding. `runtime` is the folder
    of onnxruntime-web, which computes networks of any size; without it the page computes with its own script.
    Raises: FolderError if `source` is the folder of neither; CheckpointError; as `exporting.page.document.write_page`
        and `exporting.page.runtime.read_runtime`.
    """
    options = ExportOptions(to="page", runtime=None if runtime is None else Path(runtime))
    check_packages(options.packages, install=options.install, purpose="a page with a runtime")
    files = None if options.runtime is None else read_runtime(options.runtime)
    predictor = predictor_of(Path(source))
    from resatlas.exporting.page.document import PLAIN, write_page
    from resatlas.exporting.page.runtime_engine import RuntimeEngine

    return write_page(
        predictor.network,
        Path(file),
        classes=predictor.classes,
        preparation=predictor.preprocessing,
        title=title or presentable(Path(source).resolve().name),
        precision=precision,
        engine=PLAIN if files is None else RuntimeEngine(files),
    )


def best_run(runs: Iterable[RunRecord], *, data: str) -> RunRecord | None:
    """The run on a DATA text with the lowest test error, of equal ones that with the lowest loss; None without one."""
    own = [run for run in runs if run.experiment.data == data]
    return min(own, key=lambda run: (run.outcome.test.error_percent, run.outcome.test.loss), default=None)
