"""The report as one self-contained HTML page, without network requests and without folders of the machine."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from resatlas.comparing.rows import group_runs
from resatlas.comparing.run_sets import RunSet
from resatlas.comparing.words import presentable
from resatlas.errors import FolderError
from resatlas.page.confusion import Pictures, no_pictures
from resatlas.page.contents import contents, figures
from resatlas.page.figure import Figure
from resatlas.page.looks import Looks, no_looks
from resatlas.page.table import head_of
from resatlas.page.vega import chart_script
from resatlas.recipes import catalog
from resatlas.recipes.recipe import with_epochs
from resatlas.runs.experiment import Experiment
from resatlas.runs.files import write_text
from resatlas.runs.record import RunRecord
from resatlas.values.blocks import Block
from resatlas.values.codec import encode
from resatlas.values.language import Language, in_language, known, language_tag, numbered, said


class Card(NamedTuple):
    """What is needed to reproduce the runs of a design: commands, environment and recipe.

    `commands` has, for each run, its name, the original command, and a command for this run only, if there is one.
    """

    title: str
    commands: tuple[tuple[str, str, str], ...]
    environments: tuple[tuple[tuple[str, str], ...], ...]
    recipe: str


class Link(NamedTuple):
    """A page in the same folder, with the words of the link and a sentence about it."""

    file: str
    words: str
    about: str


def write_page(
    out: Path,
    *,
    title: str,
    run_sets: Sequence[RunSet],
    pictures: Pictures = no_pictures,
    looks: Looks = no_looks,
    links: Sequence[Link] = (),
    language: Language = "en",
) -> None:
    """Write the page of some questions in one atomic step; `links` are other pages.

    `pictures` returns test images, `looks` what runs find in them. Names, commands and settings are the same in every
    `language`.

    Raises: FolderError if the page cannot be written, or if a run's files are missing or damaged.
    """
    _check_file(out)
    text = page(title=title, run_sets=run_sets, pictures=pictures, looks=looks, links=links, language=language)
    write_text_page(out, text)


def write_text_page(out: Path, text: str) -> None:
    """Write the text of a page in one atomic step.

    Raises: FolderError if it cannot be written.
    """
    _check_file(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_text(out, text)
    except OSError as error:
        raise FolderError(f"{out} cannot be written: {(error.strerror or 'the system refuses').lower()}") from None


def _check_file(out: Path) -> None:
    if out.is_dir():
        raise FolderError(f"{out} is a folder; name a file in it, as in {out / 'report.html'}")


def page(
    *,
    title: str,
    run_sets: Sequence[RunSet],
    pictures: Pictures = no_pictures,
    looks: Looks = no_looks,
    links: Sequence[Link] = (),
    language: Language = "en",
) -> str:
    """The page of some questions as HTML; equal runs give equal pages."""
    with in_language(language):
        content = contents(run_sets, pictures, looks)
        return rendered(
            "page.html.jinja",
            title=title,
            content=content,
            links=[link._replace(about=presentable(link.about)) for link in links],
            cards=[_card(group) for group in group_runs(content.runs)],
        )


def rendered(template: str, **values: object) -> str:
    """A template of this package as HTML, with charts drawn by the page itself; all values are escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("resatlas.page", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return templates.get_template(template).render(
        **values,
        bundle=chart_script(),
        head_of=head_of,
        kind=_kind,
        known=known,
        knobs=_knobs,
        language_tag=language_tag,
        numbered=numbered,
        said=said,
        script_json=_script_json,
    )


def page_figures(
    run_sets: Sequence[RunSet], looks: Looks = no_looks, *, language: Language = "en"
) -> tuple[Figure, ...]:
    """All charts of a page, in the order of the page.

    Raises: FolderError if a run's files are missing or damaged.
    """
    with in_language(language):
        return tuple(figures(contents(run_sets, no_pictures, looks)))


def _card(runs: Sequence[RunRecord]) -> Card:
    """The card of runs that differ only in their seed."""
    experiment = runs[0].experiment
    environments = [run.environment for run in runs]
    originals = (shlex.join(map(presentable, entry.command if entry else ())) for entry in environments)
    single = (_single_command(run.experiment) for run in runs)
    return Card(
        title=said(
            "{design} on {data}, recipe {recipe}",
            design=presentable(experiment.design),
            data=presentable(experiment.data),
            recipe=experiment.recipe.name,
        ),
        commands=tuple(zip((run.name for run in runs), originals, single, strict=True)),
        environments=tuple(dict.fromkeys(entry.entries if entry else () for entry in environments)),
        recipe=json.dumps(encode(experiment.recipe), indent=2, ensure_ascii=False),
    )


def _single_command(experiment: Experiment) -> str:
    """The command that trains only this run; empty if its recipe has changed settings."""
    recipe = experiment.recipe
    known = catalog.NAMED.get(recipe.name)
    if known is None or recipe not in (known, with_epochs(known, recipe.epochs)):
        return ""
    design, data = presentable(experiment.design), presentable(experiment.data)
    words = ["resatlas", "train", design, "--data", data, "--recipe", recipe.name]
    length = [] if recipe == known else ["--epochs", str(recipe.epochs)]
    return shlex.join([*words, *length, "--seed", str(experiment.seed)])


def _kind(block: Block) -> str:
    """The class name of a block, for the template."""
    return type(block).__name__


def _knobs(design: str) -> list[str]:
    """The parts of a design's name, between which a narrow column may break the line."""
    return re.split(r"(?<=[:,])", design)


def _script_json(spec: Mapping[str, Any]) -> Any:  # noqa: ANN401 - jinja2 is imported late
    """A chart as JSON that is safe inside a script element."""
    from markupsafe import Markup

    text = json.dumps(spec, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - "<" cannot occur in it
