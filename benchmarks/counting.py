"""Operations and memory traffic of the networks."""

import math

import jax.extend as jex

from spectrodiff.models.config import ModelConfig

FLOAT32_BYTES = 4


def count_flops(jaxpr: jex.core.Jaxpr | jex.core.ClosedJaxpr) -> float:
    """Returns the number of operations of all matrix products.

    Loops of known length, such as those over layers, count with their length. Loops of unknown
    length, such as those over a sampler's steps, count once.
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


def guided_step_flops(config: ModelConfig, batch: int, note_tokens: int) -> float:
    """Returns the number of operations of the matrix products of a guided denoising step.

    Both halves of the batch pass through all layers, only the conditional half through the
    cross-attention, whose keys and values are computed once per segment, like FiLM.
    """
    D, inner, L = config.width, config.heads * config.head_width, config.decoder_layers
    F, S = config.target_frames, note_tokens + config.context_frames
    layer = 2 * F * (4 * D * inner + 2 * F * inner + 3 * D * config.mlp_width)
    layer += F * (2 * D * inner + 2 * S * inner)
    ends = 2 * F * 2 * config.mel_bins * D
    return 2.0 * batch * (L * layer + ends)


def guided_step_bytes(config: ModelConfig, batch: int, note_tokens: int, item_bytes: int) -> float:
    """Returns the minimum number of bytes that a guided denoising step reads and writes.

    - The decoder's matrices are read once: per layer those of self-attention (4 D H K), of
      cross-attention without the cached keys and values (2 D H K), and of the feed-forward block
      (3 D W); those of the input (M D) and, in float32, of the output.
    - Keys and values of notes and context are read once, by the conditional half of the batch:
      2 L H S K numbers per example, S = note tokens + C.
    - Each layer reads and writes the activations x [2 B, F, D] of both halves of the batch once.
    - z [B, F, M] and x0 are read and written once, in float32.

    Norm scales, FiLM, position rows and masks are left out; they are less than one percent.
    """
    D, inner, L = config.width, config.heads * config.head_width, config.decoder_layers
    layer = 6 * D * inner + 3 * D * config.mlp_width
    matrices = (L * layer + config.mel_bins * D) * item_bytes + D * config.mel_bins * FLOAT32_BYTES
    cached = 2 * batch * L * inner * (note_tokens + config.context_frames) * item_bytes
    activations = 2 * L * (2 * batch) * config.target_frames * D * item_bytes
    noisy = 2 * 2 * batch * config.target_frames * config.mel_bins * FLOAT32_BYTES
    return float(matrices + cached + activations + noisy)


def encoding_bytes(config: ModelConfig, batch: int, note_tokens: int, item_bytes: int) -> float:
    """Returns the minimum number of bytes that encoding notes and context reads and writes.

    The matrices of both encoders and of keys and values are read once, the activations are read and
    written once per layer, and the keys and values are written once.
    """
    D, inner = config.width, config.heads * config.head_width
    layer = 4 * D * inner + 3 * D * config.mlp_width
    encoders = 2 if config.has_context else 1
    matrices = encoders * config.encoder_layers * layer + config.decoder_layers * 2 * D * inner
    length = note_tokens + config.context_frames
    activations = 2 * config.encoder_layers * batch * length * D
    cached = 2 * batch * config.decoder_layers * inner * length
    return float((matrices + activations + cached) * item_bytes)
