"""Synthesizer: renders songs with a model and an inverter."""

import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Unpack

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.audio.features import unscale
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.config import require
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.parallel import make_mesh, replicated
from spectrodiff.diffusion.parameterization import to_eps
from spectrodiff.diffusion.sampling import SamplingChanges
from spectrodiff.diffusion.schedule import alpha_sigma, make_schedule
from spectrodiff.inverter import Inverter
from spectrodiff.models.definition import define
from spectrodiff.models.denoiser import Denoiser, predict
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes
from spectrodiff.music.steering import Steering
from spectrodiff.music.tokenizer import SongTokens, tokenize_song
from spectrodiff.synthesis.engine import Engine, check_batch_size
from spectrodiff.synthesis.estimate import ExpectedSeconds, expected_seconds
from spectrodiff.synthesis.live import Live
from spectrodiff.synthesis.parameters import compute_type, place
from spectrodiff.synthesis.parts import Song
from spectrodiff.synthesis.rendering import render_songs, stream_song
from spectrodiff.synthesis.segments.joins import Joins
from spectrodiff.synthesis.segments.kept import KeptModels
from spectrodiff.synthesis.segments.model import SegmentModel, overlap_of
from spectrodiff.synthesis.songs import generate_songs
from spectrodiff.synthesis.take import Take
from spectrodiff.synthesis.tuning import Tuning

SongInput = str | os.PathLike[str] | Notes | SongTokens


class Synthesizer:
    """A trained model with an inverter, ready to render; usually made by `spectrodiff.load`.

    Args:
        checkpoint: network and settings.
        inverter: turns features into audio.
        precision: "float32", or "bfloat16" for devices that are faster with it.
        devices: devices to compute on; by default all of JAX's default kind.
        tuning: settings of the compiled programs; by default those for the devices.

    Attributes:
        config: sizes of the network.
        tokenization: how notes become tokens.
        sampling: the model's own sampling settings, which arguments override.
        inverter: turns features into audio.
        name: name of the model, for messages.

    Raises:
        ConfigError: for another precision.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        inverter: Inverter,
        *,
        precision: str = "float32",
        devices: Sequence[jax.Device] | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self.config, self.inverter = checkpoint.config, inverter
        self.tokenization, self.sampling = checkpoint.tokenization, checkpoint.sampling
        self.name = checkpoint.name
        dtype, devices = compute_type(precision), list(devices or jax.devices())
        params = place(checkpoint.params, replicated(make_mesh(devices)), precision)
        self._models = KeptModels(checkpoint.description, params, dtype, devices, tuning)

    def render(self, song: SongInput, **settings: Any) -> Song:
        """Renders one song.

        Args:
            song: a MIDI file, notes, or the result of `tokenize`.
            **settings: seed, strict, progress, and sampling settings such as steps and guidance;
                all keyword arguments of `render_each`, whose errors it raises.

        Returns:
            The whole song.
        """
        return self.render_many([song], **settings)[0]

    def render_many(self, songs: Iterable[SongInput], **settings: Any) -> list[Song]:
        """Renders songs side by side, over all devices.

        Args:
            songs: MIDI files, notes, or results of `tokenize`.
            **settings: all keyword arguments of `render_each`, whose errors it raises.

        Returns:
            The songs in the order of `songs`.
        """
        rendered = dict(self.render_each(songs, **settings))
        return [rendered[number] for number in range(len(rendered))]

    def render_each(
        self,
        songs: Iterable[SongInput],
        *,
        seed: int = 0,
        strict: bool = False,
        batch_size: int = 8,
        progress: bool = False,
        on_steps: Callable[[int], None] | None = None,
        **sampling: Unpack[SamplingChanges],
    ) -> Iterator[tuple[int, Song]]:
        """Renders songs side by side; a song is the same alone and beside others.

        All songs are read and checked first, and rendered as results are asked for.

        Args:
            songs: MIDI files, notes, or results of `tokenize`.
            seed: seed of the noise; another one renders the same notes differently.
            strict: refuse a song with too many notes in a segment instead of leaving some out.
            batch_size: number of songs that are rendered side by side. A CPU computes as many at a
                time as it has cores.
            progress: show a progress bar, or log lines if there is no terminal.
            on_steps: called now and then, in another thread, with the number of steps since the
                last call; an error that it raises ends the rendering.
            **sampling: steps, guidance, sampler and other settings, which override the model's own
                `sampling` (see `spectrodiff.diffusion.sampling.Sampling`). An autoregressive model
                ignores them, and says so in the log.

        Returns:
            An iterator over pairs of a song's index in `songs` and the rendered song, in the order
            in which they are done.

        Raises:
            MidiError: if a song cannot be read or has no notes.
            ConfigError: if a setting is impossible.
        """
        batch_size = check_batch_size(batch_size)
        model, tokens = self._ready(songs, strict, sampling)
        return render_songs(
            model,
            self.inverter,
            tokens,
            seed=seed,
            batch_size=batch_size,
            progress=progress,
            on_steps=on_steps,
        )

    def stream(
        self,
        song: SongInput,
        *,
        seed: int = 0,
        strict: bool = False,
        progress: bool = False,
        **sampling: Unpack[SamplingChanges],
    ) -> Iterator[Song]:
        """Renders one song and yields it part by part, while the next part is being computed.

        A part is about a segment long; the inverter holds back frames until it knows those that
        follow. Joined, the parts are what `render` returns (up to rounding, if the inverter depends
        on near frames only).

        Args:
            song: a MIDI file, notes, or the result of `tokenize`.
            seed: as in `render_each`, as are all errors, which come before the first part.
            strict: as in `render_each`.
            progress: as in `render_each`.
            **sampling: as in `render_each`.

        Returns:
            An iterator over the parts.
        """
        model, [tokens] = self._ready([song], strict, sampling)
        return stream_song(model, self.inverter, tokens, seed=seed, progress=progress)

    def live(
        self,
        *,
        seed: int = 0,
        steering: Steering | None = None,
        **sampling: Unpack[SamplingChanges],
    ) -> Live:
        """Returns a song that is played live: push notes, pull audio (see `Live`).

        Args:
            seed: seed of the noise.
            steering: instruments, transposition, tempo and mutes; can be changed later.
            **sampling: as in `render_each`.

        Raises:
            ConfigError: if a setting is impossible.
        """
        changed = self.sampling.but(**sampling)
        return Live(self.engine, seed=seed, steering=steering, sampling=changed)

    def take(
        self,
        song: str | os.PathLike[str] | Notes,
        *,
        seed: int = 0,
        steering: Steering | None = None,
        **sampling: Unpack[SamplingChanges],
    ) -> Take:
        """Returns a rendering of a song that can be steered while it plays (see `Take`).

        Args:
            song: a MIDI file or notes.
            seed: seed of the noise.
            steering: instruments, transposition, tempo and mutes from the start on.
            **sampling: as in `render_each`.

        Raises:
            MidiError: if the song cannot be read.
            ConfigError: if a setting is impossible.
        """
        notes = song if isinstance(song, Notes) else read_midi(song)
        changed = self.sampling.but(**sampling)
        return Take(self.engine, notes, seed=seed, steering=steering, sampling=changed)

    def segments(
        self,
        song: SongInput,
        *,
        seed: int = 0,
        **sampling: Unpack[SamplingChanges],
    ) -> Iterator[np.ndarray]:
        """Generates the features of a song, segment by segment, without inverting them.

        Args:
            song: a MIDI file, notes, or the result of `tokenize`.
            seed: as in `render_each`; errors come before the first segment.
            **sampling: as in `render_each`.

        Returns:
            An iterator over unscaled log-mel float32 [F, 128], each segment as soon as it is done,
            without the frames that it shares with the one before; the last may be longer than the
            rest of the song.
        """
        model, [tokens] = self._ready([song], False, sampling)
        joins = Joins(model.overlap)
        segments = generate_songs(model, [tokens.tokens], seed=seed)
        return (joins.add(unscale(segment.scaled_mel), tokens.notes) for segment in segments)

    def tokenize(
        self,
        song: SongInput,
        *,
        strict: bool = False,
        name: str | None = None,
        overlap: int | None = None,
    ) -> SongTokens:
        """Returns the tokens of a song as this model takes them.

        Args:
            song: a MIDI file or notes; tokens are returned unchanged.
            strict: refuse a song with too many notes in a segment instead of leaving some out.
            name: name of the song in messages; by default that of its file.
            overlap: number of frames that segments share; by default that of `sampling`.

        Raises:
            MidiError: if the song cannot be read, or the model can render none of its notes.
            ConfigError: if the overlap is impossible, or another one than that of tokens.
        """
        overlap = overlap_of(self.sampling.but(overlap=overlap), self.config)
        if isinstance(song, SongTokens):
            expected = f"tokens of segments that share {overlap} frames"
            require(song.overlap == overlap, "tokens", expected, song.overlap)
            return song
        return tokenize_song(
            song,
            self.tokenization,
            max_tokens=self.config.note_tokens,
            segment_frames=self.config.target_frames,
            overlap=overlap,
            strict=strict,
            name=name,
            model=self.name,
        )

    def expected_seconds(
        self,
        songs: Sequence[SongTokens],
        *,
        batch_size: int = 8,
        clock: Callable[[], float] = time.perf_counter,
        **sampling: Unpack[SamplingChanges],
    ) -> ExpectedSeconds:
        """Estimates how long `render_each` takes with the same settings.

        Times some steps of the first batch and the inversion of ten seconds of silence. Rendering
        uses the programs that this compiles.

        Args:
            songs: results of `tokenize`.
            batch_size: as in `render_each`.
            clock: returns seconds since any moment.
            **sampling: as in `render_each`.

        Returns:
            The seconds of sampling, and those of inversion.
        """
        batch_size = check_batch_size(batch_size)
        model = self._models.get(self.sampling.but(**sampling), many=len(songs) > 1)
        return expected_seconds(model, self.inverter, songs, batch_size, clock)

    def predict_noise(
        self,
        tokens: jax.Array,
        context: jax.Array | None,
        context_mask: jax.Array | None,
        noisy: jax.Array,
        time: jax.Array,
    ) -> jax.Array:
        """Predicts the noise in noisy features, without guidance.

        Args:
            tokens: int32 [B, n], n up to `config.note_tokens`, padding (0) last.
            context: scaled features [B, C, M], valid frames first; None for a network without.
            context_mask: bool [B, C], True for valid frames; only their number is used.
            noisy: scaled noisy features [B, F, M].
            time: [B] in [0, 1].

        Returns:
            float32 [B, F, M].

        Raises:
            ConfigError: if the model is autoregressive.
        """
        if self.config.kind == "autoregressive":
            raise ConfigError("predict_noise", "a diffusion model", "an autoregressive one")
        models, network = self._models, define(Denoiser, self.config, dtype=self._models.dtype)
        output = predict(network, models.params, tokens, context, context_mask, noisy, time)
        schedule = make_schedule(models.description.schedule)
        alpha, sigma = alpha_sigma(schedule.logsnr(jnp.asarray(time)[:, None, None]))
        return to_eps(models.description.prediction, output, jnp.asarray(noisy), alpha, sigma)

    @property
    def checkpoint(self) -> Checkpoint:
        """The model without its inverter; parameters are copied to the host, as float32."""
        models = self._models
        params = jax.tree.map(lambda array: np.asarray(array, np.float32), models.params)
        return Checkpoint(params=params, name=self.name, **models.description._asdict())

    @property
    def segment_seconds(self) -> float:
        """Length of what a segment adds to a song."""
        return self.engine.segment_seconds(self.sampling)

    @property
    def engine(self) -> Engine:
        """The model and its settings, for songs that are rendered segment by segment."""
        return Engine(
            self.name,
            self.config,
            self.tokenization,
            self.sampling,
            self.inverter,
            functools.partial(self._models.get, many=False),
        )

    def _ready(
        self, songs: Iterable[SongInput], strict: bool, changes: SamplingChanges
    ) -> tuple[SegmentModel, list[SongTokens]]:
        """Returns the model with changed settings, and the tokens that it takes."""
        sampling = self.sampling.but(**changes)
        tokens = [self.tokenize(song, strict=strict, overlap=sampling.overlap) for song in songs]
        return self._models.get(sampling, many=len(tokens) > 1), tokens
