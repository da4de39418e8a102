"""Rows rendered with another soundfont."""

import shutil

import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.prepare import soundfont
from spectrodiff.evaluation import yardstick
from spectrodiff.evaluation.protocol import EvaluationSong
from spectrodiff.evaluation.settings import Row
from spectrodiff.evaluation.yardstick import render_with_soundfont, with_soundfonts
from tests.support.notation import note_table

ROWS = [Row("model"), Row("other", "soundfont"), Row("raw", "raw")]


@pytest.fixture(autouse=True)
def forgetful():
    yardstick.renderer.cache_clear()
    yield
    yardstick.renderer.cache_clear()


def test_a_row_without_fluidsynth_is_left_out(monkeypatch, caplog):
    def missing():
        raise CorpusError("fluidsynth", "the program FluidSynth", "none")

    monkeypatch.setattr(soundfont, "find_fluidsynth", missing)
    assert with_soundfonts(ROWS) == [ROWS[0], ROWS[2]]
    assert "the row other is left out: fluidsynth: expected the program FluidSynth" in caplog.text


@pytest.mark.skipif(not shutil.which("fluidsynth"), reason="needs FluidSynth")
def test_the_default_is_another_soundfont_than_that_of_corpora(caplog):
    [model, other, raw] = with_soundfonts(ROWS)
    assert (model, raw) == (ROWS[0], ROWS[2])
    assert other.soundfont.endswith("TimGM6mb.sf2")
    notes = note_table([(0.5, 1.0, 69, 100, 73, False)], 2.0)
    recording = np.zeros(31_999, np.float32)
    recording[77] = -0.4
    song = EvaluationSong("one", recording, notes, notes)
    audio = render_with_soundfont(other.soundfont, song)
    assert audio.shape == (31_999,)
    assert np.abs(audio).max() == pytest.approx(0.4)
    # Silent before the onset, then a flute's A at 440 Hz.
    assert np.abs(audio[:7_900]).max() < 0.01 < np.abs(audio[9_000:15_000]).max()
    spectrum = np.abs(np.fft.rfft(audio[9_000:15_000] * np.hanning(6_000)))
    assert 16_000 / 6_000 * spectrum.argmax() == pytest.approx(440, abs=4)
    with pytest.raises(CorpusError, match=r"nowhere\.sf2"):
        render_with_soundfont("nowhere.sf2", song)
    assert with_soundfonts([Row("other", "soundfont", soundfont="nowhere.sf2")]) == []
    assert "the row other is left out: nowhere.sf2: expected a soundfont" in caplog.text
