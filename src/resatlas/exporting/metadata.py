"""The YAML block at the top of a model card, which the Hugging Face hub uses for search and filters.

Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md. Texts are written as JSON, which is valid YAML.
"""

import json
import re
from collections.abc import Iterator

from resatlas.exporting.config import Config, Training

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
    return "\n".join(["---", *_lines(config, title), "---"])


def _lines(config: Config, title: str) -> Iterator[str]:
    task = "image-classification" if config.classes else "image-feature-extraction"
    yield f"license: {(config.licence or 'unknown').lower()}"
    yield "library_name: resatlas"
    yield f"pipeline_tag: {task}"
    yield "tags:"
    yield "- residual-network"
    if config.family:
        yield f"- {_quoted(config.family)}"
    if config.training and config.classes:
        yield from _results(config.training, title, task)


def _results(training: Training, title: str, task: str) -> Iterator[str]:
    name = training.data.partition(":")[0]
    if name in HUB_NAMES:
        yield from ("datasets:", f"- {HUB_NAMES[name]}")
    if training.test is None:
        return
    yield from ("metrics:", "- accuracy")
    yield from ("model-index:", f"- name: {_quoted(title)}", "  results:")
    yield from ("  - task:", f"      type: {task}")
    kind = HUB_NAMES.get(name) or re.sub(r"[^A-Za-z0-9._-]", "_", name)
    yield from ("    dataset:", f"      type: {_quoted(kind)}", f"      name: {_quoted(training.data)}")
    yield from ("      split: test", "    metrics:")
    accuracy = 1 - training.test.wrong / training.test.images
    yield from ("    - type: accuracy", f"      value: {accuracy:.6f}")
    yield from ("    - type: loss", f"      value: {training.test.loss:.6f}", "      name: mean cross-entropy")


def _quoted(text: str) -> str:
    """A text as YAML on one line; characters that YAML does not allow become question marks."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in text)
    return json.dumps(printable, ensure_ascii=False)
