"""Stems of a song: one rendering per instrument, and their sum."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Unpack

import numpy as np

from spectrodiff.audio.loudness import integrated_loudness, limiter_gain
from spectrodiff.audio.samples import mix_audio, quantization_step, resample
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.diffusion.sampling import SamplingChanges
from spectrodiff.music.general_midi import short_names
from spectrodiff.music.known_instruments import adapt
from spectrodiff.music.notes import Notes
from spectrodiff.music.programs import map_program_numbers
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.parts import Song
from spectrodiff.synthesis.synthesizer import Synthesizer

DRUMS, MIX = "drums", "mix"


@dataclasses.dataclass(frozen=True, eq=False)
class Stem:
    """Notes of one instrument of a song.

    Attributes:
        name: of a file, such as "2_flute" or "drums"; unique in the song.
        program: program that the model renders it with; None for drums.
        notes: its notes; `total_seconds` is that of the song.
    """

    name: str
    program: int | None
    notes: Notes


@dataclasses.dataclass(frozen=True, eq=False)
class SplitSong:
    """A song and its stems, ready to be rendered.

    Attributes:
        names: name of each stem, such as "2_flute" or "drums".
        stems: tokens of each stem.
        whole: tokens of the song.
    """

    names: tuple[str, ...]
    stems: tuple[SongTokens, ...]
    whole: SongTokens

    @property
    def tokens(self) -> tuple[SongTokens, ...]:
        """Everything that is rendered; a single stem is the whole song."""
        return self.stems if len(self.stems) == 1 else (*self.stems, self.whole)


@dataclasses.dataclass(frozen=True, eq=False)
class RenderedStems:
    """Rendered stems of a song, as loud together as the song rendered at once.

    Attributes:
        names: name of each stem, such as "2_flute" or "drums".
        stems: rendering of each stem, all of the same length. The audio includes the gain.
        gain: common factor of all stems by which their sum has the loudness of the song rendered at
            once.
    """

    names: tuple[str, ...]
    stems: tuple[Song, ...]
    gain: float

    @property
    def mix(self) -> np.ndarray:
        """Sum of the stems, float32 [samples]; may exceed [-1, 1]."""
        return mix_audio([song.audio for song in self.stems])

    def tracks(
        self,
        gain: float = 1.0,
        *,
        peak: float = 1.0,
        sample_rate: int = SAMPLE_RATE,
        bits: int = 16,
    ) -> "Tracks":
        """Returns the stems as they are stored, then "mix", which is their sum to the bit.

        Where the mix or a stem exceeds the peak, a limiter reduces the gain of all stems alike, so
        that they still add up. Stems are rounded to what the file format can hold before they are
        added up, so that nothing is rounded in the sum.

        Args:
            gain: common factor.
            peak: largest magnitude, above 0 and up to 1.
            sample_rate: sample rate in Hz.
            bits: bits per sample: 16, 24, or 32 for floating point.

        Returns:
            Name and samples of each stem and of the mix, and what the limiter did.
        """
        stems = [gain * resample(song.audio, SAMPLE_RATE, sample_rate) for song in self.stems]
        magnitude = np.abs(np.sum(stems, axis=0, dtype=np.float64))
        for stem in stems:
            np.maximum(magnitude, np.abs(stem), out=magnitude)
        step = quantization_step(bits)
        highest = min(peak, 1.0 if bits == 32 else 1.0 - step)
        # Each stem is rounded by up to half a step.
        highest -= (len(stems) / 2 + 1) * step
        curve = limiter_gain(magnitude, sample_rate, highest)
        reduction = 0.0 if curve is None else -20 * float(np.log10(curve.min()))
        # A multiple of the step in [-1, 1] fits in float32, and any sum of them in float64.
        scale = (1.0 if curve is None else curve) / step
        rounded = [np.rint(stem.astype(np.float64) * scale) * step for stem in stems]
        named = zip(self.names, (stem.astype(np.float32) for stem in rounded), strict=True)
        mix = np.sum(rounded, axis=0).astype(np.float32)
        return Tracks((*named, (MIX, mix)), reduction)


class Tracks(NamedTuple):
    """Stems and mix as they are stored.

    Attributes:
        audio: name and float32 [samples] of each; the last is "mix".
        reduction: decibels that the limiter reduced the gain by where it did most.
    """

    audio: tuple[tuple[str, np.ndarray], ...]
    reduction: float


def split(notes: Notes, synth: Synthesizer) -> list[Stem]:
    """Splits a song by instrument as a model renders it.

    Programs are mapped and unknown instruments replaced first, so that parts that sound alike are
    one stem. All drums are one stem, the last.

    Args:
        notes: the song.
        synth: model that will render it.

    Raises:
        MidiError: if the model can render none of the notes.
    """
    known = synth.tokenization
    notes = adapt(notes, known, model=synth.name).notes
    program = map_program_numbers(notes.program, known.program_map)
    programs = np.unique(program[~notes.is_drum]).tolist()
    words = short_names(known.programs or programs)
    digits = len(str(len(programs)))
    stems = []
    for number, chosen in enumerate(programs, start=1):
        name = f"{number:0{digits}d}_{_safe(words[chosen])}"
        stems.append(Stem(name, chosen, notes.select(~notes.is_drum & (program == chosen))))
    if notes.is_drum.any():
        stems.append(Stem(DRUMS, None, notes.select(notes.is_drum)))
    return stems


def split_tokens(
    notes: Notes, whole: SongTokens, synth: Synthesizer, *, strict: bool = False, name: str = "song"
) -> SplitSong:
    """Returns the tokens of the stems of a song.

    Args:
        notes: the song.
        whole: result of `synth.tokenize` for it.
        synth: model that will render it.
        strict: refuse a stem with too many notes in a segment instead of leaving some out.
        name: of the song in messages.

    Raises:
        MidiError: if `strict` and a segment has too many tokens.
    """
    stems = split(notes, synth)
    names = tuple(stem.name for stem in stems)
    if len(stems) == 1:
        return SplitSong(names, (whole,), whole)
    tokens = [
        synth.tokenize(
            stem.notes, strict=strict, name=f"{name}, {stem.name}", overlap=whole.overlap
        )
        for stem in stems
    ]
    return SplitSong(names, tuple(tokens), whole)


def render_stems(
    synth: Synthesizer,
    notes: Notes,
    *,
    seed: int = 0,
    strict: bool = False,
    batch_size: int = 8,
    progress: bool = False,
    on_steps: Callable[[int], None] | None = None,
    **sampling: Unpack[SamplingChanges],
) -> RenderedStems:
    """Renders the stems of a song, and the song at once, whose loudness their sum gets.

    Args:
        synth: the model.
        notes: the song.
        seed: seed of the noise; that of a stem depends on it and the tokens of the stem.
        strict: refuse a song with too many notes in a segment instead of leaving some out.
        batch_size: number of stems that are rendered side by side.
        progress: show the progress.
        on_steps: see `Synthesizer.render_each`.
        **sampling: see `Synthesizer.render_each`.

    Returns:
        The stems, all as long as the song.

    Raises:
        MidiError: if the song has no notes that the model can render.
        ConfigError: if a setting is impossible.
    """
    whole = synth.tokenize(notes, strict=strict, overlap=sampling.get("overlap"))
    song = split_tokens(notes, whole, synth, strict=strict)
    rendered = render_stems_each(
        synth,
        [song],
        seed=seed,
        batch_size=batch_size,
        progress=progress,
        on_steps=on_steps,
        **sampling,
    )
    return dict(rendered)[0]


def render_stems_each(
    synth: Synthesizer,
    songs: Sequence[SplitSong],
    *,
    seed: int = 0,
    batch_size: int = 8,
    progress: bool = False,
    on_steps: Callable[[int], None] | None = None,
    **sampling: Unpack[SamplingChanges],
) -> Iterator[tuple[int, RenderedStems]]:
    """Renders the stems of songs, all of them side by side as songs of a batch.

    Args:
        synth: the model.
        songs: results of `split_tokens`.
        seed: seed of the noise.
        batch_size: number of stems that are rendered side by side.
        progress: show the progress.
        on_steps: see `Synthesizer.render_each`.
        **sampling: see `Synthesizer.render_each`.

    Yields:
        The number and the stems of each song, as soon as it is done.
    """
    # Of each rendering, the song and the place among its stems.
    places = [(song, place) for song in range(len(songs)) for place in range(_count(songs[song]))]
    done: list[dict[int, Song]] = [{} for _ in songs]
    rendered = synth.render_each(
        [tokens for song in songs for tokens in song.tokens],
        seed=seed,
        batch_size=batch_size,
        progress=progress,
        on_steps=on_steps,
        **sampling,
    )
    for number, audio in rendered:
        song, place = places[number]
        done[song][place] = audio
        if len(done[song]) == _count(songs[song]):
            yield song, _balanced(songs[song].names, done[song])
            done[song].clear()


def _count(song: SplitSong) -> int:
    return len(song.tokens)


def _balanced(names: tuple[str, ...], done: dict[int, Song]) -> RenderedStems:
    """Gives stems the gain by which their sum is as loud as the whole song, rendered last."""
    stems = RenderedStems(names, tuple(done[place] for place in range(len(names))), gain=1.0)
    wanted = integrated_loudness(done[len(done) - 1].audio, SAMPLE_RATE)
    measured = integrated_loudness(stems.mix, SAMPLE_RATE)
    if len(names) == 1 or not np.isfinite(wanted - measured):
        return stems  # without a measurable loudness there is nothing to match
    gain = 10 ** ((wanted - measured) / 20)
    songs = [
        dataclasses.replace(song, audio=(gain * song.audio).astype(np.float32))
        for song in stems.stems
    ]
    return RenderedStems(names, tuple(songs), gain)


def _safe(name: str) -> str:
    """Replaces all characters of a name that are not letters or digits, for file names."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
