"""Phases from the score: pitch, level, what stays as it is, and parts of songs."""

import itertools

import numpy as np
import pytest

import spectrodiff as sd
from spectrodiff.core.errors import AudioError
from spectrodiff.inverter import GriffinLim, InversionStream, ScorePhases, invert
from spectrodiff.inverter.score_phases import PHASE_REACH_FRAMES, with_phases_of
from spectrodiff.inverter.trained import trained_inverter
from spectrodiff.music.tones import play_tones
from tests.support.inverters import HissInverter, random_features, random_inverter
from tests.support.notation import note_table

RATE = 16_000
KEY = 43
HERTZ = 440 * 2 ** ((KEY - 69) / 12)  # 98 Hz
NOTE = note_table([(0.2, 2.5, KEY, 127, 0, False)], total_seconds=3.0)
INSIDE = slice(RATE // 2, 2 * RATE)


def log_mel(audio):
    return np.asarray(sd.log_mel(audio))


def harmonics(hertz, seconds=3, amplitude=0.05):
    times = np.arange(seconds * RATE) / RATE
    waves = [np.sin(2 * np.pi * hertz * n * times + n * n) / n for n in range(1, 70)]
    return (amplitude * np.sum(waves, axis=0)).astype(np.float32)


def cents(audio):
    """Error of the frequency near `HERTZ`, from the phases of two windows 10 ms apart."""
    window = np.hanning(RATE)
    first, second = (np.fft.rfft(window * audio[s : s + RATE]) for s in (RATE, RATE + 160))
    peak = 90 + int(np.abs(first[90:108]).argmax())
    turned = np.angle(second[peak] / first[peak]) - 2 * np.pi * peak * 0.01
    hertz = peak + (turned - 2 * np.pi * round(turned / (2 * np.pi))) / (2 * np.pi * 0.01)
    return 1200 * np.log2(hertz / HERTZ)


def distance(audio, features):
    """Mean difference of log-mel, away from the ends."""
    return float(np.abs(log_mel(audio) - features)[10:-10].mean())


def test_a_tone_that_is_out_of_tune_gets_its_pitch():
    # As inverters do that draw tones to multiples of 50 Hz.
    wrong = harmonics(100.0)
    features = log_mel(harmonics(HERTZ))
    tones = play_tones(note_table([(0.0, 3.0, KEY, 127, 0, False)]), 0, len(wrong))
    assert cents(wrong) == pytest.approx(35, abs=1)
    assert abs(cents(with_phases_of(tones, wrong, features))) < 0.5


def test_waves_are_those_of_the_tones():
    tones = play_tones(NOTE, 0, 3 * RATE)
    features = log_mel(0.1 * tones)
    audio = with_phases_of(tones, GriffinLim()(features), features)
    assert len(audio) == len(features) * 320
    assert audio.dtype == np.float32
    # A shift by a quarter of a period would leave no correlation.
    assert np.corrcoef(audio[INSIDE], tones[INSIDE])[0, 1] > 0.95


def test_levels_become_those_of_the_features():
    right = harmonics(HERTZ)
    features = log_mel(right)
    tones = play_tones(note_table([(0.0, 3.0, KEY, 127, 0, False)]), 0, len(right))
    # 6 dB too loud, and again as much from 1 kHz on.
    spectrum = np.fft.rfft(2 * right)
    spectrum[3000:] *= 2
    loud = np.fft.irfft(spectrum).astype(np.float32)
    assert distance(loud, features) > 1
    assert distance(with_phases_of(tones, loud, features), features) < 0.1


def test_without_tones_only_levels_change():
    rng = np.random.default_rng(0)
    noise = (0.05 * rng.normal(size=2 * RATE)).astype(np.float32)
    audio = with_phases_of(np.zeros_like(noise), noise, log_mel(noise))
    assert np.corrcoef(audio[INSIDE], noise[INSIDE])[0, 1] > 0.97


def test_noise_between_the_partials_stays():
    """Bins between partials of a high tone keep the phases of what else there is."""
    rng = np.random.default_rng(0)
    noise = (0.02 * rng.normal(size=2 * RATE)).astype(np.float32)
    times = np.arange(2 * RATE) / RATE
    tone = (0.1 * np.sin(2 * np.pi * 1760 * times)).astype(np.float32)
    mixed = noise + tone
    tones = play_tones(note_table([(0.0, 2.0, 93, 127, 0, False)]), 0, 2 * RATE)
    audio = with_phases_of(tones, mixed, log_mel(mixed))
    ours, theirs = (np.fft.rfft(signal[RATE // 2 : 3 * RATE // 2]) for signal in (audio, noise))
    between = slice(2300, 3000)  # in Hz; partials are at 1760 and 3520
    ours, theirs = ours[between], theirs[between]
    coherence = np.abs(np.vdot(ours, theirs)) / np.linalg.norm(ours) / np.linalg.norm(theirs)
    assert coherence > 0.95


def test_silence_stays_silent():
    features = np.full((20, 128), np.log(1e-5), np.float32)
    tones = play_tones(NOTE, 0, 20 * 320)
    assert not with_phases_of(tones, np.zeros(20 * 320, np.float32), features).any()


def test_the_reach_is_what_it_says():
    frames, changed = 40, 20
    rng = np.random.default_rng(0)
    audio = (0.1 * rng.normal(size=frames * 320)).astype(np.float32)
    tones, features = play_tones(NOTE, 3200, 3200 + len(audio)), log_mel(audio)
    before = with_phases_of(tones, audio, features)
    reached = np.zeros(frames, bool)
    for part in ("features", "audio"):
        other, others = audio.copy(), features.copy()
        if part == "audio":
            other[changed * 320 : (changed + 1) * 320] *= 3
        else:
            others[changed] += 1
        after = with_phases_of(tones, other, others)
        reached |= np.abs(after - before).reshape(frames, 320).max(axis=1) > 1e-6
    where = np.flatnonzero(reached)
    assert where[0] >= changed - PHASE_REACH_FRAMES
    assert where[-1] <= changed + PHASE_REACH_FRAMES
    assert where[-1] - where[0] >= 2 * (PHASE_REACH_FRAMES - 2)


SONG = note_table(
    [(0.11 * n, 0.11 * n + 0.5, 50 + n % 24, 60 + n, 0, n % 9 == 0) for n in range(60)]
)


@pytest.mark.parametrize("inner", [HissInverter(), trained_inverter(random_inverter("tiny"))])
@pytest.mark.parametrize("sizes", [[300], [128, 128, 44], [1] * 20 + [150], [5, 90, 6]])
def test_parts_are_one_pass(inner, sizes):
    inverter, features = ScorePhases(inner), random_features(sum(sizes)) - 3
    whole = with_phases_of(play_tones(SONG, 0, len(features) * 320), inner(features), features)
    stream = InversionStream(inverter)
    edges = np.cumsum([0, *sizes])
    parts = [stream.push(features[a:b], SONG) for a, b in itertools.pairwise(edges)]
    # Each frame as early as possible.
    for part, edge in zip(itertools.accumulate(map(len, parts)), edges[1:], strict=True):
        assert part == max(edge - inverter.reach_frames, 0) * 320
    audio = np.concatenate([*parts, stream.finish()])
    tolerance = 1e-4 * np.abs(whole).max()
    np.testing.assert_allclose(audio, whole, atol=tolerance)
    np.testing.assert_allclose(invert(inverter, features, 150, notes=SONG), whole,
                               atol=tolerance)  # fmt: skip


def test_notes_may_have_another_origin():
    features = random_features(150) - 3
    whole = invert(ScorePhases(HissInverter()), features, notes=SONG)
    stream = InversionStream(ScorePhases(HissInverter()))
    # The second part is told of notes from its beginning on, at 2 s.
    kept = SONG.select(SONG.offset_seconds > 1.9)
    columns = [kept.onset_seconds - 1, kept.offset_seconds - 1]
    later = note_table([
        (max(onset, 0.0), offset, *row)
        for onset, offset, *row in zip(
            *columns, kept.pitch, kept.velocity, kept.program, kept.is_drum, strict=True
        )
    ])  # fmt: skip
    parts = [
        stream.push(features[:100], SONG),
        stream.push(features[100:], later, origin_frame=50),
        stream.finish(),
    ]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-3 * np.abs(whole).max())


def test_a_copy_goes_on_by_itself():
    features = random_features(120) - 3
    whole = invert(ScorePhases(HissInverter()), features, notes=SONG)
    stream = InversionStream(ScorePhases(HissInverter()))
    begin = stream.push(features[:60], SONG)
    other = stream.copy()
    stream.push(features[60:] + 1, SONG)
    stream.finish()
    rest = [other.push(features[60:], SONG), other.finish()]
    np.testing.assert_array_equal(np.concatenate([begin, *rest]), whole)


def test_without_notes_there_are_no_tones():
    inner, features = HissInverter(), random_features(100) - 3
    inverter = ScorePhases(inner)
    assert inverter.name == "hiss with phases from the score"
    assert inverter.reach_frames == PHASE_REACH_FRAMES
    expected = with_phases_of(np.zeros(32_000, np.float32), inner(features), features)
    tolerance = 1e-4 * np.abs(expected).max()
    np.testing.assert_array_equal(inverter(features), expected)
    np.testing.assert_allclose(invert(inverter, features), expected, atol=tolerance)
    np.testing.assert_allclose(invert(inverter, features, 20), expected, atol=tolerance)
    # A part of a song whose notes are not known.
    stream = InversionStream(inverter)
    parts = [stream.push(features[:40], NOTE), stream.push(features[40:]), stream.finish()]
    end = slice((40 + PHASE_REACH_FRAMES) * 320, None)
    np.testing.assert_allclose(np.concatenate(parts)[end], expected[end], atol=tolerance)
    # Notes are nothing to an inverter that takes none.
    np.testing.assert_array_equal(invert(inner, features, notes=SONG), inner(features))


def test_bad_features():
    inverter = ScorePhases(HissInverter())
    with pytest.raises(AudioError, match="NaN or infinity"):
        inverter(np.full((3, 128), np.nan))
    with pytest.raises(AudioError, match="NaN or infinity"):
        invert(inverter, np.full((3, 128), np.nan), notes=NOTE)
