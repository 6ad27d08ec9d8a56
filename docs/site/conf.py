"""How Sphinx builds the site; `build.py` lays out the pages that it reads, and names the language."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from docs.site.languages import CHINESE_BY_THEMSELVES, LANGUAGES, PARTNER, TRANSLATED
from sphinx.search.zh import SearchChinese

from resatlas import __version__

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

HERE = Path(__file__).parent

project = "resatlas"
author = "the authors of resatlas"
release = __version__

extensions = ["myst_nb"]
myst_heading_anchors = 4
root_doc = "index"

nb_execution_mode = "cache"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300

gettext_compact = False
gettext_location = False

html_theme = "furo"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_js_files = ["sort.js"]
html_copy_source = False
html_show_search_summary = False  # the summaries are fetched, which no browser does from disk
templates_path = [str(HERE / "templates")]
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "languages.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}

# Sphinx 9.0 and 9.1 name a stemmer for Chinese that they do not have (sphinx-doc/sphinx#14229); words of Latin letters
# have the stems of English
SearchChinese.language_name = "English"
logging.getLogger("jieba").setLevel(logging.WARNING)


def _speak(_: "Sphinx", config: "Config") -> None:
    """What depends on the language that the command line names."""
    language = LANGUAGES[config.language]
    config.html_title = language.title
    config.html_context = {"partner": PARTNER, "chinese": (*TRANSLATED, *CHINESE_BY_THEMSELVES)}


def setup(app: "Sphinx") -> None:
    """Register what is done once the language is known."""
    app.connect("config-inited", _speak)
