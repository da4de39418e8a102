"""Pages in a real browser; skipped if there is no `chromium`."""

import csv
import io
import json
import shutil

import pytest

from spectrodiff.report import tally, write_listening_sheet, write_report
from tests.support.browser import EXECUTABLE, Browser
from tests.support.made_up import HOSTILE, make_evaluation

pytestmark = pytest.mark.skipif(EXECUTABLE is None, reason="needs chromium")

SECONDS = 20.0
ALL_KNOWN = "[...document.querySelectorAll('audio')].every((a) => a.readyState >= 1 || a.error)"


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory):
    # Names of folders may be hostile as well.
    folder = tmp_path_factory.mktemp("a #1 100% folder")
    for name in ("one", "two"):
        (folder / name).mkdir()
        corpora = {"own/songs:test": list(HOSTILE)}
        make_evaluation(folder / name, corpora, seconds=SECONDS, model=f"runs/{name}")
        write_report(folder / name)
    return folder


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture
def report(browser, evaluations):
    browser.problems.clear()
    browser.open(evaluations / "one" / "index.html")
    browser.wait_for(ALL_KNOWN)
    yield browser
    assert browser.problems == []


def state(browser, deck=0):
    """Row, position and state of a player, and how the page shows them."""
    return browser.run(
        f"(() => {{ const root = document.querySelectorAll('[data-deck]')[{deck}], p = root.player;"
        "const line = root.querySelector('.lane .playhead').getBoundingClientRect();"
        "const lane = root.querySelector('[data-lane]').getBoundingClientRect();"
        "return {row: p.index, at: p.position, plays: p.audios.map((a) => !a.paused),"
        "shown: (line.x + line.width / 2 - lane.x) / lane.width * p.seconds,"
        "checked: [...root.querySelectorAll('.switch input')].findIndex((i) => i.checked),"
        "heard: [...root.querySelectorAll('[data-strip]')].map((s) => s.matches('.heard')),"
        "slider: +root.querySelector('[data-slider]').ariaValueNow}; })()"
    )


def center(browser, selector, share=0.5):
    """Point in an element, `share` of its width from the left."""
    return browser.run(
        f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
        "e.scrollIntoView({block: 'center', behavior: 'instant'});"
        "const box = e.getBoundingClientRect();"
        f"return [box.x + box.width * {share}, box.y + box.height / 2]; }})()"
    )


def test_everything_of_a_report_loads(report):
    durations = report.run("[...document.querySelectorAll('audio')].map((a) => a.duration)")
    assert durations == pytest.approx([SECONDS] * 9, abs=0.01)
    assert report.run("[...document.querySelectorAll('audio')].every((a) => !a.error)")
    report.run("document.querySelectorAll('img').forEach((i) => { i.loading = 'eager'; })")
    report.wait_for("[...document.images].every((i) => i.complete)")
    assert set(report.run("[...document.images].map((i) => i.naturalWidth)")) == {1000}
    links = report.run("[...document.querySelectorAll('.links a')].map((a) => a.href)")
    assert len(links) == 3 * len(HOSTILE)
    playable = report.run(
        f"Promise.all({json.dumps(links)}.map((url) => new Promise((done) => {{"
        "const audio = new Audio(url);"
        "audio.onloadedmetadata = () => done(audio.duration); audio.onerror = () => done(0); })))"
    )
    assert playable == pytest.approx([SECONDS] * len(links), abs=0.01)
    assert report.run("document.title") == "Evaluation of runs/one"


def test_a_click_in_a_spectrogram_seeks_there_in_that_row(report):
    report.click(*center(report, "[data-strip]:nth-child(2) [data-lane]", 0.15))
    found = state(report)
    assert (found["row"], found["checked"], found["heard"]) == (1, 1, [False, True, False])
    for name in ("at", "shown", "slider"):
        assert found[name] == pytest.approx(3.0, abs=0.02), name
    assert not any(found["plays"])


def test_switching_keeps_the_position_and_one_plays_at_a_time(report):
    report.run("document.querySelector('[data-deck]').player.seek(1.5)")
    report.click(*center(report, "[data-deck] [data-play]"))
    report.wait_for("document.querySelector('[data-deck]').player.position > 1.6")
    before = state(report)["at"]
    report.press("3")
    found = state(report)
    assert found["plays"] == [False, False, True]
    assert (found["row"], found["checked"]) == (2, 2)
    assert before <= found["at"] < before + 8
    report.wait_for(f"document.querySelector('[data-deck]').player.position > {found['at']} + 0.1")
    # Another song begins: this one stops where it is.
    report.click(*center(report, "[data-deck]:nth-of-type(2) [data-play]"))
    assert not any(state(report)["plays"])
    assert state(report, 1)["plays"] == [True, False, False]
    report.run("document.querySelectorAll('[data-deck]')[1].player.seek(19.9)")
    report.wait_for("document.querySelectorAll('[data-deck]')[1].player.wanted === false")
    assert (
        report.run(
            "document.querySelectorAll('[data-deck]')[1].querySelector('[data-play]').ariaLabel"
        )
        == "Play"
    )


def test_keys_alone_are_enough(report):
    report.run("document.querySelector('[data-slider]').focus()")
    report.press("End")
    assert state(report)["at"] == pytest.approx(SECONDS, abs=0.01)
    report.press("Home")
    assert state(report)["at"] == 0
    report.press("ArrowRight")
    assert state(report)["at"] == pytest.approx(5.0, abs=0.01)
    report.press("Home")
    report.press(" ")
    report.wait_for("document.querySelector('[data-deck]').player.position > 0.05")
    report.press("2")
    report.press(" ")
    found = state(report)
    assert (found["row"], any(found["plays"])) == (1, False)
    assert 0.05 < found["at"] < 8


def test_a_jump_replaces_one_that_waited(report):
    player = "document.querySelector('[data-deck]').player"
    report.run(f"{player}.seek(0)")
    report.wait_for(f"!{player}.audio.seeking")
    # A jump waits for another, which then ends; its event comes after the next jump.
    waited = report.run(
        f"(() => {{ const {{ audio }} = {player}; let seeking = true;"
        "Object.defineProperty(audio, 'seeking', {get() { return seeking; }, configurable: true});"
        f"{player}.seek(3); seeking = false; {player}.seek(5); delete audio.seeking;"
        f"return {player}.position; }})()"
    )
    assert waited == 5
    report.wait_for(f"!{player}.audio.seeking")
    report.run("new Promise((done) => setTimeout(done))")
    assert state(report)["at"] == 5


def test_jumps_wait_for_one_another(report):
    player = "document.querySelector('[data-deck]').player"
    # Counts jumps that begin while another is under way, in which Chromium sometimes hangs.
    report.run(
        f"(() => {{ const audio = {player}.audio; window.jumps = []; const clock ="
        "Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, 'currentTime');"
        "Object.defineProperty(audio, 'currentTime', {get() { return clock.get.call(this); },"
        "set(at) { jumps.push([at, this.seeking]); clock.set.call(this, at); }}); })()"
    )
    positions = report.run(
        f"[20, 0, 5, 7.5].map((at) => {{ {player}.seek(at); return {player}.position; }})"
    )
    assert positions == pytest.approx([SECONDS, 0, 5, 7.5], abs=0.01)
    report.wait_for(f"!{player}.audio.seeking && {player}.audio.currentTime === 7.5")
    assert report.run("jumps") == [[pytest.approx(SECONDS, abs=0.01), False], [7.5, False]]
    # A seek through the end, where the browser pauses: playback continues.
    report.run(f"{player}.play(); {player}.seek(20); {player}.seek(3)")
    report.wait_for(f"{player}.audio.currentTime > 3.05 && {player}.audio.currentTime < 7")
    assert report.run(f"{player}.wanted && !{player}.audio.paused")
    assert not any(under_way for _, under_way in report.run("jumps"))
    report.run(f"{player}.pause()")


def test_a_late_pause_for_an_end_that_was_left_is_no_pause_of_a_listener(report):
    player = "document.querySelector('[data-deck]').player"
    report.run(f"{player}.play()")
    report.wait_for(f"{player}.audio.currentTime > 0")
    # As if it had been at the end. Chromium pauses so now and then, on a machine that is busy.
    report.run(
        f"(() => {{ const {{ audio }} = {player};"
        "Object.defineProperty(audio, 'currentTime', {configurable: true,"
        f"get() {{ return {SECONDS}; }},"
        "set(at) { delete this.currentTime; this.currentTime = at; }});"
        f"{player}.seek(3); audio.pause(); }})()"
    )
    report.wait_for(f"{player}.audio.currentTime > 3.6")
    assert report.run(f"{player}.wanted && !{player}.audio.paused")
    # A headset pauses.
    report.run(f"{player}.audio.pause()")
    report.wait_for(f"!{player}.wanted")
    report.run(f"{player}.play(); {player}.seek(1); {player}.audio.pause()")
    report.wait_for(f"!{player}.wanted")


def test_nothing_is_wider_than_a_phone(report):
    report.call(
        "Emulation.setDeviceMetricsOverride",
        width=390,
        height=800,
        deviceScaleFactor=1,
        mobile=True,
    )
    try:
        assert report.run("document.documentElement.scrollWidth") == 390
        # No keys to press, and no tick outside of the axis.
        assert report.run("getComputedStyle(document.querySelector('.keys')).display") == "none"
        outside = report.run(
            "[...document.querySelectorAll('.axis')].flatMap((axis) => "
            "[...axis.querySelectorAll('b')].map((label) => [axis, label]))"
            ".map((pair) => pair.map((element) => element.getBoundingClientRect()))"
            ".filter(([axis, label]) => label.left < axis.left || label.right > axis.right + 1)"
            ".length"
        )
        assert outside == 0
    finally:
        report.call("Emulation.clearDeviceMetricsOverride")


def test_nothing_moves_when_a_picture_arrives(report):
    assert report.run("getComputedStyle(document.querySelector('.keys')).display") != "none"
    height = "document.querySelector('[data-deck]').getBoundingClientRect().height"
    before = report.run(height)
    report.run("document.querySelectorAll('img').forEach((i) => { i.removeAttribute('src'); })")
    assert report.run(height) == before


def test_dark_mode_turns_page_and_plots(report):
    def lightness(scheme):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        report.call("Emulation.setEmulatedMedia", features=[feature])
        colors = report.run(
            "(() => { const style = getComputedStyle(document.body);"
            "const plot = getComputedStyle(document.querySelector('.plot text'));"
            "return [style.backgroundColor, style.color, plot.fill]; })()"
        )
        return [sum(map(int, color[4:-1].split(","))) / 765 for color in colors]

    back, text, plot = lightness("light")
    assert back > 0.9 > 0.5 > plot > text
    back, text, plot = lightness("dark")
    assert back < 0.15 < 0.5 < plot < text


def test_audio_lost_later_is_said(browser, evaluations, tmp_path):
    shutil.copytree(evaluations / "two", tmp_path / "moved", ignore=lambda *_: {"raw.flac"})
    browser.open(tmp_path / "moved" / "index.html")
    browser.wait_for(ALL_KNOWN)
    browser.wait_for("!document.querySelector('[data-failure]').hidden")
    failure = browser.run("document.querySelector('[data-failure]').textContent")
    assert "“Ground truth raw” cannot be played" in failure
    assert any("raw.flac" in problem or "loadingFailed" in problem for problem in browser.problems)
    browser.problems.clear()


def hear(browser, side):
    browser.press("ab"[side])
    assert browser.run("player.index") == side
    # Four times as fast to save time; `heard` counts seconds of the music.
    browser.run("player.audio.playbackRate = 4; if (!player.wanted) player.play();")
    browser.wait_for(f"player.heard[{side}] >= 1")


def test_a_listening_test_from_beginning_to_end(browser, evaluations, tmp_path):
    reports = [evaluations / "one", evaluations / "two"]
    page = write_listening_sheet(reports, tmp_path / "sheet", max_songs=2)
    key = json.loads((tmp_path / "sheet-key.json").read_text())
    browser.problems.clear()
    browser.open(page)
    name = '=Ada, "the" second'
    browser.run(f"element('listener').value = {json.dumps(name)}")
    browser.click(*center(browser, "#begin button"))

    # First the volume: no way on before the clip was played and the question answered.
    browser.wait_for("checkPlayer !== null && checkPlayer.audio.readyState >= 1")
    assert browser.run("element('checked').disabled && element('trial').hidden")
    browser.click(*center(browser, "#check-deck [data-play]"))
    browser.run("checkPlayer.audio.playbackRate = 4")
    browser.wait_for("!element('checked').disabled")
    browser.click(*center(browser, "#checked"))
    assert browser.run("element('trial').hidden")
    browser.click(*center(browser, "[value='one ear'] + span"))
    browser.click(*center(browser, "#checked"))
    assert browser.run("checkPlayer === null && element('check').hidden")
    browser.wait_for("player !== null && player.audios.every((audio) => audio.readyState >= 1)")

    # No answer before both are heard; then one with a strength.
    assert browser.run("element('answers').disabled && element('next').disabled")
    hint, first_answer = (
        browser.run(f"element('{name}').getBoundingClientRect().top")
        for name in ("hint", "answers")
    )
    assert hint < first_answer
    assert "Listen to both" in browser.run("element('hint').textContent")
    hear(browser, 0)
    assert browser.run("element('answers').disabled")
    hear(browser, 1)
    browser.press(" ")
    assert browser.run("!element('answers').disabled && element('strengths').disabled")
    browser.click(*center(browser, "[value=right] + span"))
    browser.click(*center(browser, "[value=clearly] + span"))
    first_pair = browser.run("sidesOf(state.order[0])")

    # Closed and opened again, the page continues with the stored answers.
    browser.open(page)
    browser.wait_for("player !== null")
    assert browser.run("document.querySelector('[name=answer]:checked').value") == "right"
    assert browser.run("document.querySelector('[name=strength]:checked').value") == "clearly"
    assert browser.run("sidesOf(state.order[0])") == first_pair
    browser.click(*center(browser, "#next"))
    assert browser.run("element('count').textContent") == "Comparison 2 of 2"
    hear(browser, 0)
    hear(browser, 1)
    browser.click(*center(browser, "[value=same] + span"))
    browser.click(*center(browser, "#next"))
    assert not browser.run("element('end').hidden")

    # What is downloaded is what was answered.
    download = tmp_path / "downloads"
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(download))
    text = browser.run("csv()")
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [line["answer"] for line in lines] == ["right", "same"]
    assert [line["strength"] for line in lines] == ["clearly", ""]
    # Spreadsheets would take the name for a formula.
    assert [line["listener"] for line in lines] == [f"'{name}"] * 2
    assert [line["place"] for line in lines] == ["1", "2"]
    assert [line["equipment"] for line in lines] == ["one ear", "one ear"]
    assert [lines[0]["left"], lines[0]["right"]] == first_pair
    for line in lines:
        assert key["files"][line["left"]]["song"] == line["song"]
        assert key["files"][line["right"]]["song"] == line["song"]
        assert all(1 <= float(line[f"seconds_{side}"]) < 20 for side in ("left", "right"))
        assert int(line["switches"]) >= 1
    answers = tmp_path / "answers.csv"
    answers.write_text(text)
    [result] = tally(tmp_path / "sheet-key.json", [answers])
    preferred = key["files"][first_pair[1]]["report"]
    better = result.first_better if result.first == preferred else result.second_better
    assert (better, result.same, result.first_better + result.second_better) == (1, 1, 1)
    shown = browser.run("document.body.innerText + document.title + csv()")
    assert not any(word in shown for word in ("runs/", str(evaluations)))
    assert browser.problems == []


def test_every_visitor_has_an_order_of_their_own(browser, evaluations, tmp_path):
    reports = [evaluations / "one", evaluations / "two"]
    browser.open(write_listening_sheet(reports, tmp_path / "sheet"))
    again = browser.run("JSON.stringify(newState(5)) === JSON.stringify(newState(5))")
    assert again
    draws = browser.run(
        "Array.from({length: 4000}, (_, k) => newState(k)).map((s) => [s.order, s.swapped])"
    )
    songs = len(HOSTILE)
    first = [sum(order[0] == song for order, _ in draws) for song in range(songs)]
    swapped = [sum(sides[song] for _, sides in draws) for song in range(songs)]
    assert all(sorted(order) == list(range(songs)) for order, _ in draws)
    # 1000 and 2000 expected; five standard deviations are 137 and 158.
    assert first == pytest.approx([1000] * songs, abs=137)
    assert swapped == pytest.approx([2000] * songs, abs=158)
    assert browser.run("state.order.length") == songs
