"""What is known about saved networks and published weights, for a page; no weights are read. Needs no torch."""

from collections.abc import Iterator
from pathlib import Path

from resatlas.data.catalog import NAMED
from resatlas.data.catalog import resolve as data_set
from resatlas.designs.catalog import resolve as design_named
from resatlas.designs.citations import papers_of
from resatlas.exporting import facts
from resatlas.exporting.config import WEIGHTS, Config, read_config
from resatlas.exporting.found_card import about
from resatlas.exporting.found_config import FoundConfig, is_found, read_found_config
from resatlas.exporting.identity import entry_for
from resatlas.page.network_page import DescribedNetwork, mark
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.weights.words import Word, own_words, resolve, table


def described(where: str | Path) -> DescribedNetwork:
    """What is known about a saved network, by its folder, or about a WORD, whose file need not be on this machine.

    Raises: FolderError, CheckpointError for a damaged folder; UnknownName for a word that nobody publishes.
    """
    if Path(where).is_dir():
        name = Path(where).resolve().name
        return _of_found(name, read_found_config(where)) if is_found(where) else _of_saved(name, read_config(where))
    word = resolve(str(where))
    if folder := own_words().get(word):
        return _of_saved(word, read_config(folder))
    return _of_word(table()[word])


def _of_saved(name: str, config: Config) -> DescribedNetwork:
    training = config.training
    entry = entry_for(config.plan)
    blocks = facts.all_of(
        [facts.summary(config.plan, mark, family=config.family)],
        facts.class_list(config.class_names or (), mark, rest="config.json"),
        facts.preparation(config),
        _file(config),
        facts.results(training, mark),
        facts.limits(config, training, mark) if training else (),
        facts.licences(training, weights=config.licence or "unknown"),
    )
    return DescribedNetwork(
        name=name,
        design=config.design or "",
        plan=config.plan,
        data=training.data if training else "",
        error_percent=training.test.error_percent if training and training.test else None,
        blocks=blocks,
        papers=papers_of(entry) if entry else (),
    )


def _of_found(name: str, config: FoundConfig) -> DescribedNetwork:
    """A detector or segmenter; its error stands among its results, since it is of another measure."""
    network, training = config.network, config.training
    entry = entry_for(network.plan)
    blocks = facts.all_of(
        about(config, mark, rest="config.json"),
        _file(network),
        facts.licences(training, weights=network.licence or "unknown"),
    )
    return DescribedNetwork(
        name=name,
        design=network.design or "",
        plan=network.plan,
        data=training.data if training else "",
        error_percent=None,
        blocks=blocks,
        papers=papers_of(entry) if entry else (),
    )


def _file(config: Config) -> Iterator[Block]:
    yield Heading("Weights")
    yield Paragraph(f"{WEIGHTS}, sha256 {config.weights_sha256}; written by {mark(config.library)}.")


def _of_word(word: Word) -> DescribedNetwork:
    plan = word.plan()
    entry = design_named(word.design)
    summary = facts.summary(plan, mark, family=entry.family)
    return DescribedNetwork(
        name=word.word,
        design=word.design_text,
        plan=plan,
        data=word.data,
        error_percent=word.error_percent,
        blocks=facts.all_of([summary], _classes(word), _preparation(word), _weights(word), _results(word)),
        papers=papers_of(entry),
    )


def _classes(word: Word) -> Iterator[Block]:
    """The classes of the data in their order, where its description here has them."""
    names = data_set(word.data).classes if word.data in NAMED else ()
    if len(names) == word.classes:
        yield from facts.class_list(names, mark, rest=f"the description of {word.data}")
    else:
        yield Paragraph(f"The names of its {word.classes:,} classes are not known here.")


def _preparation(word: Word) -> Iterator[Block]:
    yield Heading("Preparation of images")
    files = facts.from_files(word.plan().image, word.shorter, interpolation=word.interpolation)
    yield Paragraph(f"{files} {facts.normalised_by(word.mean, word.std)}")


def _weights(word: Word) -> Iterator[Block]:
    """Where the weights come from, and how a file of them is recognised."""
    yield Heading("Weights")
    packed = f", in a {word.packed} archive" if word.packed else ""
    digest = word.digest or "the source publishes none"
    lines = [
        f"Published by {word.source} as {word.name}.",
        *([f"File: {word.file} at {word.site}{packed}."] if word.file else []),
        *([f"Repository of the Hugging Face hub: {word.hub}."] if word.hub else []),
        f"Digest: {digest}; it is checked whenever the file is loaded." if word.digest else f"Digest: {digest}.",
        f"Size: about {word.bytes / 1e6:,.1f} MB in float32.",
        f"Licence: {word.licence}.",
    ]
    yield Bullets("", tuple(lines))


def _results(word: Word) -> Iterator[Block]:
    yield Heading("Results")
    if not word.published:
        yield Paragraph("The source publishes no error.")
        return
    yield Paragraph(
        f"As published: {word.published}. The source gives no interval, and nothing was measured here; resatlas "
        "evaluate tests the weights on your data."
    )
    yield Paragraph(f"How the weights were trained is described by {word.source}, not here.")
