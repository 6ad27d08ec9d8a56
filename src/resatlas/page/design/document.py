"""The design page as one HTML text; what answers its questions, its transport, is the caller's."""

import hashlib
import json
from base64 import b64encode
from dataclasses import asdict, dataclass
from importlib.resources import files

from resatlas import __version__
from resatlas.page.design.question import Question
from resatlas.page.vega import chart_script


@dataclass(frozen=True, kw_only=True)
class Transport:
    """What brings the questions of the page to the package.

    `script` sets `window.resatlasTransport`, with `ready` and `ask`; `texts` are what it reads, by id.
    `connects` and `runs` are what the page's policy allows besides: where it may ask, and what scripts may do. `where`
    ends the sentence on who computes.
    """

    script: str
    connects: str
    where: str
    runs: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()


def local_transport() -> Transport:
    """The local server that sends the page."""
    return Transport(script=_source("local.js"), connects="'self'", where="on this machine")


def design_page(transport: Transport, *, first: Question) -> str:
    """The page, whose first question is `first`; it loads nothing, and runs no script but its own."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    templates = Environment(
        loader=PackageLoader("resatlas.page.design", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scripts = (chart_script(), transport.script, _source("page.js"))
    allowed = [*(f"'{_digest(script)}'" for script in scripts), "'unsafe-eval'", *transport.runs]
    return templates.get_template("page.html.jinja").render(
        version=__version__,
        where=transport.where,
        script_policy=Markup(" ".join(allowed)),  # noqa: S704 - digests
        connect_policy=Markup(transport.connects),  # noqa: S704 - words of this package
        style=Markup(_source("page.css")),  # noqa: S704 - a file of this package
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - files of this package, and the charts' script
        first=Markup(json.dumps(asdict(first), ensure_ascii=False).replace("<", "\\u003c")),  # noqa: S704
        texts=transport.texts,
    )


def _source(name: str) -> str:
    return files("resatlas.page.design").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The digest by which the content policy admits this script alone."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"
