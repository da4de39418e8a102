"""Names that try to be more than text, in a browser; skipped if there is no `chromium`."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from spectrodiff.report import write_listening_sheet, write_report
from tests.support.browser import EXECUTABLE, Browser
from tests.support.made_up import METRICS, ROWS, make_evaluation
from tests.support.page_parser import parse, parse_markdown

ROOT = Path(__file__).parents[2]
HURT = "window.hurt=1"
NAMES = (
    f"<img src=x onerror={HURT}>",
    f'"><script>{HURT}</script>',
    f"</script><script>{HURT}</script>",
    f"</title></style></svg><svg onload={HURT}>",
    f"javascript:{HURT}",
    f"' onmouseover={HURT} onfocus={HURT} autofocus x='",
    f"&lt;img src=x onerror={HURT}&gt; ~~x~~ | `x` **x** ![x](x)",
    "{{ 7 * 7 }}<!--",
)
SCREENS = ((1200, 900, False, "light"), (390, 844, True, "light"), (1200, 900, False, "dark"))


def hostile(k):
    return NAMES[k % len(NAMES)]


def make_hostile(folder):
    """Writes an evaluation in which every text is hostile."""
    folder.mkdir()
    changes = {
        "title": hostile(1),
        "device": hostile(0),
        "created": hostile(5),
        "settings": {hostile(k): {"inner": hostile(k + 1)} for k in range(len(NAMES))},
        "rows": [{"name": name, "title": hostile(k)} for k, name in enumerate(ROWS)],
        "metrics": [
            {"name": name, "title": f"{hostile(k)} {k}", "better": METRICS[name][1], "paper": True}
            for k, name in enumerate(METRICS)
        ],
        "missing": [
            {"metric": name, "file": name, "published": name, "reason": name} for name in NAMES
        ],
        "speed": {"features": 1.5, "inversion": 13.2, "both": 1.35, "note": hostile(2)},
    }
    corpora = {f"{hostile(k)}:{hostile(k + 1)}".replace("javascript:", ""): [] for k in (0, 2)}
    corpora |= {"corpus:test": list(NAMES), "maestro/v3:test": []}
    make_evaluation(folder, corpora, seconds=1.5, model=hostile(3), **changes)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    reports = [folder / "one", folder / "two"]
    for report in reports:
        make_hostile(report)
    return {
        "report": write_report(reports[0], songs_per_corpus=len(NAMES)),
        "sheet": write_listening_sheet(reports, folder / "sheet", title=hostile(2)),
    }


@pytest.fixture(scope="module")
def browser():
    if EXECUTABLE is None:
        pytest.skip("needs chromium")
    browser = Browser()
    yield browser
    browser.close()


def touch_everything(browser):
    """Opens what is closed, focuses and points at all elements, and loads all pictures."""
    browser.run(
        "(() => { document.querySelectorAll('details').forEach((e) => { e.open = true; });"
        "document.querySelectorAll('img').forEach((e) => { e.loading = 'eager'; });"
        "document.querySelectorAll('*').forEach((e) => { e.focus?.();"
        "e.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})); }); })()"
    )
    browser.wait_for("[...document.images].every((i) => i.complete)")


@pytest.mark.parametrize("name", ["report", "sheet"])
def test_names_are_text_and_nothing_is_refused(name, pages, browser):
    browser.problems.clear()
    for width, height, phone, scheme in SCREENS:
        browser.screen(width, height, phone)
        browser.media(prefers_color_scheme=scheme)
        browser.open(pages[name])
        touch_everything(browser)
        assert browser.run("window.hurt === undefined")
    # Pictures and sounds were loaded: the policy allows what the page needs.
    assert browser.problems == []
    widths = browser.run("[...document.images].map((image) => image.naturalWidth)")
    assert len(widths) == {"report": len(NAMES) * len(ROWS), "sheet": 0}[name]
    assert all(widths)
    assert browser.run("document.title") == {"report": hostile(1), "sheet": hostile(2)}[name]
    links = browser.run("[...document.querySelectorAll('a')].map((link) => link.protocol)")
    assert set(links) <= {"file:"}
    handlers = browser.run(
        "[...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames())"
        ".filter((name) => name.startsWith('on'))"
    )
    assert handlers == []


def test_every_hostile_name_is_shown(pages):
    document = parse(pages["report"])
    songs = [
        cell.text
        for table in document.all("table", class_="songs")
        for cell in table.all("th", scope="row")
    ]
    assert songs == list(NAMES)
    [settings] = document.all("table", class_="settings")
    values = [cell.text for cell in settings.all("td")]
    assert set(NAMES) <= set(values)
    [missing] = document.all("div", class_="missing")
    assert all(missing.text.count(name) >= 3 for name in NAMES)
    assert {svg.attributes["role"] for svg in document.all("svg", role="img")} == {"img"}
    titles = " ".join(title.text for title in document.all("title"))
    assert all(name in titles for name in NAMES)


def test_markdown_of_hostile_names_is_text(pages):
    document = parse_markdown(pages["report"].with_name("table.md").read_text())
    tables = {"table", "thead", "tbody", "tr", "th", "td", "br"}
    assert document.names() <= {"h1", "h2", "p", "ul", "li", "strong"} | tables
    assert all(name in document.text for name in NAMES)


@pytest.mark.parametrize("name", ["report", "sheet"])
def test_what_is_not_escaped_does_not_run(name, pages, browser):
    """The policy is a second line of defence: here the title is HTML."""
    scripts = f"<script>{HURT}</script><img src=x onerror={HURT}><a href='javascript:{HURT}'>x</a>"
    page = pages[name].with_name("broken.html")
    page.write_text(pages[name].read_text().replace("<h1>", f"<h1>{scripts}", 1))
    browser.problems.clear()
    browser.open(page)
    browser.run("document.querySelector('h1 a').click()")
    browser.run("new Promise((done) => setTimeout(done))")
    assert browser.run("window.hurt === undefined")
    refused = [problem for problem in browser.problems if "Content Security Policy" in problem]
    assert len(refused) >= 3
    # Nor is anything sent elsewhere.
    sent = browser.run("fetch('data:,x').then(() => 'sent', () => 'refused')")
    assert sent == "refused"


def test_answers_are_no_formulas_in_a_spreadsheet(pages, browser, tmp_path):
    browser.problems.clear()
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    browser.open(pages["sheet"])
    state = {"listener": "=1+1", "equipment": "headphones"}
    browser.run(f"Object.assign(state, {json.dumps(state)})")
    browser.run("state.order.forEach((trial) => { recordOf(trial).answer = 'same'; }); download()")
    while not (files := list(tmp_path.glob("*.csv"))):
        browser.run("new Promise((done) => setTimeout(done, 20))")
    assert browser.problems == []
    lines = list(csv.DictReader(io.StringIO(files[0].read_text())))
    assert {line["listener"] for line in lines} == {"'=1+1"}
    assert {line["song"] for line in lines} == set(NAMES)
    assert {line["seconds_left"] for line in lines} == {"0.00"}


def test_scripts_write_no_html():
    folders = (ROOT / "spectrodiff/report/templates", ROOT / "spectrodiff/player/page")
    scripts = [path for folder in folders for path in folder.glob("*.js")]
    assert len(scripts) > 10
    writes = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
    assert not [path for path in scripts if re.search(writes, path.read_text())]
