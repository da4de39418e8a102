"""From songs to sound: the public face of the synthesis."""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from spectrodiff.checkpoints.checkpoint import Checkpoint
from spectrodiff.diffusion.parameterization import to_eps
from spectrodiff.diffusion.sampler import Sampler
from spectrodiff.diffusion.schedule import alpha_sigma, make_schedule
from spectrodiff.errors import ConfigError
from spectrodiff.features import HOP_SAMPLES, SAMPLE_RATE, unscale
from spectrodiff.notes import Notes
from spectrodiff.programs import ProgramMap
from spectrodiff.synthesis.ahead import ahead
from spectrodiff.synthesis.autoregressive import AutoregressiveGenerator
from spectrodiff.synthesis.meter import Meter
from spectrodiff.synthesis.parameters import compute_type, place
from spectrodiff.synthesis.segments import DiffusionGenerator, make_mesh, network, replicated
from spectrodiff.synthesis.songs import SegmentGenerator, generate_songs
from spectrodiff.tokenizer import SongTokens, tokenize_song
from spectrodiff.vocabulary import Vocabulary
from spectrodiff.vocoder import InversionStream, Inverter, invert

logger = logging.getLogger(__name__)

SongInput = str | os.PathLike[str] | Notes


@dataclasses.dataclass(frozen=True, eq=False)
class Song:
    """A rendered song, or a stretch of one.

    Attributes:
        audio: float32 [samples] in [-1, 1].
        sample_rate: of the audio, in Hz.
        log_mel: the features it was inverted from, float32 [frames, 128], unscaled.
    """

    audio: np.ndarray
    sample_rate: int
    log_mel: np.ndarray


class Synthesizer:
    """A trained model with an inverter, ready to render; usually made by `spectrodiff.load`.

    Args:
        checkpoint: network and settings.
        inverter: what turns features into audio.
        precision: "float32", or "bfloat16" for devices that are faster with it.
        devices: where to compute; by default all devices of JAX's default kind.
        program_map: which instruments songs are played on: by default the nearest that released
            models know; "full" keeps the song's own, for models trained on such.

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
        program_map: ProgramMap = "slakh",
    ) -> None:
        self._program_map = program_map
        self.config, self.inverter = checkpoint.config, inverter
        self._dtype = compute_type(precision)
        self._prediction = checkpoint.prediction
        self._schedule = make_schedule(checkpoint.schedule)
        self._vocabulary = Vocabulary(checkpoint.velocity_bins)
        self._devices = list(devices or jax.devices())
        self._params = place(checkpoint.params, replicated(self._devices), precision)
        self._generators: dict[Any, SegmentGenerator] = {}

    def render(self, song: SongInput, **settings: Any) -> Song:
        """Renders one song; the settings are those of `render_each`."""
        return self.render_many([song], **settings)[0]

    def render_many(self, songs: Iterable[SongInput], **settings: Any) -> list[Song]:
        """Renders songs side by side; the settings are those of `render_each`."""
        rendered = dict(self.render_each(songs, **settings))
        return [rendered[number] for number in range(len(rendered))]

    def render_each(
        self,
        songs: Iterable[SongInput],
        *,
        steps: int = 1000,
        guidance: float = 2.0,
        sampler: str = "ddpm",
        variance: str = "large",
        seed: int = 0,
        strict: bool = False,
        batch_size: int = 8,
        progress: bool = False,
    ) -> Iterator[tuple[int, Song]]:
        """Renders songs side by side; each comes out as it would alone.

        Songs are read and checked at once, and rendered as the results are asked for.

        Args:
            songs: MIDI files or notes.
            steps: denoising steps per segment. This and the next three are settings of diffusion;
                an autoregressive model has no use for them, and says so in the log.
            guidance: guidance weight w; 1 follows the model as it is, more exaggerates what the
                notes and the context change.
            sampler: "ddpm", "ddim" or "dpmpp" (see `spectrodiff.diffusion.sampler.Sampler`).
            variance: of the "ddpm" sampler.
            seed: another seed gives another performance of the same notes.
            strict: refuse a song with a segment of too many notes instead of leaving some out.
            batch_size: how many songs to work on at a time.
            progress: show a progress bar, or log lines where there is no terminal.

        Returns:
            Numbers of songs and what they sound like, the longest songs first.

        Raises:
            MidiError: if a song cannot be read or has no notes.
            ConfigError: if a setting is impossible.
        """
        tokens = [self._tokenize(song, strict) for song in songs]
        generator = self._generator(Sampler(sampler, steps, variance), guidance, len(tokens) > 1)
        return self._render_groups(tokens, generator, seed, batch_size, progress)

    def stream(
        self,
        song: SongInput,
        *,
        steps: int = 1000,
        guidance: float = 2.0,
        sampler: str = "ddpm",
        variance: str = "large",
        seed: int = 0,
        strict: bool = False,
        progress: bool = False,
    ) -> Iterator[Song]:
        """Renders one song and yields it a stretch at a time, while the next is being computed.

        A stretch is about a segment long: what is held back at its end is what the inverter needs
        to know about the following frames. Joined, the stretches are what `render` returns (to
        rounding, for an inverter that only depends on near frames).

        The arguments and errors are those of `render_each`; errors come before the first stretch.
        """
        tokens = self._tokenize(song, strict)
        generator = self._generator(Sampler(sampler, steps, variance), guidance, many=False)
        return self._stream(tokens, generator, seed, progress)

    def segments(
        self,
        song: SongInput,
        *,
        steps: int = 1000,
        guidance: float = 2.0,
        sampler: str = "ddpm",
        variance: str = "large",
        seed: int = 0,
    ) -> Iterator[np.ndarray]:
        """Draws one song and yields the features of its segments, without inverting them.

        The arguments and errors are those of `render_each`; errors come before the first segment.

        Returns:
            Unscaled log-mel float32 [F, 128], segment after segment as each is done; the last may
            reach further than the song.
        """
        tokens = self._tokenize(song, strict=False)
        generator = self._generator(Sampler(sampler, steps, variance), guidance, many=False)
        segments = generate_songs(generator, [tokens.tokens], seed=seed)
        return (np.asarray(unscale(segment.scaled_mel)) for segment in segments)

    def predict_noise(
        self,
        tokens: jax.Array,
        context: jax.Array | None,
        context_mask: jax.Array | None,
        noisy: jax.Array,
        time: jax.Array,
    ) -> jax.Array:
        """The noise that the network sees in noisy features, without guidance.

        Args:
            tokens: int32 [B, n], n up to `config.note_tokens`.
            context: scaled features [B, C, M], valid frames first; None for a network without.
            context_mask: bool [B, C].
            noisy: scaled noisy features [B, F, M].
            time: [B] in [0, 1].

        Returns:
            float32 [B, F, M].

        Raises:
            ConfigError: if the model is autoregressive.
        """
        if self.config.kind == "autoregressive":
            raise ConfigError("predict_noise", "a diffusion model", "an autoregressive one")
        definition = network(self.config, self._dtype)
        output = _predict(definition, self._params, tokens, context, context_mask, noisy, time)
        alpha, sigma = alpha_sigma(self._schedule.logsnr(jnp.asarray(time)[:, None, None]))
        return to_eps(self._prediction, output, jnp.asarray(noisy), alpha, sigma)

    @property
    def segment_seconds(self) -> float:
        """Length of the segments that songs are cut into."""
        return self.config.target_frames * HOP_SAMPLES / SAMPLE_RATE

    def _render_groups(
        self,
        tokens: list[SongTokens],
        generator: SegmentGenerator,
        seed: int,
        batch_size: int,
        progress: bool,
    ) -> Iterator[tuple[int, Song]]:
        # Songs of like length share a batch, so that few of its rows run empty.
        order = sorted(range(len(tokens)), key=lambda song: -len(tokens[song].tokens))
        count = sum(len(song.tokens) for song in tokens)
        with Meter(count, generator.steps, self.segment_seconds, enabled=progress) as meter:
            for first in range(0, len(order), batch_size):
                group = order[first : first + batch_size]
                features: list[list[np.ndarray]] = [[] for _ in group]
                for segment in generate_songs(
                    generator,
                    [tokens[song].tokens for song in group],
                    seed=seed,
                    batch_multiple=generator.num_devices,
                    on_steps=meter.steps_done,
                ):
                    features[segment.song].append(segment.scaled_mel)
                    meter.segment_done()
                for song, segments in zip(group, features, strict=True):
                    yield song, self._finish(np.concatenate(segments), tokens[song])

    def _stream(
        self,
        tokens: SongTokens,
        generator: SegmentGenerator,
        seed: int,
        progress: bool,
    ) -> Iterator[Song]:
        inversion = InversionStream(self.inverter)
        log_mel = np.zeros((0, self.config.mel_bins), np.float32)
        done = 0  # samples yielded so far
        count = len(tokens.tokens)
        with Meter(count, generator.steps, self.segment_seconds, enabled=progress) as meter:
            segments = generate_songs(
                generator, [tokens.tokens], seed=seed, on_steps=meter.steps_done
            )
            with contextlib.closing(ahead(segments)) as finished:
                for segment in finished:
                    meter.segment_done()
                    frames = np.asarray(unscale(segment.scaled_mel))
                    frames = frames[: tokens.num_frames - segment.number * len(frames)]
                    log_mel = np.concatenate([log_mel, frames])
                    audio = inversion.push(frames)
                    if segment.number == count - 1:
                        audio = np.concatenate([audio, inversion.finish()])
                    heard = len(audio) // HOP_SAMPLES
                    yield Song(audio[: tokens.num_samples - done], SAMPLE_RATE, log_mel[:heard])
                    log_mel, done = log_mel[heard:], done + len(audio)

    def _finish(self, scaled_mel: np.ndarray, tokens: SongTokens) -> Song:
        log_mel = np.asarray(unscale(scaled_mel[: tokens.num_frames]))
        audio = invert(self.inverter, log_mel)[: tokens.num_samples]
        return Song(audio, SAMPLE_RATE, log_mel)

    def _tokenize(self, song: SongInput, strict: bool) -> SongTokens:
        return tokenize_song(
            song,
            vocabulary=self._vocabulary,
            program_map=self._program_map,
            max_tokens=self.config.note_tokens,
            segment_frames=self.config.target_frames,
            strict=strict,
        )

    def _generator(self, sampler: Sampler, guidance: float, many: bool) -> SegmentGenerator:
        """The generator of these settings; the last one is kept, with all that it worked out."""
        if not np.isfinite(guidance):
            raise ConfigError("guidance", "a finite number", repr(guidance))
        autoregressive = self.config.kind == "autoregressive"
        settings = many if autoregressive else (sampler, guidance, many)
        if settings not in self._generators:
            self._generators.clear()
            mesh = make_mesh(self._devices if many else self._devices[:1])
            self._generators[settings] = (
                self._autoregressive(mesh)
                if autoregressive
                else self._diffusion(sampler, guidance, mesh)
            )
        return self._generators[settings]

    def _diffusion(self, sampler: Sampler, guidance: float, mesh: Mesh) -> SegmentGenerator:
        return DiffusionGenerator(
            self.config,
            self._params,
            schedule=self._schedule,
            prediction=self._prediction,
            sampler=sampler,
            guidance=guidance,
            dtype=self._dtype,
            mesh=mesh,
        )

    def _autoregressive(self, mesh: Mesh) -> SegmentGenerator:
        logger.info(
            "this model is autoregressive: steps, sampler, guidance and variance mean nothing to it"
        )
        return AutoregressiveGenerator(self.config, self._params, dtype=self._dtype, mesh=mesh)


@jax.jit(static_argnums=0)
def _predict(definition: nnx.GraphDef, params: dict[str, Any], *inputs: Any) -> jax.Array:
    return nnx.merge(definition, params)(*inputs)
