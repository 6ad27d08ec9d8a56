"""How Sphinx builds the site; `build.py` lays out the pages that it reads."""

from pathlib import Path

from resatlas import __version__

HERE = Path(__file__).parent

project = "resatlas"
author = "the authors of resatlas"
release = __version__

extensions = ["myst_parser"]
myst_heading_anchors = 4
root_doc = "index"

html_theme = "furo"
html_title = "Residual Atlas"
html_static_path = [str(HERE / "static")]
html_css_files = ["site.css"]
html_js_files = ["sort.js"]
html_copy_source = False
html_show_search_summary = False  # the summaries are fetched, which no browser does from disk
