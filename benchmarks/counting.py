"""The arithmetic and the memory traffic of the networks, counted."""

import math

import jax.extend as jex

from spectrodiff.models.config import ModelConfig

FLOAT32_BYTES = 4


def count_flops(jaxpr: jex.core.Jaxpr | jex.core.ClosedJaxpr) -> float:
    """Operations of all matrix products; those of a loop over layers count as often as it runs.

    A loop whose length is not known before it runs, as that over a sampler's steps, counts once.
    """
    total = 0.0
    for equation in getattr(jaxpr, "jaxpr", jaxpr).eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, product = equation.invars[0].aval, equation.outvars[0].aval
            shared = math.prod(left.shape[axis] for axis in contracted)
            total += 2 * shared * math.prod(product.shape)
        times = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                total += times * count_flops(inner)
    return float(total)


def guided_step_bytes(config: ModelConfig, batch: int, note_tokens: int, item_bytes: int) -> float:
    """Bytes that one guided denoising step reads and writes if nothing is moved twice.

    - The decoder's matrices are read once: per layer those of self-attention (4 D H K), of
      cross-attention without keys and values, which are kept from step to step (2 D H K), and of
      the feed-forward block (3 D W); the input's (M D), and the output's in float32.
    - The keys and values of notes and context are read once, by the conditional half of the batch:
      2 L H S K numbers an example, S = note tokens + C.
    - Activations, of both halves of the batch: every layer reads and writes x [2 B, F, D] once.
    - z [B, F, M] and x0 are read and written once, in float32.

    Left out are norm scales, FiLM, position rows and masks, together less than a percent.
    """
    D, inner, L = config.width, config.heads * config.head_width, config.decoder_layers
    layer = 6 * D * inner + 3 * D * config.mlp_width
    matrices = (L * layer + config.mel_bins * D) * item_bytes + D * config.mel_bins * FLOAT32_BYTES
    remembered = 2 * batch * L * inner * (note_tokens + config.context_frames) * item_bytes
    activations = 2 * L * (2 * batch) * config.target_frames * D * item_bytes
    noisy = 2 * 2 * batch * config.target_frames * config.mel_bins * FLOAT32_BYTES
    return float(matrices + remembered + activations + noisy)


def encoding_bytes(config: ModelConfig, batch: int, note_tokens: int, item_bytes: int) -> float:
    """Bytes that encoding notes and context moves, counted as in `guided_step_bytes`.

    The matrices of both encoders and those that make keys and values, read once; the activations,
    read and written once a layer; the keys and values, written once.
    """
    D, inner = config.width, config.heads * config.head_width
    layer = 4 * D * inner + 3 * D * config.mlp_width
    encoders = 2 if config.has_context else 1
    matrices = encoders * config.encoder_layers * layer + config.decoder_layers * 2 * D * inner
    length = note_tokens + config.context_frames
    activations = 2 * config.encoder_layers * batch * length * D
    remembered = 2 * batch * config.decoder_layers * inner * length
    return float((matrices + activations + remembered) * item_bytes)
