"""The look of the page of `spectrodiff play`, and what can be downloaded from it."""

import pytest

DOWNLOADED = """
window.saved = [];
const address = URL.createObjectURL;
URL.createObjectURL = (blob) => { blob.arrayBuffer().then((b) => saved.push(new Uint8Array(b)));
  return address.call(URL, blob); };
HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };
"""


@pytest.mark.parametrize(
    ("file", "name", "begin"),
    [
        ("audio.wav", "Small_song.wav", "RIFF"),
        ("audio.flac", "Small_song.flac", "fLaC"),
        ("stems.zip", "Small_song_stems.zip", "PK\3\4"),
        ("notes.mid", "Small_song.mid", "MThd"),
    ],
)
def test_downloads(page, file, name, begin):
    page.run(f"(() => {{ {DOWNLOADED} }})()")
    page.press_button(f"[data-download='{file}']")
    page.wait_for("window.saved?.length === 1")
    assert page.run("savedAs") == name
    assert page.run("String.fromCharCode(...saved[0].subarray(0, 4))") == begin
    if begin == "RIFF":
        # All of it, though it was still being rendered: 44 bytes of header, 16 bits at 16 kHz.
        seconds = page.run("player.take().seconds")
        size = page.run("saved[0].length")
        assert size == pytest.approx(44 + 2 * 16_000 * seconds, abs=100)
    page.wait_for("document.querySelectorAll('[data-download]:disabled').length === 0")


@pytest.fixture
def phone(page):
    page.screen(375, 812, phone=True)
    yield page
    page.call("Emulation.clearDeviceMetricsOverride")
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_a_phone(phone):
    phone.press_button("#keyboard summary")
    phone.wait_for("player.window().seconds === 8")
    assert phone.run("document.documentElement.scrollWidth") == 375
    outside = phone.run(
        "[...document.querySelectorAll('button, select, input, summary, p, canvas')]"
        ".filter((e) => { const box = e.getBoundingClientRect();"
        "return box.width > 1 && (box.left < -1 || box.right > 376); }).map((e) => e.outerHTML)"
    )
    assert outside == []
    # Buttons are large enough for fingers.
    small = phone.run(
        "[...document.querySelectorAll('main button, main select, .top button')].filter((e) => {"
        "const box = e.getBoundingClientRect(); return box.height > 0 && box.height < 38; })"
        ".map((e) => e.outerHTML)"
    )
    assert small == []


def test_light_and_dark(page):
    def lightness(scheme):
        page.media(prefers_color_scheme=scheme)
        page.run("new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))")
        colors = page.run(
            "(() => { const style = getComputedStyle(document.body);"
            "const head = getComputedStyle(document.getElementById('playhead'));"
            "return [style.backgroundColor, style.color, head.backgroundColor]; })()"
        )
        return [sum(map(int, color[4:-1].split(","))) / 765 for color in colors]

    def brightest(selector):
        """The lightness of the brightest pixel of a lane's canvas."""
        return page.run(
            f"(() => {{ const c = document.querySelector('{selector} canvas');"
            "const data = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let best = 0; for (let k = 0; k < data.length; k += 4) if (data[k + 3] > 200)"
            "best = Math.max(best, data[k] + data[k + 1] + data[k + 2]); return best / 765; })()"
        )

    page.wait_for("player.complete()")
    back, text, head = lightness("light")
    assert back > 0.9 > 0.5 > text
    assert head == text
    light_notes = brightest("#rows")
    back, text, head = lightness("dark")
    assert back < 0.15 < 0.5 < text
    assert head == text
    # What is drawn turns with the page.
    assert brightest("#rows") > light_notes + 0.1
    page.media()


def test_pixels_of_the_spectrogram_are_where_sound_is_rendered(page):
    page.wait_for("player.complete()")
    page.run("new Promise((d) => requestAnimationFrame(() => requestAnimationFrame(d)))")
    lows, highs = page.run(
        "(() => { const c = document.querySelector('#spectrogram canvas');"
        "const { width, height } = c; const pen = c.getContext('2d');"
        "const sum = (y) => { const d = pen.getImageData(0, y, width, Math.round(height / 4)).data;"
        "let all = 0; for (let k = 0; k < d.length; k += 4) all += d[k] + d[k + 1] + d[k + 2];"
        "return all; };"
        "return [sum(Math.round(height * 0.75)), sum(0)]; })()"
    )
    # Piano and flute have their energy low, and low is at the bottom.
    assert lows > 1.2 * highs


def test_the_window_turns_pages_when_motion_is_not_wanted(page):
    page.media(prefers_reduced_motion="reduce")
    page.choose("#example", "greensleeves")
    page.wait_for("document.title.startsWith('Greensleeves') && player.renderedSeconds() > 24")
    page.seek(19.5)
    page.wait_for("player.window().start === 0")
    page.play_until(19.8)
    assert page.run("player.window().start") == 0
    page.wait_for("player.position() > 20.1 && player.window().start > 0")
    start = page.run("player.window().start")
    assert start == pytest.approx(19.0, abs=0.2)
    page.wait_for("player.position() > 20.5")
    assert page.run("player.window().start") == start
    page.media()
