"""Sources of sound: models, soundfonts, and the inverter on true features; all cached."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import spectrodiff as sd
from spectrodiff.checkpoints.bundled import bundled_models
from spectrodiff.core.constants import HOP_SAMPLES, MIN_LOG_MEL, NUM_MELS, SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.core.files import atomic_file
from spectrodiff.data.prepare.soundfont import PEAK, SoundfontRenderer
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling, SamplingChanges
from spectrodiff.evaluation.checksums import json_checksum, path_checksum
from spectrodiff.evaluation.metrics.signal_distances import blockwise_log_mel
from spectrodiff.inverter import Inverter, invert
from spectrodiff.inverter.loading import default_name, open_inverter
from spectrodiff.music.tokenizer import SongTokens

from .programme import Piece

logger = logging.getLogger("spectrodiff.listen")

SOUNDFONT_PREFIX = "soundfont:"
# Levels in these are compared from piece to piece.
_OF_KNOWN_LOUDNESS = ("velocity", "notes")
# A soundfont has no segments. Its "joins" are where those of `mini` are.
_SOUNDFONT_SEGMENT_FRAMES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Sound:
    """Rendering of a piece.

    Attributes:
        audio: float32 [samples] at 16 kHz.
        log_mel: the features it was made from, or those of the audio; float32 [frames, 128].
    """

    audio: np.ndarray
    log_mel: np.ndarray


Rendering = dict[str, Sound]
"""Sounds by the names of the pieces."""


class Source(Protocol):
    """Something to be measured: it plays, and its inverter can be heard by itself."""

    @property
    def name(self) -> str:
        """Name in tables."""
        ...

    @property
    def inverter(self) -> Inverter:
        """Inverter that turns features into audio."""
        ...

    @property
    def segment_frames(self) -> int:
        """Distance between joins."""
        ...

    @property
    def sampling(self) -> Sampling:
        """Settings that a model is run with; of a soundfont they mean nothing."""
        ...

    def render(self, pieces: Sequence[Piece]) -> Rendering:
        """Plays pieces, or takes from the cache what has been played before."""
        ...


def open_source(
    name: str,
    cache: Path,
    *,
    inverter: str | None,
    changes: SamplingChanges,
    seed: int,
    batch_size: int,
    gain: float,
) -> Source:
    """A soundfont if the name says so, else a model; changes are to its own sampling.

    Raises:
        CheckpointError: if there is no such model or inverter.
        CorpusError: if there is no such soundfont.
    """
    if name.startswith(SOUNDFONT_PREFIX):
        chosen = open_inverter(inverter or default_name())
        return SoundfontSource(name.removeprefix(SOUNDFONT_PREFIX), cache, gain, chosen)
    synth = sd.load(name, inverter=inverter)
    return ModelSource(name, cache, synth, synth.sampling.but(**changes), seed, batch_size)


class SoundfontSource:
    """FluidSynth with one soundfont and one gain for all pieces.

    Args:
        soundfont: a file; None for the one that models are trained on.
        cache: a folder.
        gain: as `SoundfontRenderer` takes it.
        inverter: what is measured as this source's inverter; by default there is none to ask for.

    Raises:
        CorpusError: if FluidSynth or the soundfont is missing.
    """

    segment_frames = _SOUNDFONT_SEGMENT_FRAMES
    sampling = PAPER_SAMPLING  # means nothing here

    def __init__(
        self,
        soundfont: str | os.PathLike[str] | None,
        cache: Path,
        gain: float,
        inverter: Inverter | None = None,
    ) -> None:
        self._renderer = SoundfontRenderer(soundfont, gain)
        self._cache, self._gain, self._inverter = cache, gain, inverter
        self._key = {"soundfont": path_checksum(str(self._renderer.soundfont)), "gain": gain}

    @property
    def name(self) -> str:
        return Path(str(self._renderer.soundfont)).stem

    @property
    def inverter(self) -> Inverter:
        if self._inverter is None:
            raise ConfigError("inverter", "a source with one", f"{self.name}, opened without")
        return self._inverter

    def render(self, pieces: Sequence[Piece]) -> Rendering:
        sounds = {}
        for piece in pieces:
            path = _cached(self._cache, self._key, piece)
            if not path.is_file():
                _store(path, self._renderer.render(piece.notes))
            samples = np.load(path)
            _check_gain(samples, piece, self._gain)
            audio = samples.astype(np.float32) / 32768
            sounds[piece.name] = Sound(audio, blockwise_log_mel(audio))
        return sounds


class ModelSource:
    """A model. Its features are cached; audio is made of them by whatever inverter it has now.

    What it refuses to play, drums alone for example, is silence.

    Args:
        name: as `spectrodiff.load` takes it.
        cache: a folder.
        synth: the model.
        sampling: how it is run.
        seed: of the performance.
        batch_size: pieces rendered side by side.
    """

    def __init__(
        self,
        name: str,
        cache: Path,
        synth: sd.Synthesizer,
        sampling: Sampling,
        seed: int,
        batch_size: int,
    ) -> None:
        self.name, self._cache, self._synth, self.sampling = name, cache, synth, sampling
        self._batch_size, self._seed = batch_size, seed
        checksum = path_checksum(bundled_models().get(name, Path(name)))
        self._key = {
            "model": checksum,
            "seed": seed,
            **dataclasses.asdict(sampling),
            **dataclasses.asdict(synth.tokenization),
        }

    @property
    def inverter(self) -> Inverter:
        return self._synth.inverter

    @property
    def segment_frames(self) -> int:
        return self._synth.config.target_frames

    def render(self, pieces: Sequence[Piece]) -> Rendering:
        paths = {piece.name: _cached(self._cache, self._key, piece) for piece in pieces}
        missing = [piece for piece in pieces if not paths[piece.name].is_file()]
        logger.info("%s: %d of %d pieces to be drawn", self.name, len(missing), len(pieces))
        for first in range(0, len(missing), self._batch_size):
            self._draw(sorted(missing, key=_length)[first : first + self._batch_size], paths)
        sounds = {}
        for piece in pieces:
            log_mel = np.load(paths[piece.name])
            sounds[piece.name] = Sound(audio_of(self.inverter, log_mel, piece), log_mel)
        return sounds

    def _draw(self, pieces: Sequence[Piece], paths: dict[str, Path]) -> None:
        played: list[Piece] = []
        songs: list[SongTokens] = []
        for piece in pieces:
            try:
                songs.append(self._synth.tokenize(piece.notes, name=piece.name))
            except MidiError as error:
                logger.warning("silence: %s", error)
                frames = int(piece.notes.total_seconds * SAMPLE_RATE) // HOP_SAMPLES + 1
                _store(paths[piece.name], np.full((frames, NUM_MELS), MIN_LOG_MEL, np.float32))
            else:
                played.append(piece)
        rendered = self._synth.render_each(
            songs,
            batch_size=self._batch_size,
            seed=self._seed,
            progress=True,
            sampler=self.sampling.sampler,
            steps=self.sampling.steps,
            guidance=self.sampling.guidance,
            variance=self.sampling.variance,
        )
        for number, song in rendered:
            _store(paths[played[number].name], song.log_mel)


def through_inverter(
    inverter: Inverter, reference: Rendering, pieces: Sequence[Piece]
) -> Rendering:
    """The features of a reference, inverted: what a perfect model would sound like."""
    return {
        piece.name: Sound(
            audio_of(inverter, reference[piece.name].log_mel, piece), reference[piece.name].log_mel
        )
        for piece in pieces
    }


def audio_of(inverter: Inverter, log_mel: np.ndarray, piece: Piece) -> np.ndarray:
    """Inverts the features of a piece: float32, as many samples as the piece is long."""
    samples = round(piece.notes.total_seconds * SAMPLE_RATE)
    return invert(inverter, log_mel)[:samples]


def _check_gain(samples: np.ndarray, piece: Piece, gain: float) -> None:
    """Refuses a piece of known loudness that the renderer had to scale down."""
    if piece.group in _OF_KNOWN_LOUDNESS and np.abs(samples).max() >= round(PEAK * 32767):
        expected = f"a gain at which {piece.name} stays below full scale"
        raise ConfigError("--gain", expected, f"{gain:g}")


def _length(piece: Piece) -> float:
    return piece.notes.total_seconds


def _cached(folder: Path, key: dict[str, Any], piece: Piece) -> Path:
    return folder / f"{json_checksum({**key, 'notes': piece.checksum})}.npy"


def _store(path: Path, array: np.ndarray) -> None:
    with atomic_file(path) as temporary:
        np.save(temporary, array)
