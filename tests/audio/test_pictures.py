import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from spectrodiff.audio.features import log_mel
from spectrodiff.audio.pictures import draw_spectrograms, write_bare_spectrogram, write_spectrogram
from spectrodiff.core.errors import AudioError, OutputError


def tone_log_mel(hz, seconds=2):
    return np.asarray(log_mel(np.sin(2 * np.pi * hz * np.arange(16_000 * seconds) / 16_000)))


@pytest.mark.parametrize("hz", [200, 1000, 4000])
def test_a_tone_is_drawn_at_the_tick_of_its_frequency(hz):
    mel = tone_log_mel(hz)
    axes = draw_spectrograms({"": mel}).axes[0]
    tick = dict(zip((t.get_text() for t in axes.get_yticklabels()), axes.get_yticks(), strict=True))
    drawn = axes.images[0].get_array()
    assert abs(drawn[:, 20].argmax() - tick[str(hz)]) <= 0.5
    assert axes.images[0].get_extent() == [0, 2.0, -0.5, 127.5]


def test_panels_share_one_time_axis_and_have_their_titles():
    figure = draw_spectrograms({"recording": tone_log_mel(300, 3), "model": tone_log_mel(300, 2)})
    first, second = figure.axes[:2]
    assert (first.get_title("left"), second.get_title("left")) == ("recording", "model")
    assert first.get_xlim() == second.get_xlim() == (0, 3)
    assert second.images[0].get_extent()[1] == 2
    assert (second.get_xlabel(), second.get_ylabel()) == ("time (s)", "frequency (Hz)")


def test_titles_are_names_of_files_rather_than_formulas(tmp_path):
    title = "a$^b\x1b]0;x\x07\n\u202ec$.mid"
    figure = draw_spectrograms({title: tone_log_mel(300)})
    assert figure.axes[0].get_title("left") == r"a$^b\x1b]0;x\x07\n\u202ec$.mid"
    write_spectrogram(tmp_path / "a.png", {title: tone_log_mel(300)}, dots_per_inch=50)


def test_picture_grows_with_length_and_panels_within_bounds(tmp_path):
    def size(name, features):
        write_spectrogram(tmp_path / name, features, dots_per_inch=50)
        height, width, _ = matplotlib.image.imread(tmp_path / name).shape
        return width, height

    short = size("short.png", np.zeros((1, 128)))
    song = size("song.png", np.zeros((1000, 128)))
    long = size("long.png", np.zeros((30_000, 128)))
    pair = size("pair.png", {"a": np.zeros((1, 128)), "b": np.zeros((1, 128))})
    assert short[0] < song[0] < long[0] <= 1200
    assert short[1] == song[1] == long[1] < pair[1]


def test_pyplot_is_not_touched(tmp_path):
    script = (
        "import sys, numpy as np; from spectrodiff.audio.pictures import write_spectrogram\n"
        "assert 'matplotlib' not in sys.modules\n"
        "write_spectrogram(sys.argv[1], np.zeros((9, 128)))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "a.png"], check=True)


def test_bad_features_and_names_leave_nothing(tmp_path):
    with pytest.raises(AudioError, match="second: expected frames of 128 mel bins"):
        write_spectrogram(tmp_path / "a.png", {"first": np.zeros((5, 128)), "second": np.zeros(5)})
    with pytest.raises(AudioError, match="NaN or infinity in frame 0"):
        write_spectrogram(tmp_path / "a.png", np.full((5, 128), np.nan))
    with pytest.raises(OutputError, match=r"a name ending in \.png, got '\.jpg'"):
        write_spectrogram(tmp_path / "a.jpg", np.zeros((5, 128)))
    assert not list(tmp_path.iterdir())


def test_a_bare_spectrogram_has_a_pixel_per_frame_and_keeps_short_sounds(tmp_path):
    silence = np.full((1000, 128), -9.0, np.float32)
    silence[737, 30] = 4.0

    def brightest(max_width):
        seconds = write_bare_spectrogram(tmp_path / "bare.png", silence, max_width)
        picture = matplotlib.image.imread(tmp_path / "bare.png")[..., :3].sum(axis=2)
        row, column = np.unravel_index(picture.argmax(), picture.shape)
        return seconds, picture.shape, 127 - row, column

    assert brightest(2400) == (20.0, (128, 1000), 30, 737)
    # Three frames per pixel: 334 pixels are 1002 frames, and frame 737 is in pixel 245.
    assert brightest(400) == (20.04, (128, 334), 30, 245)
    with pytest.raises(OutputError, match=r"a name ending in \.png"):
        write_bare_spectrogram(tmp_path / "bare.jpg", silence)


def test_the_color_range_of_a_bare_spectrogram_is_the_callers(tmp_path):
    def colors(log_range):
        ramp = np.tile(np.linspace(-6, 0, 7, dtype=np.float32)[:, np.newaxis], 128)
        write_bare_spectrogram(tmp_path / "bare.png", ramp, log_range=log_range)
        return matplotlib.image.imread(tmp_path / "bare.png")[0, :, :3].sum(axis=1)

    # Below and above the range all colors are alike; within it they grow.
    assert list(np.sign(np.diff(colors((-4.0, -2.0))))) == [0, 0, 1, 1, 0, 0]
    assert list(np.sign(np.diff(colors((-6.0, 0.0))))) == [1] * 6
    low, high = colors((-4.0, -2.0))[[0, -1]]
    assert (low, high) == tuple(colors((-6.0, 0.0))[[0, -1]])
