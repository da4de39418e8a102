"""Sources of audio: models, soundfonts, and inverters on true features; rendered once."""

import dataclasses
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np

import spectrodiff as sd
from spectrodiff.checkpoints.bundled import bundled_models
from spectrodiff.core.checksums import json_checksum
from spectrodiff.core.constants import MIN_LOG_MEL, NUM_MELS, SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, MidiError
from spectrodiff.core.files import atomic_file
from spectrodiff.data.prepare.soundfont import PEAK, SoundfontRenderer
from spectrodiff.diffusion.sampling import PAPER_SAMPLING, Sampling, SamplingChanges
from spectrodiff.evaluation.checksums import path_checksum, settings_dict
from spectrodiff.evaluation.metrics.signal_distances import blockwise_log_mel
from spectrodiff.inverter import Inverter, invert
from spectrodiff.music.events import count_frames
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.loading import make_inverter
from spectrodiff.synthesis.segments.joins import FADE_FRAMES

from .songs import BenchSong

logger = logging.getLogger("spectrodiff.listen")

SOUNDFONT_PREFIX = "soundfont:"
# Groups whose levels are compared between songs.
_LEVEL_GROUPS = ("velocity", "notes")
# A soundfont has no segments; its "joins" are those of segments of this length.
_SOUNDFONT_SEGMENT_FRAMES = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Rendered:
    """A rendered song.

    Attributes:
        audio: float32 [samples] at 16 kHz.
        log_mel: features it was inverted from, or those of the audio; float32 [frames, 128].
    """

    audio: np.ndarray
    log_mel: np.ndarray


Renderings = dict[str, Rendered]  # by name of the song


class Source(Protocol):
    """A model or soundfont to measure, with an inverter to measure by itself.

    Attributes:
        key: settings and checksums that the features of a song depend on.
    """

    key: dict[str, Any]

    @property
    def name(self) -> str:
        """Name of the source in tables."""
        ...

    @property
    def inverter(self) -> Inverter:
        """Inverter from features to audio."""
        ...

    @property
    def segment_frames(self) -> int:
        """Distance between joins."""
        ...

    @property
    def sampling(self) -> Sampling:
        """Settings that a model samples with; without meaning for a soundfont."""
        ...

    def render(self, songs: Sequence[BenchSong]) -> Renderings:
        """Renders songs, or reads them from the cache."""
        ...


def open_source(
    name: str,
    cache: Path,
    *,
    inverter: str | None,
    score_phases: bool | None = None,
    changes: SamplingChanges,
    seed: int,
    batch_size: int,
    gain: float,
) -> Source:
    """Opens a source.

    Args:
        name: "soundfont:FILE", or a model as `spectrodiff.load` takes it.
        cache: folder of rendered songs.
        inverter: None for that of the model.
        score_phases: as `spectrodiff.load` takes it.
        changes: of the model's sampling.
        seed: of sampling.
        batch_size: number of songs rendered in one batch.
        gain: of soundfonts.

    Raises:
        CheckpointError: if there is no such model or inverter.
        CorpusError: if there is no such soundfont.
    """
    if name.startswith(SOUNDFONT_PREFIX):
        chosen = make_inverter(inverter, None, jax.default_backend(), score_phases=score_phases)
        return SoundfontSource(name.removeprefix(SOUNDFONT_PREFIX), cache, gain, chosen)
    synth = sd.load(name, inverter=inverter, score_phases=score_phases)
    return ModelSource(name, cache, synth, synth.sampling.but(**changes), seed, batch_size)


class SoundfontSource:
    """FluidSynth with one soundfont and one gain for all songs.

    Args:
        soundfont: a file; None for the one that models are trained on.
        cache: folder of rendered songs.
        gain: as `SoundfontRenderer` takes it.
        inverter: inverter to measure; None if it is not needed.

    Raises:
        CorpusError: if FluidSynth or the soundfont is missing.
    """

    segment_frames = _SOUNDFONT_SEGMENT_FRAMES
    sampling = PAPER_SAMPLING  # without meaning here

    def __init__(
        self,
        soundfont: str | os.PathLike[str] | None,
        cache: Path,
        gain: float,
        inverter: Inverter | None = None,
    ) -> None:
        self._renderer = SoundfontRenderer(soundfont, gain)
        self._cache, self._gain, self._inverter = cache, gain, inverter
        self.key = {"soundfont": path_checksum(str(self._renderer.soundfont)), "gain": gain}

    @property
    def name(self) -> str:
        return Path(str(self._renderer.soundfont)).stem

    @property
    def inverter(self) -> Inverter:
        if self._inverter is None:
            raise ConfigError("inverter", "a source with one", f"{self.name}, opened without")
        return self._inverter

    def render(self, songs: Sequence[BenchSong]) -> Renderings:
        renderings = {}
        for song in songs:
            path = _cached(self._cache, self.key, song)
            if not path.is_file():
                _store(path, self._renderer.render(song.notes))
            samples = np.load(path)
            _check_gain(samples, song, self._gain)
            audio = samples.astype(np.float32) / 32768
            renderings[song.name] = Rendered(audio, blockwise_log_mel(audio))
        return renderings


class ModelSource:
    """A model, whose features are cached and inverted each time.

    Songs that it cannot render, such as drums alone, are silent.

    Args:
        name: as `spectrodiff.load` takes it.
        cache: folder of features.
        synth: the model.
        sampling: settings that it samples with.
        seed: of sampling.
        batch_size: number of songs rendered in one batch.
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
        self.key = {
            "model": checksum,
            "seed": seed,
            **settings_dict(sampling),
            # Has always been a part of the key.
            "mask_context": sampling.mask_context,
            **dataclasses.asdict(synth.tokenization),
        }
        if sampling.overlap:
            self.key["fade_frames"] = FADE_FRAMES

    @property
    def inverter(self) -> Inverter:
        return self._synth.inverter

    @property
    def segment_frames(self) -> int:
        return self._synth.engine.hop_frames(self.sampling)

    def render(self, songs: Sequence[BenchSong]) -> Renderings:
        paths = {song.name: _cached(self._cache, self.key, song) for song in songs}
        missing = [song for song in songs if not paths[song.name].is_file()]
        logger.info("%s: %d of %d songs to render", self.name, len(missing), len(songs))
        for first in range(0, len(missing), self._batch_size):
            self._generate(sorted(missing, key=_length)[first : first + self._batch_size], paths)
        renderings = {}
        for song in songs:
            log_mel = np.load(paths[song.name])
            renderings[song.name] = Rendered(audio_of(self.inverter, log_mel, song), log_mel)
        return renderings

    def _generate(self, songs: Sequence[BenchSong], paths: dict[str, Path]) -> None:
        names: list[str] = []
        tokens: list[SongTokens] = []
        for song in songs:
            try:
                tokens.append(
                    self._synth.tokenize(song.notes, name=song.name, overlap=self.sampling.overlap)
                )
            except MidiError as error:
                logger.warning("silence: %s", error)
                frames = count_frames(int(song.notes.total_seconds * SAMPLE_RATE))
                _store(paths[song.name], np.full((frames, NUM_MELS), MIN_LOG_MEL, np.float32))
            else:
                names.append(song.name)
        rendered = self._synth.render_each(
            tokens,
            batch_size=self._batch_size,
            seed=self._seed,
            progress=True,
            **SamplingChanges(**dataclasses.asdict(self.sampling)),
        )
        for number, song in rendered:
            _store(paths[names[number]], song.log_mel)


def invert_reference(
    inverter: Inverter, reference: Renderings, songs: Sequence[BenchSong]
) -> Renderings:
    """Inverts the features of a reference, as a perfect model would render them."""
    features = {song.name: reference[song.name].log_mel for song in songs}
    return {
        song.name: Rendered(audio_of(inverter, features[song.name], song), features[song.name])
        for song in songs
    }


def audio_of(inverter: Inverter, log_mel: np.ndarray, song: BenchSong) -> np.ndarray:
    """Inverts the features of a song, float32 [samples] of its length."""
    samples = round(song.notes.total_seconds * SAMPLE_RATE)
    return invert(inverter, log_mel, notes=song.notes)[:samples]


def _check_gain(samples: np.ndarray, song: BenchSong, gain: float) -> None:
    """Checks that the renderer has not scaled down a song whose level is compared."""
    if song.group in _LEVEL_GROUPS and np.abs(samples).max() >= round(PEAK * 32767):
        expected = f"a gain at which {song.name} stays below full scale"
        raise ConfigError("--gain", expected, f"{gain:g}")


def _length(song: BenchSong) -> float:
    return song.notes.total_seconds


def _cached(folder: Path, key: dict[str, Any], song: BenchSong) -> Path:
    return folder / f"{json_checksum({**key, 'notes': song.checksum})}.npy"


def _store(path: Path, array: np.ndarray) -> None:
    with atomic_file(path) as temporary:
        np.save(temporary, array)
