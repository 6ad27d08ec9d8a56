"""The YAML block at the top of a model card, which the Hugging Face hub uses for search and filters.

Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md. Texts are written as JSON, which is valid YAML.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, assert_never

from resatlas.exporting.config import Config, Training
from resatlas.exporting.found_config import FoundConfig, FoundTraining
from resatlas.recipes.detection import Detect, Segment

HUB_NAMES = {
    "cifar-10": "uoft-cs/cifar10",
    "cifar-100": "uoft-cs/cifar100",
    "fashion-mnist": "zalando-datasets/fashion_mnist",
    "imagenet": "ILSVRC/imagenet-1k",
    "svhn": "ufldl-stanford/svhn",
}
"""Names of data sets on the hub, by their names here. Source: https://huggingface.co/datasets."""


def metadata(config: Config, *, title: str) -> str:
    """Licence, library, task, tags, data set, and results of the test; unknown entries are left out.

    Without a licence of the weights it is `unknown`, a term of the hub; their author can replace it.
    """
    training = config.training if config.classes else None
    test = training.test if training else None
    accuracy = 1 - test.wrong / test.images if test else 0.0
    metrics = [Metric("accuracy", accuracy), Metric("loss", test.loss, "mean cross-entropy")] if test else []
    task = "image-classification" if config.classes else "image-feature-extraction"
    return _front(config, title, task, training, metrics)


def found_metadata(config: FoundConfig, *, title: str) -> str:
    """The same of a detector or segmenter, with its AP or mean IoU as a share."""
    training = config.training
    test = training.test if training else None
    share = 1 - test.error_percent / 100 if test else 0.0
    match config.task:
        case Segment():
            task, metric = "image-segmentation", Metric("mean_iou", share)
        case Detect(masks=masks):
            task = "image-segmentation" if masks else "object-detection"
            metric = Metric("mean_average_precision", share, "AP of boxes, mean over IoUs from 0.5 to 0.95")
        case _:
            assert_never(config.task)
    return _front(config.network, title, task, training, [metric] if test else [])


class Metric(NamedTuple):
    """A result of the test: its type on the hub, and its name if that is not all."""

    kind: str
    value: float
    name: str = ""


def _front(
    network: Config, title: str, task: str, training: Training | FoundTraining | None, metrics: Sequence[Metric]
) -> str:
    return "\n".join(["---", *_lines(network, title, task, training, metrics), "---"])


def _lines(
    network: Config, title: str, task: str, training: Training | FoundTraining | None, metrics: Sequence[Metric]
) -> Iterator[str]:
    yield f"license: {(network.licence or 'unknown').lower()}"
    yield "library_name: resatlas"
    yield f"pipeline_tag: {task}"
    yield "tags:"
    yield "- residual-network"
    if network.family:
        yield f"- {_quoted(network.family)}"
    if training:
        yield from _results(training.data, title, task, metrics)


def _results(data: str, title: str, task: str, metrics: Sequence[Metric]) -> Iterator[str]:
    name = data.partition(":")[0]
    if name in HUB_NAMES:
        yield from ("datasets:", f"- {HUB_NAMES[name]}")
    if not metrics:
        return
    yield from ("metrics:", f"- {metrics[0].kind}")
    yield from ("model-index:", f"- name: {_quoted(title)}", "  results:")
    yield from ("  - task:", f"      type: {task}")
    kind = HUB_NAMES.get(name) or re.sub(r"[^A-Za-z0-9._-]", "_", name)
    yield from ("    dataset:", f"      type: {_quoted(kind)}", f"      name: {_quoted(data)}")
    yield from ("      split: test", "    metrics:")
    for metric in metrics:
        yield from (f"    - type: {metric.kind}", f"      value: {metric.value:.6f}")
        if metric.name:
            yield f"      name: {metric.name}"


def _quoted(text: str) -> str:
    """A text as YAML on one line; characters that YAML does not allow become question marks."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return json.dumps(printable, ensure_ascii=False)
