"""8-bit integers: ranges from training images, weights per channel, and the answers measured on all test images."""

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from resatlas.data.normalisation import normalised, unit
from resatlas.errors import ExportError, UsageError
from resatlas.exporting.answers import paired_interval
from resatlas.exporting.description import ErrorPercent, Int8
from resatlas.exporting.images import ExportImages
from resatlas.exporting.parity import logits_of
from resatlas.exporting.subject import Subject
from resatlas.exporting.targets import ExportOptions
from resatlas.inference.engines.graph import INPUT, onnx_bytes, without_traces
from resatlas.inference.engines.packages import onnxruntime
from resatlas.inference.engines.sessions import Session

if TYPE_CHECKING:
    from onnx import ModelProto

_BATCH = 32


def learnt_images(subject: Subject) -> ExportImages:
    """The images of a subject that has training images too.

    Raises: UsageError
    """
    images = subject.images
    if images is None or images.train is None or len(images.train) == 0:
        reason = subject.note or "its data has no training images"
        raise UsageError(
            f"--precision int8 needs training images to calibrate on and test images to measure on: {reason}; name "
            "them with --data DATA"
        )
    return images


def quantised(model: "ModelProto", subject: Subject, options: ExportOptions, *, symmetric: bool) -> "ModelProto":
    """The model with 8-bit weights and maps, as QuantizeLinear and DequantizeLinear around each operation.

    Maps are unsigned with a zero point, weights signed and symmetric with a scale per channel. `symmetric` maps are
    signed too. Weights use 7 of the 8 bits: processors with AVX2 but without VNNI add two products in 16 bits, which
    overflow otherwise. Source: ONNX Runtime's guide "Quantize ONNX models", static quantisation with QDQ, U8S8, and its
    advice on reduce_range.
    """
    import onnx

    onnxruntime()
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    pixels = learnt_images(subject).calibrating(options.calibrate)
    images = pixels if options.input == "pixels" else normalised(unit(pixels), subject.preprocessing.normaliser)

    class Reader(CalibrationDataReader):
        """The calibrating images, a batch at a time."""

        def __init__(self) -> None:
            self._batches: Iterator[torch.Tensor] = iter(images.split(1 if options.free == "none" else _BATCH))

        def get_next(self) -> dict[str, Any]:  # type: ignore[override] - None ends the reading
            batch = next(self._batches, None)
            return {INPUT: batch.contiguous().numpy()} if batch is not None else None  # type: ignore[return-value]

    with TemporaryDirectory(prefix="resatlas-") as folder, _silent():
        floats, integers = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        floats.write_bytes(onnx_bytes(model))
        quantize_static(
            floats,
            integers,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QInt8 if symmetric else QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True} if symmetric else {},
        )
        result = onnx.load(integers)
    del result.metadata_props[:]
    return without_traces(result)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """The quantiser prints to standard output and logs warnings through the root logger; neither is a result."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def measured(subject: Subject, options: ExportOptions, single: Session, integer: Session) -> Int8:
    """The answers of int8 and of float32 on all test images.

    Raises: ExportError if the upper bound of the additional error is above `options.most_loss`.
    """
    images = learnt_images(subject)
    wrong = torch.zeros(2, 2, dtype=torch.int64)  # of float32, of int8
    for pixels, labels in images.tested():
        first, second = (
            (logits_of(session, pixels, subject, options).argmax(dim=1) != labels).long()
            for session in (single, integer)
        )
        wrong.index_put_((first, second), torch.ones(len(labels), dtype=torch.int64), accumulate=True)
    (_, lost), (won, both) = wrong.tolist()
    count = int(wrong.sum())
    interval = paired_interval(lost=lost, won=won, images=count)
    if not interval.high <= options.most_loss:
        raise ExportError(
            f"int8 may lose too much: {interval.points:+.2f} points of error on {count:,} test images, 95 % interval "
            f"{interval.low:+.2f} to {interval.high:+.2f}, above --most-loss {options.most_loss:g}; nothing was written"
        )
    return Int8(
        images=count,
        calibrated_on=min(options.calibrate, len(images.train or ())),
        error_percent=ErrorPercent(fp32=100 * (won + both) / count, int8=100 * (lost + both) / count),
        lost=lost,
        won=won,
        points=interval.points,
        low=interval.low,
        high=interval.high,
    )
