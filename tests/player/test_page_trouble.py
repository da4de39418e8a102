"""The page of `spectrodiff play` when something is odd: files, sizes, a server that stops."""

import json
import signal

import pytest

from spectrodiff.music.midi.writer import write_midi
from tests.support.midi import meta, midi_bytes, off, on
from tests.support.notation import note_table
from tests.support.played import Server

HOSTILE = "<img src=x onerror=window.hurt=1><script>window.hurt=1</script>"
MORE_HOSTILE = (
    '"><script>window.hurt=1<\u2215script>',
    "javascript:window.hurt=1",
    "' onfocus=window.hurt=1 autofocus x='",
    "&lt;img src=x onerror=window.hurt=1&gt;",
)
# Lets the first part through (49 kB), and the rest when the gate is opened.
GATE = """
let passed = 0;
const gate = new Promise((open) => { window.openGate = open; });
const read = ReadableStreamDefaultReader.prototype.read;
ReadableStreamDefaultReader.prototype.read = async function () {
  if (passed > 49000) await gate;
  const piece = await read.call(this);
  passed += piece.value?.length ?? 0;
  return piece;
};
"""


def test_what_is_not_midi_is_refused_and_the_song_stays(page):
    take = page.run("player.take().id")
    page.drop("shopping <b>list</b>.txt", b"butter, eggs")
    page.wait_for("document.querySelector('.notice.error')")
    assert page.run("document.querySelector('.notice').getAttribute('role')") == "alert"
    assert page.run("document.querySelectorAll('.notice b').length") == 0
    assert page.run("player.take().id") == take
    assert page.text("#title") == "Small song"
    page.play_until(0.1)
    page.press_button(".notice .close")
    assert page.run("document.querySelectorAll('.notice').length") == 0
    assert page.own_problems("422") == []


def test_names_from_files_are_shown_as_text(page, tmp_path):
    name = f"{HOSTILE.replace('/', '')}.mid"
    path = page.save(
        "hostile.mid",
        midi_bytes([meta("track_name", name=HOSTILE), on(0, 60), off(800, 60)]),
        tmp_path,
    )
    page.drop(name, path.read_bytes())
    page.wait_for("document.title.includes('onerror')")
    assert page.text("#title") == HOSTILE.replace("/", "")
    assert page.run("document.querySelectorAll('main img, main script').length") == 0
    assert page.run("window.hurt === undefined")
    for name in MORE_HOSTILE:
        page.drop(f"{name}.mid", path.read_bytes())
        page.wait_for(f"document.getElementById('title').textContent === {json.dumps(name)}")
    # By the dialog, too.
    page.set_files("#file", path)
    page.wait_for("document.title.startsWith('hostile')")
    assert page.run("document.querySelectorAll('main img, main script, [onerror]').length") == 0
    assert page.run("window.hurt === undefined")


def test_scripts_of_others_do_not_run(page):
    # If a name were read as HTML after all, the policy would keep it from running.
    page.run(f"document.querySelector('main').insertAdjacentHTML('beforeend', {HOSTILE!r})")
    page.run(
        "(() => { const script = document.createElement('script');"
        "script.textContent = 'window.hurt = 1'; document.head.append(script); })()"
    )
    page.wait_for("[...document.images].every((image) => image.complete)")
    assert page.run("window.hurt === undefined")
    refused = [problem for problem in page.problems if "Content Security Policy" in problem]
    assert len(refused) >= 2
    assert page.own_problems("Content Security Policy", "404") == []


def test_a_file_of_50_megabytes_is_not_sent(page):
    page.run(
        "(() => { const files = new DataTransfer();"
        "files.items.add(new File([new Uint8Array(50e6)], 'huge.mid'));"
        "document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: files, bubbles: true,"
        "cancelable: true})); })()"
    )
    notice = page.text(".notice.error p")
    assert notice == "huge.mid has 50 MB. MIDI files of at most 4.2 MB are opened."
    sent = page.run(
        "performance.getEntriesByType('resource').filter((e) => e.name.includes('huge')).length"
    )
    assert sent == 0


def test_a_song_of_ten_minutes_and_twenty_thousand_notes(page, tmp_path):
    rows = [
        (0.12 * k, 0.12 * k + 0.1, 36 + (7 * k + 5 * part) % 48, 80, 10 * part, False)
        for k in range(5000)
        for part in range(4)
    ]
    write_midi(note_table(rows, total_seconds=600.0), tmp_path / "long.mid")
    page.set_files("#file", tmp_path / "long.mid")
    page.wait_for("document.title.startsWith('long')")
    assert "20,000 notes" in page.text("#facts")
    assert page.text("#length") == "/ 9:59"
    page.play_until(0.5)
    assert page.run("player.window().seconds") == 20
    rendered = page.run("player.renderedSeconds()")
    assert 0 < rendered < 590
    assert page.text("#lane-note") == "not rendered yet"
    # Few of the notes are looked at for a picture of the window.
    looked = page.run(
        "(() => { let calls = 0; const proto = CanvasRenderingContext2D.prototype;"
        "const fill = proto.fillRect; proto.fillRect = function (...a) { calls += 1;"
        "return fill.apply(this, a); };"
        "return new Promise((done) => requestAnimationFrame(() => { calls = 0;"
        "requestAnimationFrame(() => { proto.fillRect = fill; done(calls); }); })); })()"
    )
    assert looked < 1000


def test_when_the_model_is_too_slow(page):
    page.wait_for("player.complete()")
    page.run(GATE)
    page.choose("#example", "greensleeves")
    page.wait_for("document.title.startsWith('Greensleeves') && player.renderedSeconds() > 0")
    page.play_until(0.1)
    page.wait_for("player.state() === 'waiting'")
    end = page.run("player.renderedSeconds()")
    # All that there is has been heard, but for less than a hundredth of a second.
    assert page.run("player.position()") == pytest.approx(end, abs=0.01)
    page.wait_for_text("#status", "Waiting for the model")
    page.run("openGate()")
    page.wait_for(f"player.state() === 'playing' && player.position() > {end} + 0.2")


def test_the_sound_survives_its_device(page):
    page.play_until(0.3)
    at = page.run("player.position()")
    page.run("player.context().suspend()")
    page.wait_for(f"player.position() > {at} + 0.3")
    at = page.run("player.position()")
    page.run("player.context().close()")
    page.wait_for(f"player.state() === 'playing' && player.position() > {at} + 0.3")
    assert page.run("player.context().state") == "running"


def test_another_song_stops_the_computing_of_the_last(page):
    page.choose("#example", "when_the_saints")
    page.wait_for("document.title.startsWith('When the saints')")
    first = page.run("player.take().id")
    page.choose("#example", "greensleeves")
    page.wait_for("document.title.startsWith('Greensleeves')")
    page.wait_for("player.renderedSeconds() > 1")
    gone = page.run(f"fetch('/api/takes/{first}/notes.mid').then((answer) => answer.status)")
    assert gone == 404
    assert page.own_problems("404") == []


def test_a_take_that_the_server_forgot_is_made_anew(page):
    take = page.run("player.take().id")
    page.run(f"fetch('/api/takes/{take}', {{method: 'DELETE'}})")
    page.press_button("[aria-label='Mute piano']")
    page.wait_for(f"player.take().id !== '{take}'")
    assert page.run("player.take().rows[0].sounds") is None
    page.play_until(0.1)
    assert page.own_problems("404") == []


def test_the_server_stops_and_comes_back(tab, page_song):
    arguments = (str(page_song), "--model", "mini")
    server = Server(*arguments)
    # The page before says goodbye to its own server.
    tab.visit("about:blank")
    tab.problems.clear()
    tab.origin = server.address
    tab.visit(server.address)
    tab.wait_for("window.player?.complete()")
    tab.play_until(0.2)
    server.stop(signal.SIGKILL)
    tab.press_button("[aria-label='Mute piano']")
    tab.wait_for_text(".notice.error", "The server has stopped. Start it again with")
    at = tab.run("player.position()")
    # What is there is heard on; the other version cannot be.
    tab.wait_for(f"player.state() === 'playing' && player.position() > {at} + 0.2")
    tab.press("x")
    tab.wait_for_text("#side-name", "A")
    again = Server(*arguments, "--port", str(server.port))
    try:
        tab.wait_for("!document.querySelector('.notice.error')")
        # The mute that was pressed meanwhile holds in the take that is made anew.
        tab.wait_for("player.take().rows[0].sounds === null")
        assert tab.own_problems("ERR_", "404") == []
    finally:
        again.stop(signal.SIGKILL)
        tab.visit("about:blank")
        tab.origin = tab.address
        tab.problems.clear()
