"""Training a spectrogram inverter: sound from its own features, which may be slightly wrong."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from spectrodiff.audio.features import log_mel
from spectrodiff.core.constants import HOP_SAMPLES
from spectrodiff.inverter.adversarial import init_discriminators, play
from spectrodiff.inverter.config import RecurrentConfig
from spectrodiff.inverter.disturbances import disturb
from spectrodiff.inverter.files import GENERATOR
from spectrodiff.inverter.losses import (
    ADVANCE_WINDOWS,
    SCALES,
    TRAINING_SCALES,
    advance_distance,
    multi_scale_distance,
)
from spectrodiff.inverter.networks.generators import generate, init_params, period, read_heads
from spectrodiff.inverter.networks.recurrent import head_distance, to_audio, unrolled
from spectrodiff.training.examples import Segment
from spectrodiff.training.settings import Inversion
from spectrodiff.training.task import Params, Played, Scores
from spectrodiff.training.tasks.denoised import Denoised

DISCRIMINATORS = "discriminators"  # their parameters, beside the generator's


@dataclasses.dataclass(frozen=True)
class Window:
    """The segments that an inverter is trained on."""

    target_frames: int
    context_frames: int = 0


@dataclasses.dataclass(frozen=True)
class InversionObjective:
    """Sound that is close to the recorded one, at several resolutions and to discriminators."""

    settings: Inversion
    dtype: Any = jnp.float32
    remat: bool = False
    denoised: Denoised | None = None

    @property
    def config(self) -> Window:
        """Sizes of the segments."""
        return Window(self.settings.window_frames)

    def init_params(self, seed: int) -> Params:
        """Parameters before any training."""
        params = {GENERATOR: init_params(self.settings.config(), seed)}
        discriminators = self.settings.discriminators()
        if discriminators is not None:
            params[DISCRIMINATORS] = init_discriminators(discriminators, seed)
        return params

    def loss(self, params: Params, segment: Segment, key: jax.Array) -> Scores:
        """The weighted sum of the losses, and each of them; those of discriminators weigh 1."""
        settings = self.settings
        features_key, start_key = jax.random.split(key)
        features = self._features(segment, features_key)
        # In a song, a segment may begin anywhere.
        start = jax.random.randint(start_key, features.shape[:1], 0, period(settings.config()))
        inverted, parts = self._invert_and_compare(params, features, start, segment)
        margin = settings.margin_frames
        compared = _inner(segment, margin)
        samples = slice(margin * HOP_SAMPLES, inverted.shape[1] - margin * HOP_SAMPLES)
        inverted, recorded = inverted[:, samples], _samples(compared)
        # Only windows that fit are of use.
        scales = {w: mels for w, mels in TRAINING_SCALES.items() if w <= recorded.shape[1]}
        parts = _distances(inverted, compared, scales) | parts
        if settings.phase_advance:
            # Two windows, a quarter of their length apart, make one advance.
            windows = [w for w in ADVANCE_WINDOWS if w + w // 4 <= recorded.shape[1]]
            parts["phase_advance"] = advance_distance(inverted, recorded, windows)
        parts = {name: value.mean() for name, value in parts.items()}
        discriminators = settings.discriminators()
        if discriminators is None:
            return {"loss": self._weighted(parts), **parts}
        game = play(discriminators, params[DISCRIMINATORS], inverted, recorded, self.dtype)
        parts |= {"adversarial": game.adversarial, "feature_match": game.feature_match}
        loss = self._weighted(parts) + jnp.stack(list(game.discriminators.values())).sum()
        return {"loss": loss, **parts, **game.discriminators}

    def scores(self, params: Params, segment: Segment, keys: jax.Array) -> Scores:
        """The distances from the sound whose features they are, undisturbed."""
        del keys
        audio = self._invert(params, segment.log_mel)
        parts = _distances(audio, segment, SCALES)
        return {"loss": self._weighted(parts), **parts}

    def gap(
        self, params: Params, segment: Segment, other_tokens: jax.Array, keys: jax.Array
    ) -> Scores:
        """Nothing: an inverter does not know of notes."""
        return {}

    def play(self, params: Params, segment: Segment, keys: jax.Array, mesh: Mesh) -> Played:
        """Inverts the features of the segments."""
        del keys, mesh
        audio = jax.jit(self._invert)(params, segment.log_mel)
        return Played(np.asarray(log_mel(audio)), list(np.asarray(audio)))

    def _features(self, segment: Segment, key: jax.Array) -> jax.Array:
        """The features of a batch, some of them wrong in the ways that those of models are."""
        settings, features = self.settings, segment.log_mel
        disturb_key, denoise_key, choice_key = jax.random.split(key, 3)
        if self.denoised is not None:
            chosen = jax.random.bernoulli(choice_key, settings.denoised, (len(features), 1, 1))
            features = jnp.where(chosen, self.denoised(segment, denoise_key), features)
        return disturb(
            features,
            disturb_key,
            share=settings.disturbed,
            noise=settings.noise,
            blur=settings.blur,
        )

    def _invert(
        self, params: Params, features: jax.Array, start: jax.Array | None = None
    ) -> jax.Array:
        config, generator = self.settings.config(), params[GENERATOR]
        return generate(config, generator, features, self.dtype, remat=self.remat, start=start)

    def _invert_and_compare(
        self, params: Params, features: jax.Array, start: jax.Array, segment: Segment
    ) -> tuple[jax.Array, Scores]:
        """Sound, and how far what a recurrent network says is from the recorded one."""
        settings, config = self.settings, self.settings.config()
        if not settings.head_advance and not settings.head_magnitude:
            return self._invert(params, features, start), {}
        assert isinstance(config, RecurrentConfig)
        heads = read_heads(config, params[GENERATOR], features, self.dtype, remat=self.remat)
        distance = head_distance(heads, _samples(segment))
        parts = {"head_advance": distance.advance, "head_magnitude": distance.magnitude}
        return to_audio(unrolled(heads)), parts

    def _weighted(self, parts: Scores) -> jax.Array:
        terms = [getattr(self.settings, name) * value for name, value in parts.items()]
        return sum(terms[1:], terms[0])


def _inner(segment: Segment, margin: int) -> Segment:
    """A segment without some frames at either end."""
    frames = slice(margin, segment.log_mel.shape[1] - margin)
    samples = slice(margin * HOP_SAMPLES, segment.audio.shape[1] - margin * HOP_SAMPLES)
    return segment._replace(log_mel=segment.log_mel[:, frames], audio=segment.audio[:, samples])


def _distances(audio: jax.Array, segment: Segment, scales: Mapping[int, int]) -> Scores:
    """How far inverted sound is from the recorded one, and its features from the true ones; [B]."""
    distance = multi_scale_distance(audio, _samples(segment), scales)
    # The last frame looks past the end of the audio.
    error = jnp.abs(log_mel(audio) - segment.log_mel)[:, :-1]
    return {
        "mel_l1": distance.mel_l1,
        "spectral": distance.spectral,
        "log_mel_l1": error.mean(axis=(1, 2)),
    }


def _samples(segment: Segment) -> jax.Array:
    """The recorded sound, float32 [B, F * 320] in [-1, 1]."""
    return segment.audio.astype(jnp.float32) / 32768
