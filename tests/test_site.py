"""The pages as a site: built in strict mode, readable on a phone, complete where they list code."""

import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import spectrodiff
from tests.support.browser import EXECUTABLE, Browser

ROOT = Path(__file__).parents[1]
PACKAGES = ("sphinx", "myst_parser", "furo")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]

API = (ROOT / "docs/api.md").read_text()
DIRECTIVE = re.compile(
    r"^\.\. auto(?:function|class|exception):: (\S+)\n(?:   :members: (.*)\n)?", re.MULTILINE
)
# The public members of the package, by their full names on the page.
SHOWN = {name: (members or "").split(", ") for name, members in DIRECTIVE.findall(API)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, from a build in which every warning is an error."""
    if MISSING:
        pytest.skip(f"needs {', '.join(MISSING)}: pip install -e '.[docs]'")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs/site"]
    command += ["-d", str(folder / "cache"), ".", str(folder / "html")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_every_page_is_there(site):
    for page in ("README.md", *(ROOT / "docs").glob("*.md")):
        assert (site / ROOT.joinpath(page).relative_to(ROOT).with_suffix(".html")).exists()
    assert (site / "index.html").read_text() == (site / "README.html").read_text()


def test_equations_need_no_script(site):
    page = (site / "docs/how_it_works.html").read_text()
    assert page.count("<math") > 40
    assert "MathJax" not in page
    assert "$" not in re.sub(r"<(script|style|pre).*?</\1>", "", page, flags=re.DOTALL)


def test_fits_a_phone_and_loads_nothing_from_elsewhere(site):
    if EXECUTABLE is None:
        pytest.skip("needs chromium")
    browser = Browser(375, 812)
    try:
        browser.screen(375, 812, phone=True)
        for page in [*sorted(site.glob("docs/*.html")), site / "index.html"]:
            browser.open(page)
            assert browser.run("document.documentElement.scrollWidth") <= 375, page
            broken = "[...document.images].filter((i) => !i.naturalWidth).map((i) => i.src)"
            assert browser.run(broken) == [], page
        assert browser.problems == []
    finally:
        browser.close()


def test_public_names_are_on_the_page_of_the_api():
    assert {f"spectrodiff.{name}" for name in spectrodiff.__all__} <= set(SHOWN)
    listed = set(re.findall(r"^\| `sd\.(\w+)` \|", API, re.MULTILINE))
    assert listed == set(spectrodiff.__all__)


def find(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def callables():
    """Functions, methods and classes that the page shows, by their names."""
    for name, members in SHOWN.items():
        shown = find(name)
        yield name, shown
        for member in filter(None, members):
            yield f"{name}.{member}", inspect.getattr_static(shown, member)


def described(docstring):
    """Names that the sections of arguments and attributes describe."""
    names = set()
    for section in re.findall(r"^(?:Args|Attributes):\n((?:    .*\n|\n)*)", docstring + "\n", re.M):
        for line in re.findall(r"^    ([\w*, ]+?):", section, re.MULTILINE):
            names |= {name.strip("* ") for name in line.split(",")}
    return names


@pytest.mark.parametrize("name", dict(callables()))
def test_docstrings_describe_arguments_and_results(name):
    shown = dict(callables())[name]
    if isinstance(shown, property):
        assert inspect.getdoc(shown)
        return
    shown = getattr(shown, "__func__", shown)
    docstring = inspect.getdoc(shown) or ""
    assert docstring.split("\n")[0].endswith((".", ":")), "the first line is a sentence"
    if inspect.isclass(shown) and issubclass(shown, Exception):
        return
    function = inspect.unwrap(shown.__init__ if inspect.isclass(shown) else shown)
    arguments = set(inspect.signature(function).parameters) - {"self", "cls", "args", "kwargs"}
    assert arguments <= described(docstring), arguments - described(docstring)
    if inspect.signature(function).return_annotation not in (None, inspect.Signature.empty):
        assert re.search(r"^(Returns|Yields):|^Returns? ", docstring, re.MULTILINE)
