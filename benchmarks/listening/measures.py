"""Measures of the renderings of a source, compared with those of the reference."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.metrics.signal_distances import aligned_log_mel_l1, blockwise_log_mel
from spectrodiff.inverter import Inverter, invert
from spectrodiff.music.programs import SLAKH_CLASSES

from .joins import join_changes, join_ratio, level_jumps_db
from .levels import block_energies, evenness, frame_change, level_db, note_levels_db, silent_notes
from .onsets import NoteDetector, detect_hits, drum_hits, hit_windows, hits_f1
from .pitch import cents_off, frequency_hz, harmonic_tone
from .songs import CHORD_SECONDS, STRINGS, VELOCITIES, BenchSong, Form
from .sources import Renderings
from .statistics import Items, Statistic, as_items

Better = Literal["higher", "lower", "reference"]

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
        better: better values: "higher", "lower", or those closer to the reference's.
        statistic: statistic of the items that the value is; None for a value without items.
        items: numbers of each song, note, join or window of time, in the same order for all
            renderings.
    """

    group: str
    name: str
    unit: str
    value: float
    better: Better = "reference"
    statistic: Statistic | None = None
    items: Items = ()


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
        ours = _f1_of_songs(bench, renderings, group)
        theirs = _mean(_f1_of_songs(bench, bench.reference, group))
        of_features, of_audio = _distances(bench, renderings, group)
        values += [
            _mean_of_songs(group, "onset F1", ours, "higher"),
            _mean_of_songs(
                group, "onset F1 / FluidR3's", [_ratio(f1, theirs) for f1 in ours], "higher"
            ),
            _mean_of_songs(group, "log-mel L1 of the features", of_features, "lower"),
            _mean_of_songs(group, "log-mel L1 of the audio", of_audio, "lower"),
            _mean_of_songs(
                group,
                "change between frames / FluidR3's",
                _texture(bench, renderings, group),
                "reference",
            ),
        ]
    return values


def _mean_of_songs(group: str, name: str, of_songs: Sequence[float], better: Better) -> Value:
    return Value(group, name, "", _mean(of_songs), better, "mean", as_items(of_songs))


def _f1_of_songs(bench: Bench, renderings: Renderings, group: str) -> list[float]:
    return [
        bench.detector.agreement(song.notes, renderings[song.name].audio).f1
        for song in bench.group(group)
    ]


def _texture(bench: Bench, renderings: Renderings, group: str) -> list[float]:
    """Returns the change between frames of the features, relative to the reference's.

    L1 favors features that are too smooth; here they have less than 1.
    """
    return [
        _ratio(
            frame_change(renderings[song.name].log_mel),
            frame_change(bench.reference[song.name].log_mel),
        )
        for song in bench.group(group)
    ]


def _distances(bench: Bench, renderings: Renderings, group: str) -> tuple[list[float], list[float]]:
    """Returns the distances of the generated features of songs, and of those of the audio."""
    of_features, of_audio = [], []
    for song in bench.group(group):
        rendered, target = renderings[song.name], bench.reference[song.name].log_mel
        of_features.append(aligned_log_mel_l1(rendered.log_mel, target).whole)
        of_audio.append(aligned_log_mel_l1(blockwise_log_mel(rendered.audio), target).whole)
    return of_features, of_audio


def _velocity(bench: Bench, renderings: Renderings) -> list[Value]:
    levels = {v: level_db(renderings[f"velocity_{v}"].audio) for v in VELOCITIES}
    blocks = {v: block_energies(renderings[f"velocity_{v}"].audio) for v in VELOCITIES}
    return [
        Value(
            "velocity",
            f"{velocity} against 80",
            "dB",
            levels[velocity] - levels[80],
            "reference",
            "decibels",
            as_items(np.concatenate([blocks[velocity], blocks[80]], axis=1)),
        )
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
        levels: tuple[tuple[str, float, Better, Statistic], ...] = (
            ("level, median difference", level.offset_db, "reference", "median"),
            ("level apart from that, median", level.median_db, "lower", "centered median"),
            ("the same, 95th percentile", level.high_db, "lower", "centered 95th percentile"),
            ("the same, standard deviation", level.spread_db, "lower", "centered deviation"),
        )
        differences = as_items(ours - theirs)
        values += [
            Value(group, name, "dB", value, better, statistic, differences)
            for name, value, better, statistic in levels
        ]
        silent = as_items(silent_notes(ours, theirs))
        name = f"silent, of {len(ours)}"
        values.append(Value(group, name, "notes", float(level.silent), "lower", "sum", silent))
        own = np.concatenate([note_pitches(renderings[s.name].audio, s) for s in songs])
        right = np.concatenate([note_pitches(bench.reference[s.name].audio, s) for s in songs])
        values += _cents(group, "written pitch", own, "reference")
        values += _cents(group, "FluidR3's pitch", own - right, "lower")
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


def _cents(group: str, against: str, cents: np.ndarray, better: Better) -> list[Value]:
    measured = np.abs(cents[np.isfinite(cents)])
    # Percentiles of nothing are errors.
    median, high = np.percentile(measured, (50, 95)) if len(measured) else (np.nan, np.nan)
    found: tuple[tuple[str, float, Statistic], ...] = (
        ("median", float(median), "absolute median"),
        ("95th percentile", float(high), "absolute 95th percentile"),
    )
    return [
        Value(group, f"off {against}, {name}", "cents", value, better, statistic, as_items(cents))
        for name, value, statistic in found
    ]


def _unmeasurable(group: str, cents: np.ndarray, noun: str) -> Value:
    name = f"without a pitch near the {noun}'s, of {len(cents)}"
    missing = np.isnan(cents)
    return Value(group, name, f"{noun}s", float(missing.sum()), "lower", "sum", as_items(missing))


def _joins(bench: Bench, renderings: Renderings) -> list[Value]:
    rendered = [
        renderings[song.name] for song in (*bench.group("held back"), *bench.group("bands"))
    ]
    log_mels = {
        "features": [song.log_mel for song in rendered],
        "audio": [blockwise_log_mel(song.audio) for song in rendered],
    }
    ratios = [
        Value(
            "joins",
            f"change at joins / elsewhere of the {name}",
            "",
            join_ratio(features, bench.segment_frames),
            "reference",
            "double quotient",
            as_items(join_changes(features, bench.segment_frames)),
        )
        for name, features in log_mels.items()
    ]
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
        *ratios,
        Value("joins", f"{chord}, mean", "dB", _mean(jumps), "lower", "mean", as_items(jumps)),
        # Bootstrap intervals of a maximum are wrong, because no replicate exceeds it.
        Value("joins", f"{chord}, largest", "dB", largest, "lower"),
    ]


def _dense(bench: Bench, renderings: Renderings) -> list[Value]:
    values = []
    names = {"ten_voices": "ten voices", "fast": "240 bpm", "repeats": "10 repeats a second"}
    for song in bench.group("dense"):
        audio = renderings[song.name].audio
        ours = bench.detector.dense_recall(song.notes, audio)
        theirs = bench.detector.dense_recall(song.notes, bench.reference[song.name].audio)
        counts = bench.detector.dense_windows(song.notes, audio)[:, :2]
        label = f"{names[song.name]}: recall"
        for name, divisor in ((label, 1.0), (f"{label} / FluidR3's", theirs)):
            items = as_items(counts * (1.0, divisor))
            value = _ratio(ours, divisor)
            values.append(Value("dense music", name, "", value, "higher", "quotient", items))
    return values


def _drums(bench: Bench, renderings: Renderings) -> list[Value]:
    values = []
    for name, label in (("drums", "alone"), ("drums_and_piano", "beside a piano")):
        written, detected = drum_hits(bench.song(name).notes), detect_hits(renderings[name].audio)
        counts = hit_windows(written, detected)
        values.append(_f1(f"onset F1 of hits, {label}", hits_f1(written, detected), counts))
    for name, label in (("piano", "without drums"), ("drums_and_piano", "with drums")):
        notes, audio = bench.song(name).notes, renderings[name].audio
        agreement = bench.detector.agreement(notes, audio)
        counts = bench.detector.agreement_windows(notes, audio)
        values.append(_f1(f"onset F1 of the piano, {label}", agreement.f1, counts))
    return values


def _f1(name: str, value: float, counts: np.ndarray) -> Value:
    """Returns the F1 of a song with the counts of its windows, [windows, 3]."""
    items = np.stack([2 * counts[:, 0], counts[:, 1] + counts[:, 2]], axis=1)
    return Value("drums", name, "", value, "higher", "quotient", as_items(items))


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
        *_cents(group, "true pitch", found_cents, "lower"),
        _unmeasurable(group, found_cents, "tone"),
    ]


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs if theirs else float("nan")
