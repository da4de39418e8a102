"""Features predicted by a denoiser, to train inverters on the errors of models."""

import dataclasses

import jax
import jax.numpy as jnp

from spectrodiff.audio.features import scale, unscale
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.parameterization import to_x0
from spectrodiff.diffusion.schedule import alpha_sigma, make_schedule
from spectrodiff.models.definition import Params, define
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.training.examples import Examples

# Time at which signal and noise are equal; beyond it, one step no longer recovers the recording.
MAX_TIME = 0.5


@dataclasses.dataclass(frozen=True, eq=False)
class Denoised:
    """A denoiser that removes, in one step, noise added to recorded features.

    Its prediction has the errors of denoisers: too smooth, with spurious partials. The denoiser
    gets no context.

    Attributes:
        checkpoint: the denoiser.
    """

    checkpoint: Checkpoint

    def __call__(self, params: Params, examples: Examples, key: jax.Array) -> jax.Array:
        """Returns predicted features, unscaled [B, F, M]; each from its own amount of noise.

        Args:
            params: those of the checkpoint, as arguments of the program that calls this.
            examples: notes and true features; F is that of the denoiser.
            key: consumed.
        """
        model = self.checkpoint
        time_key, noise_key = jax.random.split(key)
        x0 = scale(examples.log_mel)
        time = MAX_TIME * jax.random.uniform(time_key, x0.shape[:1])
        alpha, sigma = alpha_sigma(make_schedule(model.schedule).logsnr(time)[:, None, None])
        z = alpha * x0 + sigma * jax.random.normal(noise_key, x0.shape)
        C = model.config.context_frames
        context = jnp.zeros((len(x0), C, model.config.mel_bins)) if C else None
        mask = jnp.zeros((len(x0), C), bool) if C else None
        denoiser = define(Denoiser, model.config).merge(params)
        output = denoiser(examples.tokens, context, mask, z, time)
        x0_hat = to_x0(model.prediction, output, z, alpha, sigma)
        return unscale(jnp.clip(x0_hat, -1.0, 1.0))


def open_denoiser(name: str, window_frames: int) -> Denoised:
    """Opens a model whose segments are as long as the training examples of an inverter.

    Raises:
        CheckpointError: if it cannot be read.
        ConfigError: if it is of another kind or length.
    """
    checkpoint = open_checkpoint(name)
    config = checkpoint.config
    if config.kind != "diffusion":
        raise ConfigError("Inversion.denoiser", "a diffusion model", f"{name}, {config.kind}")
    if config.target_frames != window_frames:
        expected = f"{config.target_frames}, the frames of a segment of {name}"
        raise ConfigError("Inversion.window_frames", expected, str(window_frames))
    return Denoised(checkpoint)
