"""The languages of the site: what is translated, where each lies, and the words of its frame."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Language:
    """A language of the site.

    title: the title of the site.
    front: the page of the repository that is its first page.
    captions: the parts of the contents, by their English names.
    place: where it lies, from the root of the site; "" for the root itself.
    """

    title: str
    front: str
    captions: Mapping[str, str]
    place: str


ENGLISH = "en"
CHINESE = "zh_CN"

LANGUAGES: Mapping[str, Language] = {
    ENGLISH: Language(title="Residual Atlas", front="README.md", captions={}, place=""),
    CHINESE: Language(
        title="Residual Atlas 残差图谱",
        front="README.zh-CN.md",
        captions={"Learn": "学习", "Do": "使用", "Know": "了解", "Look up": "查阅", "Results": "结果"},
        place="zh_CN/",
    ),
}

PARTNER: Mapping[str, str] = {"README": "index", "README.zh-CN": "index"}
"""Pages that have another name in the other language: the README of each is the first page of the other."""

TRANSLATED = (
    "docs/learn",
    "docs/first-experiment",
    "docs/inside",
    "generated/design-page",
    "docs/how-to",
    "docs/commands",
    "docs/python",
    "docs/own-designs",
    "docs/data",
    "docs/training",
    "docs/clusters",
    "docs/comparing",
    "docs/detection",
    "docs/export",
    "docs/serve",
    "docs/classifying-page",
)
"""The pages with a catalogue in locale/; all others are English in every language."""

CHINESE_BY_THEMSELVES = ("index", "docs/glossary.zh-CN")
"""Pages of the Chinese site that are written in Chinese."""
