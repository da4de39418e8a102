"""The page of `spectrodiff play` in a real browser: opening, playing, seeking, steering."""

import pytest

from tests.support.midi import meta, midi_bytes, off, on
from tests.support.player_page import SECONDS, PlayerPage

SEGMENT_SECONDS = 2.24
FRAME_SECONDS = 0.02
COMPLETE = "player.complete()"


def lane_names(page):
    return page.run("[...document.querySelectorAll('#rows .row-name')].map((e) => e.textContent)")


def scale(*pitches, name=None):
    """The bytes of a MIDI file of one second per note."""
    title = [meta("track_name", name=name)] if name else []
    return midi_bytes([*title, *(m for p in pitches for m in (on(0, p), off(1000, p)))])


def test_the_song_of_the_command_line_is_there(page):
    assert page.text("#title") == "Small song"
    assert lane_names(page) == ["piano", "trumpet→ flute", "drumsleft out"]
    assert page.text("#facts").startswith("0:14 · 3 instruments · 55 notes")
    assert "trumpet replaced by flute; drums left out" in page.text("#remarks")
    assert page.run("player.state()") == "stopped"
    assert page.run("document.querySelectorAll('#rows select option').length") == 2 * 6
    # All is rendered soon, and the page stops to say otherwise.
    page.wait_for(COMPLETE)
    assert page.run("document.getElementById('lane-note').hidden")


def test_sound_is_what_the_server_rendered_without_gaps(page):
    page.run("document.getElementById('play').click()")
    page.wait_for("player.state() === 'playing'")
    assert 0 < page.run("player.firstSoundMilliseconds") < 60_000
    page.wait_for(f"{COMPLETE} && player.position() > 2.5")
    found = page.run(
        "(async () => {"
        "const wav = await (await fetch(`/api/takes/${player.take().id}/audio.wav`)).arrayBuffer();"
        "const wanted = new Int16Array(wav, wav.byteLength % 2 + 44);"
        "let at = 0, different = 0, gaps = 0, end = starts[0].when;"
        "for (const { when, samples } of starts) {"
        "  gaps += when !== end; end = when + samples.length / 16000;"
        "  for (const sample of samples) different += sample * 32768 !== wanted[at++]; }"
        "return {at, different, gaps, pieces: starts.length, first: starts[0].when,"
        "        anchor: player.anchor(), samples: wanted.length}; })()"
    )
    assert (found["different"], found["gaps"]) == (0, 0)
    assert found["pieces"] > 5
    assert found["at"] <= found["samples"]
    assert found["anchor"] == {"clock": found["first"], "position": 0}


def test_the_playhead_is_within_a_frame_of_the_audio_clock(page):
    for seconds in (0.3, 0.8, 1.4):
        page.play_until(seconds)
        # What sounds now left the clock an output latency ago.
        shown, heard, line = page.run(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {"
            "const c = player.context();"
            "const heard = c.currentTime - c.outputLatency - starts[0].when;"
            "const axis = document.getElementById('axis').getBoundingClientRect();"
            "const head = document.getElementById('playhead').getBoundingClientRect();"
            "const view = player.window();"
            "const line = view.start + (head.x + 1 - axis.x) / axis.width * view.seconds;"
            "done([player.position(), heard, line]); })))"
        )
        assert shown == pytest.approx(heard, abs=FRAME_SECONDS)
        # The line is drawn once per frame of the screen.
        assert line == pytest.approx(heard, abs=FRAME_SECONDS + 0.05)


def test_home_and_end(page):
    page.wait_for(COMPLETE)
    page.press("End")
    page.wait_for("player.position() > 13.9")
    page.press("Home")
    page.wait_for("player.position() === 0")


def test_seeking(page):
    page.wait_for(COMPLETE)
    page.seek(5.0)
    assert page.run("player.position()") == pytest.approx(5.0, abs=0.02)
    page.run("document.getElementById('overview').focus()")
    for key, at in (("ArrowRight", 10.0), ("ArrowLeft", 5.0), ("Home", 0.0)):
        page.press(key)
        assert page.run("player.position()") == pytest.approx(at, abs=0.02)
    page.press("End")
    end = page.run("player.position()")
    assert end == pytest.approx(page.run("player.renderedSeconds()"), abs=0.001)
    page.wait_for("Number(overview.ariaValueNow) > 13")
    # A click in a lane, while it plays: the sound goes on from there.
    page.press("Home")
    page.play_until(0.1)
    x, y = page.run(
        "(() => { const box = document.querySelector('#rows .lane').getBoundingClientRect();"
        "const view = player.window();"
        "return [box.x + box.width * (8 - view.start) / view.seconds, box.y + 10]; })()"
    )
    page.click(x, y)
    assert page.run("player.position()") == pytest.approx(8.0, abs=0.05)
    page.wait_for("player.position() > 8.3")
    assert page.run("player.state()") == "playing"


def test_nothing_beyond_what_is_rendered_can_be_reached(page):
    page.choose("#example", "greensleeves")
    page.wait_for("document.title.startsWith('Greensleeves')")
    at, rendered, seconds = page.run(
        "(() => { overview.focus(); overview.dispatchEvent(new KeyboardEvent('keydown',"
        "{key: 'End', bubbles: true})); return [player.position(), player.renderedSeconds(),"
        "player.take().seconds]; })()"
    )
    assert at == pytest.approx(rendered, abs=0.001)
    assert rendered < seconds


def test_a_row_is_muted_from_the_next_segment_on(page):
    page.wait_for(COMPLETE)
    page.play_until(0.2)
    page.press_button("#rows .lane-head [aria-label='Mute piano']")
    page.wait_for("player.take().rows[0].sounds === null")
    position, kept, onset, sounding = page.run(
        "[player.position(), player.take().kept_samples / 16000, player.take().notes.onset,"
        "player.take().notes.sounding]"
    )
    boundary = round((kept + 0.1) / SEGMENT_SECONDS) * SEGMENT_SECONDS
    assert position < kept < boundary + 0.01
    # The piano is the row whose notes stop to sound; the others are the trumpet's and drums'.
    before = [s for o, s in zip(onset, sounding, strict=True) if o < boundary - 0.1]
    after = [s for o, s in zip(onset, sounding, strict=True) if o > boundary + 0.1]
    assert sum(before) > len(before) / 2
    assert 0 < sum(after) <= 13
    page.wait_for(COMPLETE)
    page.wait_for(f"player.position() > {boundary + 0.3}")
    assert page.run("player.state()") == "playing"
    assert page.run("document.querySelector('#rows .toggle').ariaPressed") == "true"
    gaps = page.run(
        "(() => { const ends = starts.map(({when, samples}) => when + samples.length / 16000);"
        "return starts.slice(1).filter(({when}) => !starts.some((s, k) => Math.abs(ends[k] - when)"
        "< 1e-9 || s.when < when && ends[k] > when)).length; })()"
    )
    assert gaps == 0


def test_solo_and_instruments(page):
    page.press_button("[aria-label='Solo trumpet']")
    page.wait_for("player.take().rows[0].sounds === null")
    # Nothing was heard yet: it holds from the beginning on.
    assert page.run("player.take().kept_samples") == 0
    assert page.run("player.take().rows.map((row) => row.sounds)") == [None, 73, None]
    page.press_button("[aria-label='Solo trumpet']")
    page.wait_for("player.take().rows[0].sounds === 0")
    page.choose("#rows .lane-head:nth-of-type(1) select", "48")
    page.wait_for("player.take().rows[0].sounds === 48")
    page.wait_for_text("#rows .row-name", "→ strings")
    page.choose("#rows .lane-head:nth-of-type(1) select", "")
    page.wait_for("player.take().rows[0].sounds === 0")


def test_tempo_and_transposition(page):
    before = page.run("player.take().notes")
    page.choose("#tempo", "2")
    page.choose("#transpose", "-12")
    page.wait_for("player.take().notes.pitch[0] === 36")
    after = page.run("player.take().notes")
    assert after["onset"] == pytest.approx([t / 2 for t in before["onset"]], abs=0.011)
    assert page.run("player.take().seconds") == pytest.approx(SECONDS / 2, abs=1.5)
    assert page.text("#transpose-value") == "−12 semitones"
    page.choose("#tempo", "1")
    page.choose("#transpose", "0")
    page.wait_for("player.take().notes.pitch[0] === 48")


def test_the_two_versions(page):
    first = page.run("player.take().id")
    page.wait_for(COMPLETE)
    page.play_until(0.5)
    ahead = "player.position() - player.context().currentTime"
    before = page.run(ahead)
    page.press("x")
    # A is heard until B is there.
    page.wait_for("player.take().model === 'untrained'")
    assert page.run("player.state()") == "playing"
    # The position went on with the clock: nothing was skipped, and nothing was heard twice.
    assert page.run(ahead) == pytest.approx(before, abs=FRAME_SECONDS)
    second = page.run("player.take().id")
    assert second != first
    page.wait_for_text("#side-name", "B")
    page.wait_for_text("#remarks", "renders noise")
    # Drums are no problem of this model; all instruments can be chosen.
    assert "left out" not in "".join(lane_names(page))
    assert page.run("document.querySelectorAll('#model option').length") == 2
    assert page.run("document.querySelector('#rows select').options.length") == 129
    page.press("x")
    page.wait_for(f"player.take().id === '{first}'")
    assert page.run(ahead) == pytest.approx(before, abs=FRAME_SECONDS)
    page.wait_for_text("#side-name", "A")


def test_another_model_is_another_take(page):
    first = page.run("player.take().id")
    page.choose("#model", "untrained")
    page.wait_for("player.take().model === 'untrained'")
    assert page.run("player.take().id") != first
    # The take that it replaces is not kept.
    page.wait_for(f"fetch('/api/takes/{first}/notes.mid').then((answer) => answer.status === 404)")
    page.wait_for("player.renderedSeconds() > 0")
    assert page.own_problems("404") == []


def test_settings_hold_for_all_when_rendered_from_the_start(page):
    page.wait_for(COMPLETE)
    page.play_until(0.8)
    revision = page.run("player.take().revision")
    sent = (
        "window.sent = []; const before = fetch; window.fetch = (path, options) => {"
        "if (path.endsWith('/steer')) sent.push(JSON.parse(options.body));"
        "return before(path, options); };"
    )
    page.run(f"(() => {{ {sent} }})()")
    page.choose("#seed", "7")
    page.press_button("#from-start")
    page.wait_for(f"player.take().revision > {revision}")
    assert page.run("player.take().kept_samples") == 0
    [body] = page.run("sent")
    assert body["segment"] == 0
    assert body["settings"] == {"steps": 4, "guidance": 1.0, "seed": 7}
    assert page.run("player.position()") < 0.8
    page.wait_for("player.state() === 'playing' && player.position() > 0.2")


def test_two_tabs_at_once(page, page_server):
    other = PlayerPage(page_server.address)
    try:
        other.begin()
        takes = page.run("player.take().id"), other.run("player.take().id")
        assert takes[0] != takes[1]
        page.press_button("[aria-label='Mute piano']")
        page.wait_for("player.take().rows[0].sounds === null")
        other.wait_for(COMPLETE)
        assert other.run("player.take().rows[0].sounds") == 0
        for each in (page, other):
            each.play_until(0.3)
        assert other.own_problems() == []
    finally:
        other.close()


def test_a_dropped_file_replaces_the_song(page):
    page.drop("three.mid", scale(60, 62, 64))
    page.wait_for("document.title.startsWith('three')")
    page.wait_for("player.renderedSeconds() > 1")
    assert lane_names(page) == ["piano"]
    assert page.text("#facts").startswith("0:0")
    assert "3 notes" in page.text("#facts")
    page.play_until(0.2)
