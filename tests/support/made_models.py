"""Models with parameters from a seed, without training or compiling anything."""

import jax
import jax.numpy as jnp
import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.tree import expected_shapes, nest
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import define
from spectrodiff.models.denoiser import Denoiser

# Frames of the port's pipeline, and otherwise as small as possible.
PORT_SIZES = ModelConfig(
    width=16,
    heads=2,
    head_width=8,
    mlp_width=24,
    encoder_layers=2,
    decoder_layers=2,
    note_tokens=64,
    dropout=0.0,
)


def made_model(config: ModelConfig = PORT_SIZES, **settings) -> Checkpoint:
    """A model whose parameters are as large as trained ones; equal for equal sizes."""
    rng = np.random.default_rng(0)
    params = {}
    for name, shape in sorted(expected_shapes(config).items()):
        scale = 1.0 if name.endswith(("scale", "positions", "embedding")) else shape[-2] ** -0.5
        if name.endswith("query/kernel"):  # which has the factor of the logits
            scale *= config.head_width**-0.5
        offset = 1.0 if name.endswith("scale") else 0.0
        noise = rng.standard_normal(shape, np.float32)
        params[name] = offset + (0.1 if offset else np.float32(scale)) * noise
    return Checkpoint(config, nest(params), **settings)


def made_inputs(config: ModelConfig, some: float = 0.3) -> dict[str, np.ndarray]:
    """Inputs of its networks, with some and all notes, and no, some and all context frames."""
    rng = np.random.default_rng(1)
    N, C, F, M = config.note_tokens, config.context_frames, config.target_frames, config.mel_bins
    tokens = rng.integers(3, 1000, (3, N), np.int32)
    tokens *= np.arange(N) < np.array([[N // 3], [1], [N]])
    mask = np.arange(C) < np.array([[0], [int(some * C)], [C]])
    return {
        "tokens": tokens,
        "context": rng.uniform(-1, 1, (3, C, M)).astype(np.float32),
        "context_mask": mask,
        "noisy": rng.standard_normal((3, F, M), np.float32),
        "time": np.array([0.03, 0.5, 0.999], np.float32),
    }


def outputs_of(checkpoint: Checkpoint, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Outputs of its encoders, zero where there is padding, and of its denoiser."""
    network = define(Denoiser, checkpoint.config)

    @jax.jit
    def compute(params, tokens, context, context_mask, noisy, time):
        model = network.merge(params)
        encodings = model.encode(tokens, context, context_mask)
        decoder = model.decoder
        output = decoder(noisy, decoder.films(time), decoder.memory(encodings))
        exist = [
            jnp.arange(each.values.shape[1])[None] < each.lengths[:, None] for each in encodings
        ]
        return [
            jnp.where(e[..., None], x.values, 0) for e, x in zip(exist, encodings, strict=True)
        ], output

    encoded, output = compute(checkpoint.params, **inputs)
    names = ("notes", "context")[: len(encoded)]
    results = {**dict(zip(names, encoded, strict=True)), "output": output}
    return {name: np.asarray(values) for name, values in results.items()}
