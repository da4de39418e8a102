"""Every measure of one rendering beside the reference's."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.evaluation.metrics.signal_distances import blockwise_log_mel
from spectrodiff.inverter import Inverter, invert
from spectrodiff.music.programs import SLAKH_CLASSES

from .joins import join_ratio, level_jumps_db
from .levels import aligned_l1, evenness, level_db, note_levels_db
from .onsets import Listener, drum_hits, hits_f1, hits_heard
from .pitch import cents_off, frequency_hz, harmonic_tone
from .programme import CHORD_SECONDS, STRINGS, VELOCITIES, Form, Piece
from .sources import Rendering

# Where in a note its pitch is measured: behind the attack, half a second.
PITCH_BEGIN_SECONDS, PITCH_SECONDS = 0.25, 0.5
# Steady tones: as long as a note, at the fundamentals between these.
TONE_SECONDS = 1.0
TONE_HZ = (40.0, 2000.0)
_CHORD_MARGIN_SECONDS = 0.3  # attack and release are no jumps


@dataclasses.dataclass(frozen=True)
class Value:
    """A measured number.

    Attributes:
        group: what it is about.
        name: what it is.
        unit: of the number, "" for none.
        value: NaN where nothing could be measured.
    """

    group: str
    name: str
    unit: str
    value: float


@dataclasses.dataclass(frozen=True, eq=False)
class Bench:
    """Shared inputs of all measures: pieces, the reference's sounds, and transcribers."""

    form: Form
    pieces: Sequence[Piece]
    reference: Rendering
    listener: Listener
    segment_frames: int

    def group(self, name: str) -> list[Piece]:
        """The pieces of a group."""
        return [piece for piece in self.pieces if piece.group == name]

    def piece(self, name: str) -> Piece:
        """The piece of that name."""
        return next(piece for piece in self.pieces if piece.name == name)


def measure(bench: Bench, rendering: Rendering) -> list[Value]:
    """All measures of a rendering; those of the reference itself come out perfect."""
    parts: tuple[Callable[[Bench, Rendering], list[Value]], ...] = (
        _music,
        _velocity,
        _single_notes,
        _joins,
        _dense,
        _drums,
        _peak,
    )
    return [value for part in parts for value in part(bench, rendering)]


def _music(bench: Bench, rendering: Rendering) -> list[Value]:
    values = []
    for group in ("held back", "bands"):
        ours = _mean_f1(bench, rendering, group)
        theirs = _mean_f1(bench, bench.reference, group)
        drawn, heard = _distances(bench, rendering, group)
        values += [
            Value(group, "onset F1", "", ours),
            Value(group, "onset F1 / FluidR3's", "", _ratio(ours, theirs)),
            Value(group, "log-mel L1, as drawn", "", drawn),
            Value(group, "log-mel L1, as heard", "", heard),
        ]
    return values


def _mean_f1(bench: Bench, rendering: Rendering, group: str) -> float:
    return _mean(
        [
            bench.listener.agreement(piece.notes, rendering[piece.name].audio).f1
            for piece in bench.group(group)
        ]
    )


def _distances(bench: Bench, rendering: Rendering, group: str) -> tuple[float, float]:
    """Mean distances of the features that were drawn, and of those of the audio."""
    drawn, heard = [], []
    for piece in bench.group(group):
        sound, target = rendering[piece.name], bench.reference[piece.name].log_mel
        drawn.append(aligned_l1(sound.log_mel, target))
        heard.append(aligned_l1(blockwise_log_mel(sound.audio), target))
    return _mean(drawn), _mean(heard)


def _velocity(bench: Bench, rendering: Rendering) -> list[Value]:
    levels = {v: level_db(rendering[f"velocity_{v}"].audio) for v in VELOCITIES}
    return [
        Value("velocity", f"{velocity} against 80", "dB", levels[velocity] - levels[80])
        for velocity in VELOCITIES
        if velocity != 80
    ]


def _single_notes(bench: Bench, rendering: Rendering) -> list[Value]:
    values = []
    for program in bench.form.keyboards:
        pieces = [piece for piece in bench.group("notes") if piece.notes.program[0] == program]
        group = f"notes of {SLAKH_CLASSES[program].lower()}"
        ours = np.concatenate(
            [note_levels_db(rendering[piece.name].audio, piece.notes) for piece in pieces]
        )
        theirs = np.concatenate(
            [note_levels_db(bench.reference[piece.name].audio, piece.notes) for piece in pieces]
        )
        level = evenness(ours, theirs)
        values += [
            Value(group, "level, median difference", "dB", level.offset_db),
            Value(group, "level apart from that, median", "dB", level.median_db),
            Value(group, "the same, 95th percentile", "dB", level.high_db),
            Value(group, "the same, standard deviation", "dB", level.spread_db),
            Value(group, f"silent, of {len(ours)}", "notes", float(level.silent)),
        ]
        own = np.concatenate([note_pitches(rendering[p.name].audio, p) for p in pieces])
        right = np.concatenate([note_pitches(bench.reference[p.name].audio, p) for p in pieces])
        values += _cents(group, "written pitch", own)
        values += _cents(group, "FluidR3's pitch", own - right)
        values.append(_unmeasurable(group, own, "note"))
    return values


def note_pitches(audio: np.ndarray, piece: Piece) -> np.ndarray:
    """Deviation of each note from its written pitch, in cents, [n]; NaN where unmeasurable."""
    samples = round(PITCH_SECONDS * SAMPLE_RATE)
    cents = []
    for onset, pitch in zip(piece.notes.onset_seconds, piece.notes.pitch, strict=True):
        start = round((onset + PITCH_BEGIN_SECONDS) * SAMPLE_RATE)
        found = cents_off(audio[start : start + samples], float(frequency_hz(pitch)))
        cents.append(np.nan if found is None else found)
    return np.array(cents)


def _cents(group: str, against: str, cents: np.ndarray) -> list[Value]:
    measured = np.abs(cents[np.isfinite(cents)])
    # Without any there is no median.
    median, high = np.percentile(measured, (50, 95)) if len(measured) else (np.nan, np.nan)
    return [
        Value(group, f"off {against}, median", "cents", float(median)),
        Value(group, f"off {against}, 95th percentile", "cents", float(high)),
    ]


def _unmeasurable(group: str, cents: np.ndarray, noun: str) -> Value:
    name = f"without a pitch near the {noun}'s, of {len(cents)}"
    return Value(group, name, f"{noun}s", float(np.isnan(cents).sum()))


def _joins(bench: Bench, rendering: Rendering) -> list[Value]:
    names = [piece.name for piece in (*bench.group("held back"), *bench.group("bands"))]
    drawn = join_ratio([rendering[name].log_mel for name in names], bench.segment_frames)
    heard = join_ratio(
        [blockwise_log_mel(rendering[name].audio) for name in names], bench.segment_frames
    )
    begin, end = CHORD_SECONDS
    jumps = np.abs(
        level_jumps_db(
            rendering["chord"].audio,
            bench.segment_frames,
            begin + _CHORD_MARGIN_SECONDS,
            end - _CHORD_MARGIN_SECONDS,
        )
    )
    chord = f"{SLAKH_CLASSES[STRINGS].lower()} chord, level jump"
    return [
        Value("joins", "change at joins / elsewhere, as drawn", "", drawn),
        Value("joins", "change at joins / elsewhere, as heard", "", heard),
        Value("joins", f"{chord}, mean", "dB", _mean(jumps)),
        Value("joins", f"{chord}, largest", "dB", float(jumps.max()) if len(jumps) else np.nan),
    ]


def _dense(bench: Bench, rendering: Rendering) -> list[Value]:
    values = []
    names = {"ten_voices": "ten voices", "fast": "240 bpm", "repeats": "10 repeats a second"}
    for piece in bench.group("dense"):
        ours = bench.listener.dense_recall(piece.notes, rendering[piece.name].audio)
        theirs = bench.listener.dense_recall(piece.notes, bench.reference[piece.name].audio)
        label = f"{names[piece.name]}: recall"
        values.append(Value("dense music", label, "", ours))
        values.append(Value("dense music", f"{label} / FluidR3's", "", _ratio(ours, theirs)))
    return values


def _drums(bench: Bench, rendering: Rendering) -> list[Value]:
    values = []
    for name, label in (("drums", "alone"), ("drums_and_piano", "beside a piano")):
        written = drum_hits(bench.piece(name).notes)
        heard = hits_heard(rendering[name].audio)
        values.append(Value("drums", f"onset F1 of hits, {label}", "", hits_f1(written, heard)))
    for name, label in (("piano", "without drums"), ("drums_and_piano", "with drums")):
        agreement = bench.listener.agreement(bench.piece(name).notes, rendering[name].audio)
        values.append(Value("drums", f"onset F1 of the piano, {label}", "", agreement.f1))
    return values


def _peak(bench: Bench, rendering: Rendering) -> list[Value]:
    peak = max(float(np.abs(rendering[piece.name].audio).max()) for piece in bench.pieces)
    return [Value("peak", "largest sample before clipping", "", peak)]


def steady_tones(inverter: Inverter, num_tones: int) -> list[Value]:
    """Pitch errors of an inverter on the true features of tones of known pitch."""
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
