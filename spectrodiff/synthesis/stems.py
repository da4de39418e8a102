"""Stems: the instruments of a song, rendered apart, that add up to its mix."""

import dataclasses
import re
from collections.abc import Sequence
from typing import NamedTuple, Unpack

import numpy as np

from spectrodiff.audio.encoding import resample
from spectrodiff.audio.loudness import gain_to, integrated_loudness
from spectrodiff.audio.samples import mix_audio, peak_of, quantize
from spectrodiff.core.errors import MidiError
from spectrodiff.diffusion.sampling import SamplingChanges
from spectrodiff.music.general_midi import PROGRAM_NAMES
from spectrodiff.music.known_instruments import adapt
from spectrodiff.music.notes import Notes
from spectrodiff.music.tokenizer import tokenize_adapted
from spectrodiff.synthesis.synthesizer import Synthesizer

MIX = "mix"


class Stem(NamedTuple):
    """Audio of one instrument.

    Attributes:
        name: of the instrument, with a number, for files: "1_piano", "4_drums"; or "mix".
        audio: float32 [samples of the song].
    """

    name: str
    audio: np.ndarray


@dataclasses.dataclass(frozen=True)
class Stems:
    """Instruments of a song, rendered apart.

    Attributes:
        stems: an instrument each, as long as the song.
        sample_rate: in Hz.
        gain: factor, already applied to all stems, that makes their sum as loud as the song
            rendered at once.
    """

    stems: tuple[Stem, ...]
    sample_rate: int
    gain: float


def split(notes: Notes) -> list[tuple[str, Notes]]:
    """Returns names and notes of a song's instruments: by program, drums last."""
    instrument = np.where(notes.is_drum, len(PROGRAM_NAMES), notes.program)
    parts = []
    for number, program in enumerate(np.unique(instrument).tolist(), 1):
        name = (*PROGRAM_NAMES, "drums")[program]
        safe = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        parts.append((f"{number}_{safe}", notes.select(instrument == program)))
    return parts


def render_stems(
    synth: Synthesizer,
    notes: Notes,
    *,
    name: str = "song",
    seed: int = 0,
    batch_size: int = 8,
    progress: bool = False,
    **sampling: Unpack[SamplingChanges],
) -> Stems:
    """Renders each instrument of a song apart, side by side.

    An instrument is one of the song, also where the model replaces several by the same. Apart, a
    model renders instruments louder or softer than together; therefore the song is also rendered at
    once, and all stems get one gain that makes their sum as loud.

    Args:
        synth: the model.
        notes: the song.
        name: of the song, for messages.
        seed: of the randomness.
        batch_size: number of instruments per batch.
        progress: show a progress bar.
        **sampling: as in `Synthesizer.render_each`.

    Raises:
        MidiError: if the model can render none of the notes.
        ConfigError: if a setting is impossible.
    """
    whole = synth.tokenize(notes, name=name)
    known, config = synth.tokenization, synth.config
    # Replaced as in the whole song.
    replaced = adapt(notes, known).replacements
    chosen = {replacement.program: replacement.replaced_by for replacement in replaced}
    names, tokens = [], [whole]
    for part, own in split(notes):
        adapted = adapt(own, known, chosen=chosen, strict=False).notes
        if len(adapted):
            names.append(part)
            tokens.append(
                tokenize_adapted(adapted, known, config.note_tokens, config.target_frames)
            )
    if not names:
        raise MidiError(name, "notes that the model can render", "none")
    if len(names) == 1:
        tokens = tokens[:1]
    songs = synth.render_many(
        tokens, seed=seed, batch_size=batch_size, progress=progress, **sampling
    )
    together, *apart = [song.audio for song in songs]
    apart = apart or [together]
    rate = songs[0].sample_rate
    gain = loudness_gain(mix_audio(apart), together, rate)
    stems = (Stem(part, gain * audio) for part, audio in zip(names, apart, strict=True))
    return Stems(tuple(stems), rate, gain)


def loudness_gain(audio: np.ndarray, reference: np.ndarray, sample_rate: int) -> float:
    """Returns the factor that makes audio as loud as a reference; 1 if one of them is silent."""
    loudness = integrated_loudness(reference, sample_rate)
    if not np.isfinite(loudness):
        return 1.0
    return gain_to([audio], sample_rate, loudness) if np.abs(audio).max(initial=0) else 1.0


def mix_down(
    stems: Stems,
    *,
    sample_rate: int,
    bits: int = 16,
    lufs: float | None = None,
    peak: float = 1.0,
) -> tuple[Sequence[Stem], float]:
    """Returns stems as they are written, and their exact sum as the last one.

    One gain is applied to all, so that they still add up: no limiter, which acts on each apart.

    Args:
        stems: the instruments.
        sample_rate: to resample to, in Hz.
        bits: per sample of the files; the sum is that of the rounded samples.
        lufs: loudness of the mix; None for that of the song.
        peak: largest absolute value of any file; everything is lowered as far as that takes. Files
            of 32 bits can be louder than full scale: for them, 1 is no limit.

    Returns:
        Stems and mix, float32 [samples], and the decibels that the peak lowered all by.
    """
    audio = [resample(stem.audio, stems.sample_rate, sample_rate) for stem in stems.stems]
    gain = 1.0
    if lufs is not None:
        gain = gain_to([mix_audio(audio)], sample_rate, lufs)
    lowered = 1.0
    if bits < 32 or peak < 1:
        loudest = gain * max(peak_of(mix_audio(audio)), *map(peak_of, audio))
        # Room for the rounding of every stem.
        room = peak - (0 if bits == 32 else (len(audio) + 1) / 2 ** (bits - 1))
        lowered = max(loudest / room, 1.0)
    audio = [quantize(gain / lowered * each, bits) for each in audio]
    mix = np.sum(np.stack(audio).astype(np.float64), axis=0).astype(np.float32)
    written = [Stem(stem.name, each) for stem, each in zip(stems.stems, audio, strict=True)]
    return [*written, Stem(MIX, mix)], 20 * float(np.log10(lowered))
