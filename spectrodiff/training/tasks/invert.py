"""Training of an inverter: audio from its own features, some of them disturbed."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from spectrodiff.audio.features import log_mel
from spectrodiff.checkpoints.model import FORMATS
from spectrodiff.core.config import check_types, require
from spectrodiff.core.constants import HOP_SAMPLES
from spectrodiff.core.errors import CheckpointError
from spectrodiff.inverter.adversarial import adversarial_losses, collapsed, init_discriminators
from spectrodiff.inverter.config import SIZES, InverterConfig, RecurrentConfig, as_dict
from spectrodiff.inverter.disturbances import disturb
from spectrodiff.inverter.files import GENERATOR, load_inverter
from spectrodiff.inverter.losses import (
    ADVANCE_WINDOWS,
    SCALES,
    TRAINING_SCALES,
    advance_distance,
    multi_scale_distance,
)
from spectrodiff.inverter.networks.discriminators import DiscriminatorsConfig
from spectrodiff.inverter.networks.generators import generate, generator_of, period, read_heads
from spectrodiff.inverter.networks.recurrent import head_distance, to_audio, unrolled
from spectrodiff.models.definition import init_params
from spectrodiff.training.examples import Examples
from spectrodiff.training.task import Params, Rendered, RunSettings, Scores, Task, TaskSettings
from spectrodiff.training.tasks.predicted_features import Denoised, open_denoiser

DISCRIMINATORS = "discriminators"  # their parameters, beside the generator's
DENOISER = "denoiser"  # its frozen parameters, beside those

MIN_WINDOW_FRAMES = 8
WINDOWS = list(SCALES)  # of the discriminators' STFT, in samples
LOSSES = ("mel_l1", "spectral", "log_mel_l1", "adversarial", "feature_match")
# Computed only if their weight is above zero.
OPTIONAL_LOSSES = ("phase_advance", "head_advance", "head_magnitude")


@dataclasses.dataclass(frozen=True)
class Inversion(TaskSettings):
    """Settings of inverter training."""

    generator: str | None = None  # a size of `spectrodiff.inverter.config.SIZES`
    window_frames: int = 64  # length of the training examples
    # Weights of the losses, under the names that logs and plots have for them.
    mel_l1: float = 1.0
    spectral: float = 1.0
    log_mel_l1: float = 1.0
    adversarial: float = 0.0
    feature_match: float = 0.0
    # Error of the phase advance between frames of the audio; and, for a recurrent generator only,
    # errors of its heads (see `inverter.networks.recurrent.head_distance`).
    phase_advance: float = 0.0
    head_advance: float = 0.0
    head_magnitude: float = 0.0
    # Frames at either end of an example that are inverted but left out of the losses, because their
    # neighbors are unknown.
    margin_frames: int = 0
    # Discriminators, present if `adversarial` or `feature_match` is above 0: STFT windows in
    # samples, downsampling factors of the waveforms, and channels of either kind.
    stft_windows: tuple[int, ...] = (2048, 1024, 512)
    wave_factors: tuple[int, ...] = (1, 2, 4)
    stft_width: int = 32
    wave_width: int = 16
    # Fraction of the examples with disturbed features, and by how much (see
    # `inverter.disturbances`).
    disturbed: float = 0.5
    noise: float = 0.3
    blur: float = 0.5
    # Model whose predicted features replace the true ones in a fraction `denoised` of the examples.
    denoiser: str | None = None
    denoised: float = 0.5

    def __post_init__(self) -> None:
        check_types(self)
        if self.generator is not None:
            sizes = f"one of {', '.join(SIZES)}"
            require(self.generator in SIZES, "Inversion.generator", sizes, self.generator)
        require(
            self.window_frames >= MIN_WINDOW_FRAMES,
            "Inversion.window_frames",
            f"a whole number >= {MIN_WINDOW_FRAMES}, the longest window of the losses",
            self.window_frames,
        )
        require(
            0 <= self.margin_frames <= (self.window_frames - MIN_WINDOW_FRAMES) // 2,
            "Inversion.margin_frames",
            f"0 or more, and {MIN_WINDOW_FRAMES} frames left between the margins",
            self.margin_frames,
        )
        if self.head_advance or self.head_magnitude:
            require(
                isinstance(self.config(), RecurrentConfig),
                "Inversion.generator",
                "a recurrent one, for head_advance or head_magnitude",
                self.generator,
            )
        for window in self.stft_windows:
            require(window in WINDOWS, "Inversion.stft_windows", f"some of {WINDOWS}", window)
        for factor in self.wave_factors:
            require(1 <= factor <= 16, "Inversion.wave_factors", "numbers from 1 to 16", factor)
        for name in ("stft_width", "wave_width"):
            value = getattr(self, name)
            require(value >= 1, f"Inversion.{name}", "a whole number >= 1", value)
        if self.adversarial or self.feature_match:
            require(
                bool(self.stft_windows or self.wave_factors),
                "Inversion.stft_windows",
                "some discriminators, for adversarial or feature_match",
                self.stft_windows,
            )
        for name in (*LOSSES, *OPTIONAL_LOSSES, "noise"):
            value = getattr(self, name)
            require(0 <= value < math.inf, f"Inversion.{name}", "a number >= 0", value)
        for name in ("disturbed", "blur", "denoised"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"Inversion.{name}", "a number from 0 to 1", value)

    def description(self, run: RunSettings) -> dict[str, Any]:
        """Returns the sizes of the generator, as JSON."""
        del run
        return {"format": FORMATS[-1], "inverter": as_dict(self.config())}

    def make(self, run: RunSettings) -> "Invert":
        """Makes the task with the precision of a run; it uses nothing of the run's network.

        Raises:
            ConfigError: if no generator is named, or the denoiser does not suit.
            CheckpointError: if the denoiser cannot be read.
        """
        self.config()
        denoiser = None
        if self.denoiser is not None:
            denoiser = open_denoiser(self.denoiser, self.window_frames)
        return Invert(
            settings=self,
            dtype=run.training.dtype,
            remat=run.training.remat,
            denoiser=denoiser,
        )

    def config(self) -> InverterConfig:
        """Returns the sizes of the generator; ConfigError if none is named."""
        sizes = f"one of {', '.join(SIZES)}"
        require(self.generator is not None, "Inversion.generator", sizes, self.generator)
        return SIZES[str(self.generator)]

    def discriminators(self) -> DiscriminatorsConfig | None:
        """Returns the sizes of the discriminators; None if no loss needs them."""
        if not self.adversarial and not self.feature_match:
            return None
        return DiscriminatorsConfig(
            self.stft_windows, self.wave_factors, self.stft_width, self.wave_width
        )


@dataclasses.dataclass(frozen=True)
class Window:
    """Lengths of the examples that an inverter is trained on."""

    target_frames: int
    context_frames: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Invert(Task):
    """Audio close to the recorded one, at several resolutions and to discriminators.

    Attributes:
        settings: networks and losses.
        dtype: type of the matrix products.
        remat: recompute activations in the backward pass.
        denoiser: makes the features of some examples, if there is one.
    """

    settings: Inversion
    dtype: type = jnp.float32
    remat: bool = False
    denoiser: Denoised | None = None

    @property
    def sizes(self) -> Window:
        """Lengths of the examples."""
        return Window(self.settings.window_frames)

    @property
    def uses_notes(self) -> bool:
        """False: audio alone is enough, though a denoiser does better with notes."""
        return False

    @property
    def frozen(self) -> Params:
        """Parameters of the denoiser, if there is one."""
        return {} if self.denoiser is None else {DENOISER: self.denoiser.checkpoint.params}

    def init_params(self, seed: int) -> Params:
        """Returns random parameters of the generator and any discriminators."""
        config = self.settings.config()
        params = {GENERATOR: init_params(generator_of(config), config, seed)}
        discriminators = self.settings.discriminators()
        if discriminators is not None:
            params[DISCRIMINATORS] = init_discriminators(discriminators, seed)
        return params

    def load_params(self, model: str, params: Params) -> Params:
        """Returns the parameters with the generator of a trained inverter.

        Raises:
            CheckpointError: if there is no such inverter, or it is of another size.
        """
        stored = load_inverter(Path(model))
        ours = jax.tree.map(np.shape, params[GENERATOR])
        if jax.tree.map(np.shape, stored.params) != ours:
            expected = f"an inverter of {as_dict(self.settings.config())}"
            raise CheckpointError(model, expected, f"{as_dict(stored.config)}")
        return {**params, GENERATOR: stored.params}

    def loss(self, params: Params, examples: Examples, key: jax.Array) -> Scores:
        """Returns the weighted sum of the losses and each of them; discriminators weigh 1."""
        settings = self.settings
        features_key, start_key = jax.random.split(key)
        features = self._features(params, examples, features_key)
        # In a song, a window may begin anywhere.
        start = jax.random.randint(start_key, features.shape[:1], 0, period(settings.config()))
        inverted, parts = self._invert_and_compare(params, features, start, examples)
        margin = settings.margin_frames
        compared = _without_margins(examples, margin)
        samples = slice(margin * HOP_SAMPLES, inverted.shape[1] - margin * HOP_SAMPLES)
        inverted, recorded = inverted[:, samples], _samples(compared)
        # Longer windows than the audio would see padding.
        scales = {w: mels for w, mels in TRAINING_SCALES.items() if w <= recorded.shape[1]}
        parts = _distances(inverted, compared, scales) | parts
        if settings.phase_advance:
            # An advance is between two windows, a quarter of their length apart.
            windows = [w for w in ADVANCE_WINDOWS if w + w // 4 <= recorded.shape[1]]
            parts["phase_advance"] = advance_distance(inverted, recorded, windows)
        parts = {name: value.mean() for name, value in parts.items()}
        discriminators = settings.discriminators()
        if discriminators is None:
            return {"loss": self._weighted(parts), **parts}
        losses = adversarial_losses(
            discriminators, params[DISCRIMINATORS], inverted, recorded, self.dtype
        )
        parts |= {"adversarial": losses.adversarial, "feature_match": losses.feature_match}
        loss = self._weighted(parts) + jnp.stack(list(losses.discriminators.values())).sum()
        return {"loss": loss, **parts, **losses.discriminators}

    def scores(self, params: Params, examples: Examples, keys: jax.Array) -> Scores:
        """Returns the distances between the audio and its inverted, undisturbed features."""
        del keys
        audio = self._invert(params, examples.log_mel)
        parts = _distances(audio, examples, SCALES)
        return {"loss": self._weighted(parts), **parts}

    def render(self, params: Params, examples: Examples, keys: jax.Array, mesh: Mesh) -> Rendered:
        """Inverts the features of the examples."""
        del keys, mesh
        audio = jax.jit(self._invert)(params, examples.log_mel)
        return Rendered(np.asarray(log_mel(audio)), list(np.asarray(audio)))

    def warnings(self, losses: Mapping[str, float]) -> list[str]:
        """Warns of discriminators that no longer teach the generator anything."""
        return [f"{name} is nearly zero: it no longer helps" for name in collapsed(dict(losses))]

    def _features(self, params: Params, examples: Examples, key: jax.Array) -> jax.Array:
        """Returns the features of a batch, some of them with the kinds of errors models make."""
        settings, features = self.settings, examples.log_mel
        disturb_key, denoise_key, choice_key = jax.random.split(key, 3)
        if self.denoiser is not None:
            chosen = jax.random.bernoulli(choice_key, settings.denoised, (len(features), 1, 1))
            denoised = self.denoiser(params[DENOISER], examples, denoise_key)
            features = jnp.where(chosen, denoised, features)
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
        self, params: Params, features: jax.Array, start: jax.Array, examples: Examples
    ) -> tuple[jax.Array, Scores]:
        """Returns the audio, and the errors of a recurrent network's heads if they have weight."""
        settings, config = self.settings, self.settings.config()
        if not settings.head_advance and not settings.head_magnitude:
            return self._invert(params, features, start), {}
        assert isinstance(config, RecurrentConfig)
        heads = read_heads(config, params[GENERATOR], features, self.dtype, remat=self.remat)
        distance = head_distance(heads, _samples(examples))
        parts = {"head_advance": distance.advance, "head_magnitude": distance.magnitude}
        return to_audio(unrolled(heads)), parts

    def _weighted(self, parts: Scores) -> jax.Array:
        terms = [getattr(self.settings, name) * value for name, value in parts.items()]
        return sum(terms[1:], terms[0])


def _without_margins(examples: Examples, margin: int) -> Examples:
    """Returns examples without some frames at either end."""
    frames = slice(margin, examples.log_mel.shape[1] - margin)
    samples = slice(margin * HOP_SAMPLES, examples.audio.shape[1] - margin * HOP_SAMPLES)
    return examples._replace(log_mel=examples.log_mel[:, frames], audio=examples.audio[:, samples])


def _distances(audio: jax.Array, examples: Examples, scales: Mapping[int, int]) -> Scores:
    """Returns distances, [B], of inverted from recorded audio, and of its features from theirs."""
    distance = multi_scale_distance(audio, _samples(examples), scales)
    # The last frame reaches past the end of the audio.
    error = jnp.abs(log_mel(audio) - examples.log_mel)[:, :-1]
    return {
        "mel_l1": distance.mel_l1,
        "spectral": distance.spectral,
        "log_mel_l1": error.mean(axis=(1, 2)),
    }


def _samples(examples: Examples) -> jax.Array:
    """Returns the recorded audio, float32 [B, F * 320] in [-1, 1]."""
    return examples.audio.astype(jnp.float32) / 32768
