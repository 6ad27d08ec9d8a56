"""The catalogue of each language has every template and every word of the modules that speak it, and no others."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest
from jinja2 import Environment, nodes

import resatlas
from resatlas.analysis.probes import label_of
from resatlas.arch.streams import RULES, SKIPS
from resatlas.comparing.budgets import BUDGETS
from resatlas.comparing.compared_pair import Verdict
from resatlas.comparing.differences import Method
from resatlas.comparing.seconds import _MACHINE
from resatlas.data.catalog import NAMED, resolve
from resatlas.data.digits import _NOTES
from resatlas.data.largest import QUADRANTS
from resatlas.page import verdict
from resatlas.page.comparison_text import NAMES
from resatlas.page.dissection import _READINGS
from resatlas.page.drawing import KINDS
from resatlas.page.drawing_layers import _COUNTS, _WORDS
from resatlas.page.effects_charts import _ORDERS
from resatlas.page.settings import DIFFERS
from resatlas.runs.experiment import Experiment
from resatlas.studies.study import demo_study
from resatlas.values.language import (
    LANGUAGES,
    Language,
    catalogue,
    clauses_with_and,
    in_language,
    in_one_line,
    in_sequence,
    known,
    said,
    with_and,
)
from resatlas.values.text import counted

ROOT = Path(resatlas.__file__).parent

OTHERS = tuple(language for language in LANGUAGES if language != "en")

COVERED = (
    *("comparing/blocks.py", "comparing/budgets.py", "comparing/compared_pair.py", "comparing/factorial.py"),
    *("comparing/fairness.py", "comparing/measures.py", "comparing/questions.py", "comparing/rows.py"),
    *("comparing/seconds.py", "comparing/sentences.py", "comparing/verdicts.py", "runs/departures.py"),
    *("page/answer.py", "page/chart.py", "page/comparison_text.py", "page/confusion.py", "page/contents.py"),
    *("page/curves.py", "page/dissection.py", "page/drawing.py", "page/drawing_layers.py", "page/effects_charts.py"),
    *("page/effects_text.py", "page/headlines.py", "page/leaders.py", "page/limits.py", "page/overview.py"),
    *("page/page.py", "page/response_charts.py", "page/settings.py", "page/table.py", "page/verdict.py"),
    *("analysis/probes.py", "studies/pictures.py", "cli/report_verb.py", "cli/studying.py", "values/language.py"),
)
"""The modules whose sentences for a page are in every language. English alone are the part of a page about objects
(page/found.py, page/looks.py) and the page about networks without a run."""

TEMPLATES = ("base.html.jinja", "macros.html.jinja", "page.html.jinja", "page.js")

PROBES = ("lesion", "paths", "flow", "streams")
"""The probes whose results are in every language: those of the demo."""

EXAMPLES = (
    "Runs (digits)",
    "a: not begun",
    "a: running",
    "a: stopped",
    "a: failed",
    "a: its results.json is missing",
    "Flip off: mirroring changes the class of images of digits",
    "Lighting off: images of digits have 1 channels, not red, green and blue",
    "RandAugment off: images of a have 2 channels, neither grey nor RGB",
    "no two units of a have the same shape, so no units can be swapped",
    "with a and b swapped, the error is 5 % with BN statistics kept, 4.2 % with BN statistics re-estimated",
    *(
        f"extra error of resnet:depth=8,base=2 when a down-sampling unit is removed, BN statistics {statistics}{over}"
        for statistics in ("kept", "re-estimated")
        for over in ("", ", mean", ", standard deviation")
    ),
    "percentage points, n = 3 networks",
    "loss, resnet-20, step 380",
    "gradient of first unit / last, resnet-20, start",
    "step 380",
    "streams after each unit of a",
    "runs with the skip matrices mean, swap are missing; name them with --beside",
    "64 of 500 validation images",
    "64 of 500 training images",
)
"""Texts of files with names and numbers in them, one for each pattern of a catalogue at least."""


def python_templates(module: str) -> Iterator[str]:
    """The templates of a module; those of `numbered` and `counted` for several."""
    for call in calls(module, "said", "numbered", "counted"):
        place = {"said": 0, "numbered": 2, "counted": 1}[called(call)]
        literal = call.args[place]
        if module == "values/language.py" and not isinstance(literal, ast.Constant):
            continue  # its own functions
        assert isinstance(literal, ast.Constant), f"{module}, line {call.lineno}: a template is one literal text"
        text = str(literal.value)
        if called(call) == "counted":
            text = f"{{count:,}} {text}{'es' if text.endswith('s') else 's'}"
        yield in_one_line(text)


def html_templates(name: str) -> Iterator[str]:
    """The templates of a file of jinja2."""
    tree = Environment(autoescape=True).parse((ROOT / "page" / name).read_text(encoding="utf-8"))
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name in ("said", "numbered"):
            literal = call.args[{"said": 0, "numbered": 2}[call.node.name]]
            assert isinstance(literal, nodes.Const), f"{name}, line {call.lineno}: a template is one literal text"
            yield in_one_line(literal.value)


def calls(module: str, *names: str) -> Iterator[ast.Call]:
    """The calls of functions by their names."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node


@cache
def tree_of(module: str) -> ast.Module:
    """The syntax of a module of the package."""
    return ast.parse((ROOT / module).read_text(encoding="utf-8"))


def literals(node: ast.AST) -> Iterator[str]:
    """The texts in a part of a module."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def heads() -> Iterator[str]:
    """The heads of the tables of the covered modules, and the fields of charts with a title."""
    for module in COVERED:
        for call in calls(module, "words", "numbers", "Column", "titled"):
            of = call.args[:1] if called(call) == "Column" else call.args
            yield from (text for argument in of for text in literals(argument))
    yield from ("estimate", "low", "high", "p by Holm", "difference", "95 % over seeds", "over seeds and images")
    yield from ("name", "smallest detectable", "epoch", "from", "to", "design", "seed", "depth")


def called(call: ast.Call) -> str:
    """The name of the function that is called; empty for a method."""
    return call.func.id if isinstance(call.func, ast.Name) else ""


def in_results() -> Iterator[str]:
    """The titles, notes, names, columns and units without values in the results of the covered probes."""
    for name in PROBES:
        module = f"analysis/{name}.py"
        for call in calls(module, "ProbeResult", "Fact", "table", "grouped", "of_unit"):
            named = [keyword.value for keyword in call.keywords if keyword.arg in ("title", "name", "unit", "note")]
            first = call.args[:1] if called(call) in ("table", "grouped", "of_unit") else []
            yield from (
                part.value.replace("_", " ")
                for part in (*first, *named)
                if isinstance(part, ast.Constant) and isinstance(part.value, str)
            )
        for row in ast.walk(tree_of(module)):
            if isinstance(row, ast.ClassDef) and row.name.endswith("Row"):
                yield from (
                    label_of(field.target.id)
                    for field in row.body
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                )
    yield from ("run", "moment", "start", "yes", "no", "all", "percentage points, n = 1 network")
    yield "runs missing for the comparison; train them with several seeds, then name them with --beside:"


def closed_lists() -> Iterator[str]:
    """The words of closed lists, of the demo's study and of the named data."""
    yield from (*get_args(Verdict), *get_args(Method), *NAMES.values(), *BUDGETS, *_MACHINE, *KINDS, *SKIPS)
    yield from (*_READINGS.values(), *QUADRANTS, *_ORDERS.values())
    yield from (words for _, words in (*_WORDS, *_COUNTS))
    yield from (rule.words for rule in RULES.values())
    yield from (field.name for field in fields(Experiment))
    yield from (
        verdict.BUDGETS,
        verdict.KIND,
        DIFFERS,
        "same",
        "validation",
        "test",
        "the share of images with another label",
        "Runs",
    )
    yield from (text for question in demo_study().questions for text in (question.title, question.about))
    yield from (*_NOTES.values(), *(resolve(name).note for name in NAMED))


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_covered_template_has_no_other_sentence(name: str) -> None:
    """Between the expressions of a template are elements alone."""
    tree = Environment(autoescape=True).parse((ROOT / "page" / name).read_text(encoding="utf-8"))
    if name.endswith(".js"):
        return
    text = " | ".join(part.data for part in tree.find_all(nodes.TemplateData))
    assert re.findall(r"[A-Za-z]+ [A-Za-z]+", re.sub(r"<[^>]*>?|[^<]*>", " | ", text)) == []


ALWAYS_ENGLISH = (
    "the folder has runs of another plan",
    " has a lower error than ",
    "not used in the verdict: ",
    "not used in the verdict: wall-clock times, ",
)
"""Texts of errors and of JSON."""

UNTRANSLATED = ("", "-", "+", "-+", "%", "1", "p", "r")
"""Heads and units that are the same in every language."""


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_every_template_and_no_other(language: Language) -> None:
    """A template is one literal text, in one of the covered modules or templates of the page."""
    speaking = {
        file.relative_to(ROOT).as_posix()
        for file in ROOT.rglob("*.py")
        if re.search(r"values\.language import .*\b(said|numbered|known)\b", file.read_text(encoding="utf-8"))
    }
    assert speaking - {"values/text.py"} <= {*COVERED}
    templates = {text for module in COVERED for text in python_templates(module)}
    templates |= {text for name in TEMPLATES for text in html_templates(name)}
    assert catalogue(language).sentences.keys() == templates


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_every_word_and_no_other(language: Language) -> None:
    """Those of tables, closed lists and results; a pattern stands for texts of files with names and numbers."""
    words = catalogue(language).words
    plain = {word for word in words if "{" not in word}
    assert plain == {*heads(), *in_results(), *closed_lists()} - {*UNTRANSLATED}
    matched = [[pattern for pattern, _ in catalogue(language).patterns if pattern.fullmatch(text)] for text in EXAMPLES]
    assert all(matched)
    assert {patterns[0] for patterns in matched} == {pattern for pattern, _ in catalogue(language).patterns}


@pytest.mark.parametrize("language", OTHERS)
def test_translations_have_the_values_of_their_templates(language: Language) -> None:
    """The same placeholders with the same formats, the same numbers between them, and words."""
    sentences, words, _ = catalogue(language)
    for template, translation in (*sentences.items(), *words.items()):
        assert translation.strip(), template
        assert placeholders(template) == placeholders(translation), template
        assert numbers_in(template) == numbers_in(translation), template


def placeholders(template: str) -> set[tuple[str, str | None]]:
    """The placeholders of a template with their formats."""
    return {(name, digits) for _, name, digits, _ in Formatter().parse(template) if name is not None}


def numbers_in(template: str) -> set[str]:
    """The numbers of a template itself."""
    return {number for text, *_ in Formatter().parse(template) for number in re.findall(r"\d+(?:,\d{3})*", text)}


@pytest.mark.parametrize("module", [module for module in COVERED if module.startswith(("page/", "comparing/"))])
def test_a_covered_module_has_no_other_sentence(module: str) -> None:
    """Except in errors, texts of closed lists, and documentation, sentences are templates."""
    silent: set[ast.AST] = set()
    for node in ast.walk(tree_of(module)):
        quiet = isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        if quiet or (isinstance(node, ast.Call) and called(node) in ("said", "numbered")):
            silent |= set(ast.walk(node))
    words = catalogue(OTHERS[0]).words
    left = [
        node.value
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent
        if re.search(r"[A-Za-z]+ [A-Za-z]+ [A-Za-z]+", node.value) and node.value not in words
    ]
    assert [text for text in left if text not in ALWAYS_ENGLISH] == []


def test_sentences_are_said_in_a_language() -> None:
    """English is that of the templates; lists, numbers of things and spaces follow the language."""
    names = ("resnet", "plain", "dmrnet")
    assert with_and(names) == "resnet, plain and dmrnet"
    assert (counted(1, "run"), counted(2, "class")) == ("1 run", "2 classes")
    with in_language("zh"):
        assert with_and(names) == "resnet、plain 和 dmrnet"
        assert with_and([known("parameters"), known("multiply-adds")]) == "参数量和乘加次数"
        assert clauses_with_and(["一", "二", "三"]) == "一，二，三"
        assert in_sequence(["一。", "二。"]) == "一。二。"
        assert (counted(1, "run"), counted(2_000, "image")) == ("1 次训练", "2,000 张图像")
        assert said("{design} has a test error of {error:.2f} %.", design="resnet", error=1.1) == (
            "resnet 的测试误差为 1.10 %。"
        )
        assert known("loss, resnet-20, step 380") == "损失，resnet-20，第 380 步"
        with in_language("en"):
            assert said("test error") == "test error"
        assert said("no {template} of the catalogue", template="text") == "no text of the catalogue"
    assert known("test error") == "test error"
