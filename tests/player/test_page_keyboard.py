"""Playing on the page of `spectrodiff play`: computer keys, MIDI keyboard, pointer, and live."""

import pytest

# Notes when keys go down and up.
LISTEN = """
window.keyTimes = [];
for (const type of ['keydown', 'keyup']) {
  document.addEventListener(type, (event) => keyTimes.push(event.timeStamp / 1000), true);
}
"""
MIDI = """
window.requests = [];
window.fetchBefore ??= window.fetch;
window.fetch = (path, options) => {
  if (typeof options?.body === 'string') requests.push([path, JSON.parse(options.body)]);
  return fetchBefore(path, options);
};
window.device = {id: 'one', name: 'Toy <i>piano</i>', state: 'connected'};
window.access = {inputs: new Map([['one', device]])};
navigator.requestMIDIAccess = async () => access;
window.midi = (timeStamp, ...bytes) =>
  device.onmidimessage({data: new Uint8Array(bytes), timeStamp});
"""
STATUS = "#keyboard-status"


def open_keyboard(page):
    page.press_button("#keyboard summary")
    page.wait_for("document.getElementById('keyboard').open")


def notes(page):
    found = page.run("player.take().notes")
    return list(zip(found["onset"], found["offset"], found["pitch"], strict=True))


def test_a_phrase_by_computer_keys(page):
    page.run(LISTEN)
    open_keyboard(page)
    page.choose("#key-program", "73")
    page.press_button("#record")
    assert page.run("record.ariaPressed") == "true"
    # C, then E and G together, as printed on the keys.
    for step in ("down a", "up a", "down d", "down g", "up d", "up g"):
        way, key = step.split()
        (page.key_down if way == "down" else page.key_up)(key, f"Key{key.upper()}")
    assert page.text(STATUS) == "Recording: 3 notes."
    times = page.run("keyTimes")
    page.press_button("#record")
    page.wait_for("player.take().notes.pitch.length === 3")
    start = times[0]
    expected = [
        (0.0, times[1] - start, 48),
        (times[2] - start, times[4] - start, 52),
        (times[3] - start, times[5] - start, 55),
    ]
    # Notes are at least 30 ms long; the server rounds to 0.1 ms, and MIDI to its ticks.
    for found, (onset, offset, pitch) in zip(notes(page), expected, strict=True):
        assert found == pytest.approx((onset, max(offset, onset + 0.03), pitch), abs=0.002)
    # It is played at once, in the sound of the model.
    page.wait_for("player.state() === 'playing' || player.position() > 0")
    assert page.run("player.take().rows[0].sounds") == 73


def test_a_midi_keyboard(page):
    page.run(MIDI)
    open_keyboard(page)
    page.press_button("#midi")
    page.wait_for_text("#midi-status", "Connected: Toy <i>piano</i>.")
    page.press_button("#record")
    # A note, and one whose release is a note of velocity 0.
    page.run("midi(1000, 0x90, 60, 33); midi(1250, 0x80, 60, 0)")
    page.run("midi(1500, 0x93, 64, 99); midi(1550, 0xb0, 64, 127); midi(2000, 0x93, 64, 0)")
    # Nothing is held: the phrase ends by itself.
    page.wait_for("requests.some(([path]) => path === '/api/phrases')")
    sent = dict(page.run("requests"))["/api/phrases"]["notes"]
    assert sent == [[0.0, 0.25, 60, 33], [0.5, 1.0, 64, 99]]
    page.wait_for("player.take().notes.onset.length === 2")
    assert notes(page) == [(0.0, 0.25, 60), (0.5, 1.0, 64)]
    page.wait_for("player.state() === 'playing' || player.position() > 0")


def test_midi_keyboards_come_and_go(page):
    page.run(MIDI)
    page.run("access.inputs.clear()")
    open_keyboard(page)
    page.press_button("#midi")
    page.wait_for_text("#midi-status", "No MIDI keyboard is connected.")
    page.run("access.inputs.set('one', device); access.onstatechange()")
    page.wait_for_text("#midi-status", "Toy")
    page.run("midi(1000, 0x90, 60, 33)")
    assert page.run("document.querySelectorAll('.key.down').length") == 1
    # It is pulled out with a key down.
    page.run("access.inputs.clear(); access.onstatechange()")
    assert page.run("document.querySelectorAll('.key.down').length") == 0
    page.run("navigator.requestMIDIAccess = undefined")
    page.press_button("#midi")
    page.wait_for_text("#midi-status", "This browser cannot read MIDI keyboards")


def test_the_piano_on_the_page(page):
    open_keyboard(page)
    keys = "[...document.querySelectorAll('.key')].map((key) => +key.dataset.pitch)"
    assert page.run(keys) == list(range(48, 73))
    page.press_button("#octave-up")
    assert page.run(keys) == list(range(60, 85))
    page.press_button("#record")
    x, y = page.run(
        "(() => { const key = document.querySelector('[data-pitch=\"62\"]');"
        "key.scrollIntoView({block: 'center'}); const box = key.getBoundingClientRect();"
        "return [box.x + box.width / 2, box.bottom - 20]; })()"
    )
    page.click(x, y)
    page.wait_for_text(STATUS, "1 note")
    page.press_button("#record")
    page.wait_for("player.take().notes.pitch.length === 1")
    assert page.run("player.take().notes.pitch") == [62]
    page.screen(375, 812, phone=True)
    page.wait_for("document.querySelectorAll('.key').length === 13")
    assert page.run("document.documentElement.scrollWidth") == 375
    page.call("Emulation.clearDeviceMetricsOverride")
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_live(page):
    page.run(MIDI)
    open_keyboard(page)
    page.press_button("#midi")
    page.wait_for_text("#midi-status", "Connected")
    page.press_button("#live")
    page.wait_for_text(STATUS, "you hear yourself 2.9 s later")
    assert page.run("live.ariaPressed") == "true"
    page.run("midi(performance.now(), 0x90, 60, 100); midi(performance.now() + 300, 0x80, 60, 0)")
    page.wait_for("requests.some(([path]) => path.endsWith('/events'))")
    events = page.run(
        "requests.filter(([path]) => path.endsWith('/events')).flatMap((r) => r[1].events)"
    )
    assert events[0][1:] == [60, 100]
    # Parts come and are scheduled; one of them is not silent.
    page.wait_for("starts.some(({samples}) => samples.some((sample) => Math.abs(sample) > 0.01))")
    page.press_button("#live")
    assert page.run("live.ariaPressed") == "false"
    # A song that is played, or opened, ends it: the model is for one of them.
    page.press_button("#live")
    page.wait_for_text(STATUS, "you hear yourself 2.9 s later")
    page.wait_for_text("#status", "Waits while you play live.")
    page.press_button("#play")
    page.wait_for("live.ariaPressed === 'false' && player.state() === 'playing'")


def test_the_keyboard_alone_is_enough(page):
    page.wait_for("player.complete()")
    order = []
    for _ in range(18):
        page.press("Tab")
        order.append(
            page.run(
                "(() => { const e = document.activeElement;"
                "return e.id || e.ariaLabel || e.name || e.tagName; })()"
            )
        )
    assert order == [
        *("example", "file", "help", "play", "side", "SUMMARY", "overview"),
        *("Instrument of row 1, piano", "Mute piano", "Solo piano"),
        *("Instrument of row 2, trumpet", "Mute trumpet", "Solo trumpet"),
        *("Mute drums", "Solo drums", "from-start", "transpose", "tempo"),
    ]
    # Space plays where it does nothing else, and presses the button that has the focus.
    page.press(" ")
    page.wait_for("player.position() > 0.05")
    page.press(" ")
    assert page.run("player.state()") == "stopped"
    page.run("document.querySelector(\"[aria-label='Mute piano']\").focus()")
    page.press(" ")
    page.wait_for("player.take().rows[0].sounds === null")
    assert page.run("player.state()") == "stopped"
    page.press("Enter")
    page.wait_for("player.take().rows[0].sounds === 0")
    # Letters are text in an input, not commands.
    page.run("steps.focus()")
    page.press("x")
    assert page.text("#side-name") == "A"
    page.run("steps.blur()")
    page.press("?")
    assert page.run("keys.open")
    page.press("Escape")
    page.wait_for("!keys.open")
    page.run("document.querySelector('#overview').focus()")
    outline = page.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    # Every control has a name.
    nameless = page.run(
        "[...document.querySelectorAll('button, select, input, [role=slider]')].filter((e) =>"
        "!(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"
    )
    assert nameless == []
