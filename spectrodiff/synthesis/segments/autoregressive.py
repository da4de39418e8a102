"""Segments generated frame by frame by the autoregressive baseline."""

import functools
from collections.abc import Callable, Iterator

import jax
from jax.sharding import Mesh, NamedSharding

from spectrodiff.audio.features import scale
from spectrodiff.core.parallel import BATCH, LAYERED_BATCH, WHOLE
from spectrodiff.models.attention import KeyValue
from spectrodiff.models.autoregressive import DITHER, Autoregressor, Writing, begin, write_frames
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import Definition, Params, define
from spectrodiff.synthesis.segments.model import SegmentBatch
from spectrodiff.synthesis.segments.programs import KEPT_PROGRAMS, compile_steps, steps_per_call
from spectrodiff.synthesis.tuning import Tuning, tuning_for

# Approximate: between two calls to the device the host can show progress.
FRAMES_PER_CALL = 32


class AutoregressiveSegments:
    """Generates the features of batches of segments frame by frame, without context.

    Args:
        config: sizes of the network.
        params: its parameters, on the devices of `mesh`.
        dtype: type of the matrix products.
        mesh: devices with one axis `data`, over which a batch is split.
        dither: standard deviation of the noise added to each frame, which is fed back with it.
        tuning: settings of the programs; by default those for the devices.
    """

    def __init__(
        self,
        config: ModelConfig,
        params: Params,
        *,
        dtype: type,
        mesh: Mesh,
        dither: float = DITHER,
        tuning: Tuning | None = None,
    ) -> None:
        self.tuning = tuning or tuning_for(mesh)
        self.config, self.steps, self.overlap = config, config.target_frames, 0
        self._params = jax.device_put(params, NamedSharding(mesh, WHOLE))
        self._mesh, self._dtype = mesh, dtype
        self._network, self._dither = define(Autoregressor, config, dtype=dtype), dither

    def __call__(
        self, batch: SegmentBatch, on_steps: Callable[[int], None] | None = None
    ) -> jax.Array:
        """Returns scaled features [B, F, M] in [-1, 1].

        Args:
            batch: B is a multiple of the number of devices; the context is ignored.
            on_steps: called now and then with the number of frames since the last call.
        """
        split = NamedSharding(self._mesh, BATCH)
        tokens, keys = jax.device_put((batch.tokens, batch.keys), split)
        encode, advance = self._programs(tokens.shape)
        cross = encode(self._params, tokens)
        writing = begin(self.config, len(tokens), self._dtype)
        each = steps_per_call(self.steps, FRAMES_PER_CALL)
        for first in range(0, self.steps, each):
            count = min(each, self.steps - first)
            writing = advance(self._params, writing, cross, keys, first, count)
            if on_steps is not None:
                # Waiting keeps the host from queueing all calls, so that it can be stopped.
                jax.block_until_ready(writing)
                on_steps(count)
        return scale(writing.frames)

    def try_steps(self, batch: SegmentBatch) -> Iterator[float]:
        """Generates the first frames again and again, and yields how many; the first compiles."""
        split = NamedSharding(self._mesh, BATCH)
        tokens, keys = jax.device_put((batch.tokens, batch.keys), split)
        encode, advance = self._programs(tokens.shape)
        cross = encode(self._params, tokens)
        writing = begin(self.config, len(tokens), self._dtype)
        count = steps_per_call(self.steps, FRAMES_PER_CALL) if self.tuning.static_steps else 1
        while True:
            state = advance(self._params, writing, cross, keys, 0, count)
            writing = jax.block_until_ready(state)
            yield count

    @property
    def num_devices(self) -> int:
        """Number of devices that share a batch."""
        return self._mesh.size

    def _programs(
        self, shape: tuple[int, ...]
    ) -> tuple[Callable[..., KeyValue], Callable[..., Writing]]:
        return _compile(self._network, self._mesh, self._dither, self.tuning, shape)


@functools.lru_cache(maxsize=KEPT_PROGRAMS)
def _compile(
    network: Definition[Autoregressor],
    mesh: Mesh,
    dither: float,
    tuning: Tuning,
    shape: tuple[int, ...],
) -> tuple[Callable[..., KeyValue], Callable[..., Writing]]:
    """Returns the two programs that run on the devices, for tokens of a shape."""
    del shape  # a key of the cache

    def encode(params: Params, tokens: jax.Array) -> KeyValue:
        model = network.merge(params)
        return model.decoder.memory(model.note_encoder(tokens))

    def advance(
        params: Params,
        writing: Writing,
        cross: KeyValue,
        keys: jax.Array,
        first: jax.Array,
        count: jax.Array | int,
    ) -> Writing:
        decoder = network.merge(params).decoder
        return write_frames(decoder, writing, cross, keys, first=first, count=count, dither=dither)

    if mesh.size > 1:
        encode = jax.shard_map(encode, mesh=mesh, in_specs=(WHOLE, BATCH), out_specs=LAYERED_BATCH)
    state = Writing._make((BATCH, LAYERED_BATCH))
    specs = (WHOLE, state, LAYERED_BATCH, BATCH, WHOLE)
    return jax.jit(encode), compile_steps(advance, mesh, specs, state, tuning)
