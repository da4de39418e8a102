"""Measures of the renderings of a source, compared with those of the reference."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.metrics.signal_distances import aligned_log_mel_l1, blockwise_log_mel
from spectrodiff.inverter import Inverter, invert
from spectrodiff.music.programs import SLAKH_CLASSES

from .joins import join_ratio, level_jumps_db
from .levels import evenness, level_db, note_levels_db
from .onsets import NoteDetector, detect_hits, drum_hits, hits_f1
from .pitch import cents_off, frequency_hz, harmonic_tone
from .songs import CHORD_SECONDS, STRINGS, VELOCITIES, BenchSong, Form
from .sources import Renderings

# Excerpt of a note whose pitch is measured: after the attack, half a second.
PITCH_BEGIN_SECONDS, PITCH_SECONDS = 0.25, 0.5
# Length of steady tones, and range of their fundamentals.
TONE_SECONDS = 1.0
TONE_HZ = (40.0, 2000.0)
_CHORD_MARGIN_SECONDS = 0.3  # for the attack and the release


@dataclasses.dataclass(frozen=True)
class Value:
    """A measured number.

    Attributes:
        group: of related measures.
        name: of the measure.
        unit: of the number, "" for none.
        value: NaN if it could not be measured.
    """

    group: str
    name: str
    unit: str
    value: float


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """Inputs that all measures share: songs, their reference renderings, a note detector."""

    form: Form
    songs: Sequence[BenchSong]
    reference: Renderings
    detector: NoteDetector
    segment_frames: int

    def group(self, name: str) -> list[BenchSong]:
        """Returns the songs of a group."""
        return [song for song in self.songs if song.group == name]

    def song(self, name: str) -> BenchSong:
        """Returns the song of that name."""
        return next(song for song in self.songs if song.name == name)


def measure(bench: Bench, renderings: Renderings) -> list[Value]:
    """Computes all measures; the reference itself has perfect values."""
    parts: tuple[Callable[[Bench, Renderings], list[Value]], ...] = (
        _music,
        _velocity,
        _single_notes,
        _joins,
        _dense,
        _drums,
        _peak,
    )
    return [value for part in parts for value in part(bench, renderings)]


def _music(bench: Bench, renderings: Renderings) -> list[Value]:
    values = []
    for group in ("held back", "bands"):
        ours = _mean_f1(bench, renderings, group)
        theirs = _mean_f1(bench, bench.reference, group)
        of_features, of_audio = _distances(bench, renderings, group)
        values += [
            Value(group, "onset F1", "", ours),
            Value(group, "onset F1 / FluidR3's", "", _ratio(ours, theirs)),
            Value(group, "log-mel L1 of the features", "", of_features),
            Value(group, "log-mel L1 of the audio", "", of_audio),
        ]
    return values


def _mean_f1(bench: Bench, renderings: Renderings, group: str) -> float:
    return _mean(
        [
            bench.detector.agreement(song.notes, renderings[song.name].audio).f1
            for song in bench.group(group)
        ]
    )


def _distances(bench: Bench, renderings: Renderings, group: str) -> tuple[float, float]:
    """Returns the mean distances of the generated features and of those of the audio."""
    of_features, of_audio = [], []
    for song in bench.group(group):
        rendered, target = renderings[song.name], bench.reference[song.name].log_mel
        of_features.append(aligned_log_mel_l1(rendered.log_mel, target).whole)
        of_audio.append(aligned_log_mel_l1(blockwise_log_mel(rendered.audio), target).whole)
    return _mean(of_features), _mean(of_audio)


def _velocity(bench: Bench, renderings: Renderings) -> list[Value]:
    levels = {v: level_db(renderings[f"velocity_{v}"].audio) for v in VELOCITIES}
    return [
        Value("velocity", f"{velocity} against 80", "dB", levels[velocity] - levels[80])
        for velocity in VELOCITIES
        if velocity != 80
    ]


def _single_notes(bench: Bench, renderings: Renderings) -> list[Value]:
    values = []
    for program in bench.form.keyboards:
        songs = [song for song in bench.group("notes") if song.notes.program[0] == program]
        group = f"notes of {SLAKH_CLASSES[program].lower()}"
        ours = np.concatenate(
            [note_levels_db(renderings[song.name].audio, song.notes) for song in songs]
        )
        theirs = np.concatenate(
            [note_levels_db(bench.reference[song.name].audio, song.notes) for song in songs]
        )
        level = evenness(ours, theirs)
        values += [
            Value(group, "level, median difference", "dB", level.offset_db),
            Value(group, "level apart from that, median", "dB", level.median_db),
            Value(group, "the same, 95th percentile", "dB", level.high_db),
            Value(group, "the same, standard deviation", "dB", level.spread_db),
            Value(group, f"silent, of {len(ours)}", "notes", float(level.silent)),
        ]
        own = np.concatenate([note_pitches(renderings[s.name].audio, s) for s in songs])
        right = np.concatenate([note_pitches(bench.reference[s.name].audio, s) for s in songs])
        values += _cents(group, "written pitch", own)
        values += _cents(group, "FluidR3's pitch", own - right)
        values.append(_unmeasurable(group, own, "note"))
    return values


def note_pitches(audio: np.ndarray, song: BenchSong) -> np.ndarray:
    """Returns the deviations of notes from their written pitch, in cents; NaN if unmeasurable."""
    samples = round(PITCH_SECONDS * SAMPLE_RATE)
    cents = []
    for onset, pitch in zip(song.notes.onset_seconds, song.notes.pitch, strict=True):
        start = round((onset + PITCH_BEGIN_SECONDS) * SAMPLE_RATE)
        found = cents_off(audio[start : start + samples], float(frequency_hz(pitch)))
        cents.append(np.nan if found is None else found)
    return np.array(cents)


def _cents(group: str, against: str, cents: np.ndarray) -> list[Value]:
    measured = np.abs(cents[np.isfinite(cents)])
    # Percentiles of nothing are errors.
    median, high = np.percentile(measured, (50, 95)) if len(measured) else (np.nan, np.nan)
    return [
        Value(group, f"off {against}, median", "cents", float(median)),
        Value(group, f"off {against}, 95th percentile", "cents", float(high)),
    ]


def _unmeasurable(group: str, cents: np.ndarray, noun: str) -> Value:
    name = f"without a pitch near the {noun}'s, of {len(cents)}"
    return Value(group, name, f"{noun}s", float(np.isnan(cents).sum()))


def _joins(bench: Bench, renderings: Renderings) -> list[Value]:
    rendered = [
        renderings[song.name] for song in (*bench.group("held back"), *bench.group("bands"))
    ]
    of_features = join_ratio([song.log_mel for song in rendered], bench.segment_frames)
    of_audio = join_ratio(
        [blockwise_log_mel(song.audio) for song in rendered], bench.segment_frames
    )
    begin, end = CHORD_SECONDS
    jumps = np.abs(
        level_jumps_db(
            renderings["chord"].audio,
            bench.segment_frames,
            begin + _CHORD_MARGIN_SECONDS,
            end - _CHORD_MARGIN_SECONDS,
        )
    )
    chord = f"{SLAKH_CLASSES[STRINGS].lower()} chord, level jump"
    largest = float(jumps.max()) if len(jumps) else np.nan
    return [
        Value("joins", "change at joins / elsewhere of the features", "", of_features),
        Value("joins", "change at joins / elsewhere of the audio", "", of_audio),
        Value("joins", f"{chord}, mean", "dB", _mean(jumps)),
        Value("joins", f"{chord}, largest", "dB", largest),
    ]


def _dense(bench: Bench, renderings: Renderings) -> list[Value]:
    values = []
    names = {"ten_voices": "ten voices", "fast": "240 bpm", "repeats": "10 repeats a second"}
    for song in bench.group("dense"):
        ours = bench.detector.dense_recall(song.notes, renderings[song.name].audio)
        theirs = bench.detector.dense_recall(song.notes, bench.reference[song.name].audio)
        label = f"{names[song.name]}: recall"
        values.append(Value("dense music", label, "", ours))
        values.append(Value("dense music", f"{label} / FluidR3's", "", _ratio(ours, theirs)))
    return values


def _drums(bench: Bench, renderings: Renderings) -> list[Value]:
    values = []
    for name, label in (("drums", "alone"), ("drums_and_piano", "beside a piano")):
        f1 = hits_f1(drum_hits(bench.song(name).notes), detect_hits(renderings[name].audio))
        values.append(Value("drums", f"onset F1 of hits, {label}", "", f1))
    for name, label in (("piano", "without drums"), ("drums_and_piano", "with drums")):
        agreement = bench.detector.agreement(bench.song(name).notes, renderings[name].audio)
        values.append(Value("drums", f"onset F1 of the piano, {label}", "", agreement.f1))
    return values


def _peak(bench: Bench, renderings: Renderings) -> list[Value]:
    peak = max(float(np.abs(renderings[song.name].audio).max()) for song in bench.songs)
    return [Value("peak", "largest sample before clipping", "", peak)]


def steady_tones(inverter: Inverter, num_tones: int) -> list[Value]:
    """Measures the pitch errors of an inverter on the true features of tones of known pitch."""
    samples = round(PITCH_SECONDS * SAMPLE_RATE)
    start = round(PITCH_BEGIN_SECONDS * SAMPLE_RATE)
    cents = []
    for number, hertz in enumerate(np.geomspace(*TONE_HZ, num_tones)):
        tone = harmonic_tone(float(hertz), TONE_SECONDS, seed=number)
        audio = invert(inverter, blockwise_log_mel(tone))
        found = cents_off(audio[start : start + samples], float(hertz))
        cents.append(np.nan if found is None else found)
    group, found_cents = "steady tones", np.array(cents)
    return [
        *_cents(group, "true pitch", found_cents),
        _unmeasurable(group, found_cents, "tone"),
    ]


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else float("nan")
