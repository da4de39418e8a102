"""Sampling as users run it: `DiffusionSegments`, guided, in many steps or in few."""

import copy
import functools
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from counting import encoding_bytes, guided_step_bytes
from jax.sharding import NamedSharding

from on_device.common import (
    Once,
    Program,
    compile_program,
    peak_bytes,
    random_params,
    repeat,
    seconds_of,
)
from on_device.results import Row, Sampling, SamplingSettings
from on_device.runner import Job
from on_device.scale import Scale
from spectrodiff.checkpoints import expected_shapes
from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.core.parallel import BATCH, WHOLE, make_mesh, replicated
from spectrodiff.diffusion.sampler import Sampler
from spectrodiff.diffusion.schedule import CosineSchedule
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.padding import note_bucket
from spectrodiff.synthesis.parameters import compute_type, place
from spectrodiff.synthesis.segments.diffusion import (
    STEPS_PER_CALL,
    DiffusionSegments,
    SegmentBatch,
    _first_carry,
)

GUIDANCE = 2.0


class Prepared(NamedTuple):
    """A generator whose programs are compiled for a batch."""

    settings: SamplingSettings
    generator: DiffusionSegments
    batch: SegmentBatch
    encode: Program
    advance: Program


class SamplingBench:
    """Makes the rows of sampling; generators are shared between batch sizes."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._once = Once()

    def jobs(
        self, group: str, precision: str, batches: tuple[int, ...], samplers: tuple[str, ...]
    ) -> list[Job]:
        """Rows of all networks: one sampler after another, one network after another."""
        scale, jobs = self._scale, []
        for sampler in samplers:
            for size in scale.networks:
                config = scale.config(size)
                for batch in batches:
                    settings = SamplingSettings(
                        size=size,
                        precision=precision,
                        batch=batch,
                        sampler=sampler,
                        steps=scale.many_steps if sampler == "ddpm" else scale.few_steps,
                        guidance=GUIDANCE,
                        note_tokens=scale.note_tokens,
                        padded_tokens=note_bucket(scale.note_tokens, config.note_tokens),
                        context_frames=config.context_frames,
                        target_frames=config.target_frames,
                    )
                    row = Row(group, "sampling", settings)
                    jobs.append(Job(row, measure, functools.partial(self.prepare, settings)))
        return jobs

    def prepare(self, settings: SamplingSettings) -> Prepared:
        """Compiles everything that a batch needs."""
        key = (settings.size, settings.precision, settings.sampler)
        generator = self._once(key, lambda: self._generator(settings))
        batch = segments(generator.config, settings)
        # The two programs behind `prepare` and `draw`: compiling them here tells how long that
        # takes and what they need, and calls find them compiled. They are compiled side by side;
        # how the second one's arguments will lie on the device has to be guessed for that.
        mesh = generator._mesh
        placed = SegmentBatch(*(jax.device_put(part, NamedSharding(mesh, BATCH)) for part in batch))
        encoder = (generator._encode, generator._params, *placed[:3])
        whole = NamedSharding(mesh, WHOLE)
        guess = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
            jax.eval_shape(*encoder),
        )
        with ThreadPoolExecutor(1) as pool:
            encoding = pool.submit(compile_program, *encoder)
            advance = self._compile_advance(generator, guess, placed.keys, settings.steps)
            encode = encoding.result()
        memory = generator.prepare(batch).memory
        if any(leaf.sharding != whole for leaf in jax.tree.leaves(memory)):
            advance = self._compile_advance(generator, memory, placed.keys, settings.steps)
        return Prepared(settings, copy.copy(generator), batch, encode, advance)

    @staticmethod
    def _compile_advance(
        generator: DiffusionSegments, memory: Any, keys: jax.Array, steps: int
    ) -> Program:
        config = generator.config
        return compile_program(
            generator._advance,
            generator._params,
            _first_carry(keys, config.target_frames, config.mel_bins),
            memory,
            keys,
            generator._table,
            generator._films,
            generator._guidance,
            0,
            min(STEPS_PER_CALL, steps),
        )

    def _generator(self, settings: SamplingSettings) -> DiffusionSegments:
        config, devices = self._scale.config(settings.size), jax.devices()[:1]
        host = self._once(settings.size, lambda: random_params(expected_shapes(config)))
        params = self._once(
            (settings.size, settings.precision),
            lambda: place(host, replicated(make_mesh(devices)), settings.precision),
        )
        return DiffusionSegments(
            config,
            params,
            schedule=CosineSchedule(),
            prediction="eps",
            sampler=Sampler(settings.sampler, settings.steps),
            guidance=settings.guidance,
            dtype=compute_type(settings.precision),
            mesh=make_mesh(devices),
        )


def segments(config: ModelConfig, settings: SamplingSettings) -> SegmentBatch:
    """Segments of so many notes with full contexts."""
    rng, batch = np.random.default_rng(0), settings.batch
    tokens = np.zeros((batch, settings.padded_tokens), np.int32)
    shape = (batch, settings.note_tokens)
    tokens[:, : settings.note_tokens] = rng.integers(3, 1000, shape)
    context = rng.uniform(-1, 1, (batch, config.context_frames, config.mel_bins))
    return SegmentBatch(
        tokens,
        jax.device_put(context.astype(np.float32)),  # as it comes from the segment before
        np.ones((batch, config.context_frames), bool),
        jax.random.split(jax.random.key(0), batch),
    )


def measure(prepared: Prepared, allowance: float) -> Sampling:
    """Times whole batches of segments or, where that takes too long, some of their steps.

    All steps are the same program on arrays of the same shapes, so the rest can be scaled up.
    """
    settings, generator, batch = prepared.settings, prepared.generator, prepared.batch
    encode = repeat(lambda: generator.prepare(batch), allowance / 10, 5)
    encoded = generator.prepare(batch)

    def draw(steps: int) -> jax.Array:
        # The sampler's table stays as long as it is; only the first rows of it are worked off.
        generator.steps = steps
        return generator.sample(encoded)

    piece = min(STEPS_PER_CALL, settings.steps)
    piece_seconds = repeat(lambda: draw(piece), allowance / 10, 3).seconds
    expected = encode.seconds + piece_seconds * settings.steps / piece
    if expected <= allowance:
        generator.steps = steps = settings.steps
        repeats = max(1, min(10, int(allowance / expected)))
        seconds = statistics.median(seconds_of(lambda: generator(batch)) for _ in range(repeats))
        drawing = piece_seconds if steps == piece else seconds - encode.seconds
    else:
        steps = max(piece, int(settings.steps * allowance / expected) // piece * piece)
        drawing = seconds_of(lambda: draw(steps)) * settings.steps / steps
        seconds, repeats = encode.seconds + drawing, 1
    config, item_bytes = generator.config, np.dtype(compute_type(settings.precision)).itemsize
    counted = config, settings.batch, settings.padded_tokens, item_bytes
    audio_seconds = settings.batch * config.target_frames / FRAMES_PER_SECOND
    return Sampling(
        seconds=seconds,
        audio_seconds_per_second=audio_seconds / seconds,
        encode_seconds=encode.seconds,
        step_seconds=drawing / settings.steps,
        steps_timed=steps,
        repeats=repeats,
        compile_seconds=prepared.encode.compile_seconds + prepared.advance.compile_seconds,
        program_bytes=prepared.advance.bytes,
        peak_bytes=peak_bytes(),
        flops=prepared.encode.flops + settings.steps * prepared.advance.flops,
        traffic_bytes=encoding_bytes(*counted) + settings.steps * guided_step_bytes(*counted),
    )
