"""Measures of sweeps.py: features generated with a setting, compared with the recordings."""

import dataclasses
import functools
import itertools
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import unscale
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.constants import FRAMES_PER_SECOND, HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.core.progress import Progress
from spectrodiff.data.recordings import Recording
from spectrodiff.data.source import load_source
from spectrodiff.diffusion.sampler import SamplerName, Spacing
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import make_schedule
from spectrodiff.evaluation.checksums import checkpoint_checksum, recording_checksum
from spectrodiff.evaluation.metrics.joins import join_ratio
from spectrodiff.evaluation.metrics.signal_distances import aligned_log_mel_l1, blockwise_log_mel
from spectrodiff.evaluation.metrics.transcription.basic_pitch import BasicPitch
from spectrodiff.evaluation.metrics.transcription.scores import score_onsets
from spectrodiff.evaluation.protocol import Protocol
from spectrodiff.inverter import Inverter, invert
from spectrodiff.music.notes import Notes, merge_notes
from spectrodiff.music.tokenizer import tokenize_song
from spectrodiff.synthesis.loading import make_inverter
from spectrodiff.synthesis.segments.diffusion import DiffusionSegments
from spectrodiff.synthesis.segments.model import SegmentBatch, SegmentModel
from spectrodiff.synthesis.songs import generate_songs

logger = logging.getLogger("spectrodiff.sweeps")


@dataclasses.dataclass(frozen=True)
class Cell:
    """A setting to measure: those of `Sampling`, and a name for tables."""

    model: str
    sampler: SamplerName
    steps: int
    guidance: float
    context: bool = True
    spacing: Spacing = "time"
    times: tuple[float, ...] | None = None
    start: float = 1.0
    guidance_times: tuple[float, ...] = (0.0, 1.0)
    context_guidance: float | None = None
    setting: str = ""

    def __str__(self) -> str:
        context = "" if self.context else ", no context"
        setting = f", {self.setting}" if self.setting else ""
        what = f"{self.model}, {self.sampler}, {self.steps} steps, w {self.guidance:g}"
        return what + setting + context

    @property
    def key(self) -> dict[str, Any]:
        """Everything that the features depend on, besides the model."""
        return {**dataclasses.asdict(self), "setting": None}

    @property
    def sampling(self) -> Sampling:
        """Settings of the model's sampling."""
        return Sampling(
            self.sampler,
            self.steps,
            self.guidance,
            spacing=self.spacing,
            times=self.times,
            start=self.start,
            guidance_times=self.guidance_times,
            context_guidance=self.context_guidance,
        )


@dataclasses.dataclass(frozen=True, eq=False)
class SweepSong:
    """A song and its recording, int16 [samples] at 16 kHz."""

    recording: Recording

    @property
    def id(self) -> str:
        return self.recording.id

    @functools.cached_property
    def audio(self) -> np.ndarray:
        """Audio of the recording, float32 [samples]."""
        return self.recording.audio.astype(np.float32) / 32768

    @functools.cached_property
    def log_mel(self) -> np.ndarray:
        """Features of the recording, float32 [frames, 128]."""
        return blockwise_log_mel(self.audio)

    @functools.cached_property
    def checksum(self) -> str:
        return recording_checksum(self.recording.audio, self.recording.notes)

    def first_seconds(self, seconds: float) -> "SweepSong":
        """Returns the first seconds of the song."""
        excerpt = Protocol(max_minutes=seconds / 60).song(self.recording)
        audio = self.recording.audio[: len(excerpt.audio)]
        return SweepSong(Recording(self.id, audio, excerpt.notes))


def open_songs(data_dir: Path, dataset: str, split: str, count: int | None) -> list[SweepSong]:
    """Opens the songs of a prepared corpus, or `count` of them, evenly spread."""
    source = load_source(data_dir, dataset, split)
    count = min(count or len(source), len(source))
    numbers = np.linspace(0, len(source) - 1, count).round().astype(int)
    return [SweepSong(source[int(number)]) for number in numbers]


def join(songs: Sequence[SweepSong], first: int, seconds: float) -> SweepSong:
    """Joins songs to a medley of a given length, cyclically, starting with number `first`."""
    audio: list[np.ndarray] = []
    notes: list[Notes] = []
    samples = 0
    for place in itertools.count(first):
        if samples >= seconds * SAMPLE_RATE:
            break
        recording = songs[place % len(songs)].recording
        start_seconds = samples / SAMPLE_RATE
        # Whole frames, so that the features of each song are the same as without the others.
        padding = -len(recording.audio) % HOP_SAMPLES
        audio.append(np.pad(recording.audio, (0, padding)))
        samples += len(audio[-1])
        notes.append(
            dataclasses.replace(
                recording.notes,
                onset_seconds=recording.notes.onset_seconds + start_seconds,
                offset_seconds=recording.notes.offset_seconds + start_seconds,
                total_seconds=0.0,
            )
        )
    medley_notes = dataclasses.replace(merge_notes(notes), total_seconds=samples / SAMPLE_RATE)
    medley = Recording(f"medley {first}", np.concatenate(audio), medley_notes)
    return SweepSong(medley).first_seconds(seconds)


@dataclasses.dataclass(frozen=True)
class WithoutContext:
    """A model that gets no context, as for the first segment of a song."""

    model: SegmentModel

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(
        self, batch: SegmentBatch, on_steps: Callable[[int], None] | None = None
    ) -> jax.Array:
        hidden = np.zeros_like(batch.context_mask)
        return self.model(batch._replace(context_mask=hidden), on_steps)


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
    """A diffusion model with its inverter."""

    checkpoint: Checkpoint
    checksum: str
    inverter: Inverter
    batch_size: int
    seed: int

    @classmethod
    def load(cls, name: str, batch_size: int, seed: int) -> "Model":
        checkpoint = open_checkpoint(name)
        if checkpoint.config.kind == "autoregressive":
            raise ConfigError("--model", "a diffusion model", f"{name}, an autoregressive one")
        checksum = checkpoint_checksum(checkpoint)
        inverter = make_inverter(None, checkpoint, jax.devices()[0].platform)
        params = jax.device_put(checkpoint.params, jax.devices()[0])
        checkpoint = dataclasses.replace(checkpoint, params=params)
        return cls(checkpoint, checksum, inverter, batch_size, seed)

    @property
    def has_context(self) -> bool:
        return self.checkpoint.config.context_frames > 0

    def generate(self, cell: Cell, music: Sequence[SweepSong]) -> list[np.ndarray]:
        """Returns the unscaled features [frames, 128] of each song."""
        config = self.checkpoint.config
        model: SegmentModel = DiffusionSegments(
            config,
            self.checkpoint.params,
            schedule=make_schedule(self.checkpoint.schedule),
            prediction=self.checkpoint.prediction,
            sampling=cell.sampling,
            dtype=jnp.float32,
            mesh=make_mesh(jax.devices()[:1]),
        )
        if not cell.context:
            model = WithoutContext(model)
        tokenized = [
            tokenize_song(
                song.recording.notes,
                self.checkpoint.tokenization,
                max_tokens=config.note_tokens,
                segment_frames=config.target_frames,
            )
            for song in music
        ]
        features: list[list[np.ndarray]] = [[] for _ in tokenized]
        groups = range(0, len(tokenized), self.batch_size)
        tokens = [
            [song.tokens for song in tokenized[first:][: self.batch_size]] for first in groups
        ]
        steps = cell.steps * sum(max(map(len, group)) for group in tokens)
        with Progress(str(cell), steps, "step") as progress:
            for first, group in zip(groups, tokens, strict=True):
                for segment in generate_songs(
                    model, group, seed=self.seed, on_steps=progress.advance
                ):
                    features[first + segment.song].append(segment.scaled_mel)
        return [
            np.asarray(unscale(np.concatenate(segments)))[: song.num_frames]
            for segments, song in zip(features, tokenized, strict=True)
        ]


class Transcriber:
    """Onset F1 of audio, given the notes of the song."""

    def __init__(self, transcribe: BasicPitch) -> None:
        self._transcribe = transcribe

    @classmethod
    def find(cls, wanted: str) -> "Transcriber | None":
        """Returns basic-pitch, or None if it is not wanted or not installed."""
        if wanted == "none":
            return None
        try:
            return cls(BasicPitch())
        except CheckpointError as error:
            logger.info("no onset_f1: %s", error)
            return None

    def onset_f1(self, song: SweepSong, audio: np.ndarray) -> float:
        return score_onsets(song.recording.notes, self._transcribe(audio)).f1


def measure(
    model: Model, cell: Cell, music: Sequence[SweepSong], transcriber: Transcriber | None
) -> list[dict[str, Any]]:
    """Measures the songs generated with a setting."""
    segment_frames = model.checkpoint.config.target_frames
    measured = []
    for song, log_mel in zip(music, model.generate(cell, music), strict=True):
        l1 = frame_l1(log_mel, song.log_mel)
        starts = np.arange(0, len(l1), segment_frames)
        sizes = np.diff(np.append(starts, len(l1)))
        f1 = None
        if transcriber is not None:
            audio = invert(model.inverter, log_mel, notes=song.notes)[: len(song.audio)]
            f1 = transcriber.onset_f1(song, audio)
        measured.append(
            {
                "id": song.id,
                "log_mel_l1": float(l1.mean()),
                "aligned_l1": aligned_log_mel_l1(log_mel, song.log_mel).whole,
                "onset_f1": f1,
                "joins": join_ratio(log_mel, segment_frames).whole,
                "segment_seconds": ((starts + sizes / 2) / FRAMES_PER_SECOND).tolist(),
                "l1_by_segment": (np.add.reduceat(l1, starts) / sizes).tolist(),
            }
        )
    return measured


def frame_l1(log_mel: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Returns the mean absolute difference of each frame; additional frames are left out."""
    frames = min(len(log_mel), len(target))
    return np.abs(log_mel[:frames].astype(np.float64) - target[:frames]).mean(axis=1)


def measure_recordings(
    music: Sequence[SweepSong], transcriber: Transcriber | None, segment_frames: int
) -> list[dict[str, Any]]:
    """Measures the recordings themselves: transcription, and changes where a model has joins."""
    return [
        {
            "id": song.id,
            "onset_f1": transcriber.onset_f1(song, song.audio) if transcriber else None,
            "joins": join_ratio(song.log_mel, segment_frames).whole,
        }
        for song in music
    ]
