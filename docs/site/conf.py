"""Settings of the site: the pages of the repository as HTML (`make site`).

The source folder is the whole repository, so that links between pages and to other files are the
same here and on a code host. What a page needs for the site only, such as its navigation, stands in
it as a comment that begins with `site`.
"""

import re
import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import spectrodiff  # noqa: E402

project = "spectrodiff"
version = release = spectrodiff.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "mathml"]

root_doc = "README"
include_patterns = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/*.md",
    "examples/README.md",
    "examples/held_back/README.md",
    "benchmarks/results/h200/accelerator.md",
    "spectrodiff/weights/README.md",
    "tests/golden/README.md",
]
# Folders without pages, which would be searched, too.
_FOLDERS = {"benchmarks", "docs", "examples", "spectrodiff", "tests"}
exclude_patterns = [p.name for p in ROOT.iterdir() if p.is_dir() and p.name not in _FOLDERS]

# Equations within lines are $...$. Those on their own are blocks of the language "math": within
# $$...$$ a code host would read the backslashes of spaces as Markdown.
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4
# Blocks without a language are commands.
highlight_language = "bash"

default_role = "code"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "spectrodiff"
html_math_renderer = "mathml"
html_static_path = ["style.css"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_copyright = False

_FOR_THE_SITE = re.compile(r"^<!-- site\n(.*?)^-->$", re.MULTILINE | re.DOTALL)


def show_what_is_for_the_site(app: Sphinx, page: str, source: list[str]) -> None:
    """Uncovers comments that begin with `site`."""
    source[0] = _FOR_THE_SITE.sub(r"\1", source[0])


def add_index(app: Sphinx, error: Exception | None) -> None:
    """Makes the README the page that a server shows for the folder."""
    if error is None:
        shutil.copy(Path(app.outdir, "README.html"), Path(app.outdir, "index.html"))


def setup(app: Sphinx) -> None:
    """Registers both."""
    app.connect("source-read", show_what_is_for_the_site)
    app.connect("build-finished", add_index)
