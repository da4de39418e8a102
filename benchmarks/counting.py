"""Operations, memory traffic and communication of the networks."""

import math
import re
from collections import defaultdict

import jax.extend as jex

from spectrodiff.models.config import ModelConfig

FLOAT32_BYTES = 4
COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

# In the text of a compiled program: the first line of a computation; an operation with its result
# and its type; a computation that an operation calls; the length of a loop; an array.
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.-]+) .*\{$")
_OPERATION = re.compile(r"\s+(?:ROOT )?%?([\w.-]+) = (.*?) ([a-z-]+)\((.*)")
_CALLED = re.compile(r"(?:body|calls|to_apply|\w+_computation)=%?([\w.-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_LENGTH = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_ARRAY = re.compile(r"\b(?:pred|[a-z]+(\d+)\w*)\[([\d,]*)\]")


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


def collective_bytes(program: str) -> dict[str, int]:
    """Returns the bytes that each device communicates, by the kind of collective operation.

    An operation counts with the size of its operands or of its results, whichever is larger: that
    of the whole array if it is gathered, reduced, or reduced and scattered. Loops count with their
    length.

    Args:
        program: optimized HLO for one of the devices, as `jax.stages.Compiled.as_text` returns it.

    Raises:
        ValueError: if a loop that communicates has no known length, or an operation is in halves.
    """
    computations: dict[str, list[tuple[str, ...]]] = {}
    entry = ""
    for line in program.splitlines():
        if not line.startswith(" ") and (begin := _COMPUTATION.match(line)):
            operations = computations[begin[2]] = []
            entry = begin[2] if begin[1] else entry
        elif found := _OPERATION.match(line):
            operations.append(found.groups())

    def count(computation: str) -> dict[str, int]:
        total: dict[str, int] = defaultdict(int)
        sizes: dict[str, int] = {}
        for name, result, operation, rest in computations[computation]:
            sizes[name] = _array_bytes(result)
            if operation in COLLECTIVES:
                operands = re.findall(r"%([\w.-]+)", rest.partition(")")[0])
                total[operation] += max(sizes[name], sum(sizes[operand] for operand in operands))
                continue
            if operation.removesuffix("-start") in COLLECTIVES:
                raise ValueError(f"an operation in halves: {operation}")
            called = _CALLED.findall(rest)
            for names in _BRANCHES.findall(rest):
                called += [branch.strip(" %") for branch in names.split(",")]
            inner = [count(other) for other in called]
            length = _LENGTH.search(rest) if operation == "while" else None
            if operation == "while" and length is None and any(inner):
                raise ValueError(f"a loop of unknown length communicates: {rest}")
            for part in inner:
                for kind, size in part.items():
                    total[kind] += size * (int(length[1]) if length else 1)
        return total

    return dict(count(entry))


def _array_bytes(shapes: str) -> int:
    return sum(
        math.prod(int(size) for size in shape.split(",") if size) * int(bits or 8) // 8
        for bits, shape in _ARRAY.findall(shapes)
    )
