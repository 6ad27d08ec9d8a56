"""Writing of the page: its limits and its text."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resatlas import __version__
from resatlas.arch.cost import cost
from resatlas.errors import FolderError, UsageError
from resatlas.exporting.page.encoding import Precision, encoded_preparation
from resatlas.exporting.page.engine import BOUND, Engine, source
from resatlas.exporting.page.plain_engine import PlainEngine
from resatlas.exporting.page.runtime import OBTAIN, PACKAGE, VERSION
from resatlas.exporting.preprocessing import Preprocessing
from resatlas.inference.engines.sessions import Session
from resatlas.nets.network import Network
from resatlas.runs.files import write_text

PLAIN = PlainEngine()

_MOST_PARAMETERS = 64_000_000
"""Browsers hold a text of up to 512 MB; float32 in base64 has 5.3 bytes a number."""

_NAMED = 12
"""Classes that the introduction names."""


@dataclass(frozen=True, kw_only=True)
class WrittenPage:
    """A page on disk; `difference` is that of its weights as stored, on a test pattern, in logits.

    `session` computes normalised images with what the page contains.
    """

    file: Path
    bytes: int
    sha256: str
    multiply_adds: int
    largest_logit: float
    difference: float
    session: Session = field(repr=False, compare=False)


def write_page(
    network: Network,
    file: Path,
    *,
    classes: Sequence[str],
    preparation: Preprocessing,
    title: str,
    precision: Precision = "fp32",
    engine: Engine = PLAIN,
) -> WrittenPage:
    """Write one HTML file that classifies images with the network, offline and without any request.

    A person gives it a picture, a drawing (networks of one channel) or a photo of the camera; its pixels are prepared
    as `resatlas predict` does. The classes are named in the order of the outputs. What the engine carries is proved
    equal to the network on a test pattern before anything is written; the page repeats the comparison in its browser.
    `precision` is that of the stored weights; fp16 halves them. Equal networks give equal bytes.
    Raises: UsageError if the network is too large for the engine, has no classifier, or takes images of neither one nor
        three channels, or resized in another way than bilinear; CheckpointError if weights are not finite; FolderError
        if the file cannot be written; ResatlasError if the comparison fails.
    """
    _check(network, classes, engine)
    if preparation.interpolation != "bilinear":
        raise UsageError(f"a page resizes pictures bilinearly; these weights need {preparation.interpolation} resizing")
    _check_target(file)
    encoded = encoded_preparation(preparation)
    carried = engine.carried(network, preparation, precision)
    description = {
        "classes": list(classes),
        "network": carried.table,
        "preparation": encoded.table,
        "check": {"logits": carried.logits.tolist(), "bound": BOUND},
    }
    texts = (("normalisation", encoded.numbers), ("weights", carried.weights), *engine.texts())
    text = _page(network, title, classes, description, texts=texts, engine=engine, precision=precision)
    _write(file, text)
    content = text.encode("utf-8", errors="backslashreplace")
    return WrittenPage(
        file=file,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        multiply_adds=cost(network.plan).multiply_adds,
        largest_logit=float(carried.logits.abs().max()),
        difference=carried.difference,
        session=carried.session,
    )


def _check(network: Network, classes: Sequence[str], engine: Engine) -> None:
    plan = network.checked_plan()
    total = cost(plan)
    if not plan.classes:
        raise UsageError("a page shows classes, and this network has no classifier")
    if len(classes) != plan.classes:
        raise UsageError(f"got {len(classes):,} class names for a network with {plan.classes:,} outputs")
    if engine.most_multiply_adds is not None and total.multiply_adds > engine.most_multiply_adds:
        raise UsageError(
            f"a page computes up to {engine.most_multiply_adds // 10**6} million multiply-adds per image in "
            f"{engine.words}; this network has {total.multiply_adds / 1e6:,.0f} million at {plan.image}. Larger ones "
            f"need --runtime DIR, a folder with {PACKAGE} {VERSION} (WebAssembly): {OBTAIN}"
        )
    if total.parameters > _MOST_PARAMETERS:
        raise UsageError(
            f"a page holds up to {_MOST_PARAMETERS:,} parameters as text; this network has {total.parameters:,}"
        )


def _page(
    network: Network,
    title: str,
    classes: Sequence[str],
    description: dict[str, Any],
    *,
    texts: Sequence[tuple[str, str]],
    engine: Engine,
    precision: Precision,
) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    templates = Environment(
        loader=PackageLoader("resatlas.exporting.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    own = "\n".join(source(name) for name in ("numbers.js", engine.file, "image.js", "pen.js", "page.js"))
    scripts = (*engine.libraries(), own)
    style = source("page.css")
    channels, height, width = network.plan.image
    total = cost(network.plan)
    kind = "grey" if channels == 1 else "red, green and blue"
    return templates.get_template("page.html.jinja").render(
        title=title,
        about=_about(classes),
        grey=channels == 1,
        seen=f"{width} × {height} pixels, {kind}",
        facts=[
            ("parameters", f"{total.parameters:,}"),
            ("multiply-adds", f"{total.multiply_adds:,} per image"),
            ("weights", "float32" if precision == "fp32" else "float16"),
            ("computed by", engine.words),
            ("written by", f"resatlas {__version__}"),
        ],
        script_policy=Markup(" ".join([*(f"'{_digest(script)}'" for script in scripts), *engine.policy])),  # noqa: S704 - digests
        style_digest=_digest(style),
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - files of this package, or of a known digest
        style=Markup(style),  # noqa: S704
        description=Markup(_script_json(description)),  # noqa: S704 - "<" cannot occur in it
        texts=texts,
    )


def _about(classes: Sequence[str]) -> str:
    """The introduction: the classes by name, if they are few."""
    if len(classes) > _NAMED:
        return f"Says which of {len(classes):,} classes an image belongs to."
    return f"Says which of {len(classes)} classes an image belongs to: {', '.join(classes)}."


def _digest(text: str) -> str:
    """The digest by which the content policy admits this script or style alone."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _script_json(value: object) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _check_target(file: Path) -> None:
    """Refuse a target that is a folder, or whose name is not that of a page, before any work."""
    if file.suffix not in (".html", ".htm"):
        raise UsageError(f"a page must be an .html file; got {file}; files of other types are not overwritten")
    if file.is_dir():
        raise FolderError(f"{file} is a folder; name a file in it, as in {file / 'index.html'}")


def _write(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    except OSError as error:
        raise FolderError(f"{file} cannot be written: {(error.strerror or 'the system refuses').lower()}") from None
