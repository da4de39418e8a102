"""Rows of sampling: `DiffusionSegments` with guidance, with many steps and with few."""

import copy
import functools
import statistics
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from counting import encoding_bytes, guided_step_bytes
from jax.sharding import NamedSharding
from timing import seconds_of

from on_device.common import (
    Once,
    Program,
    compile_program,
    peak_bytes,
    random_params,
    repeat,
)
from on_device.results import Row, Sampling, SamplingSettings
from on_device.runner import Job
from on_device.scale import Scale
from spectrodiff.checkpoints.tree import expected_shapes
from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.core.parallel import BATCH, WHOLE, make_mesh, replicated
from spectrodiff.diffusion import sampling
from spectrodiff.diffusion.schedule import CosineSchedule
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.padding import note_bucket
from spectrodiff.synthesis.parameters import compute_type, place
from spectrodiff.synthesis.segments.diffusion import (
    STEPS_PER_CALL,
    DiffusionSegments,
    _first_carry,
)
from spectrodiff.synthesis.segments.model import SegmentBatch
from spectrodiff.synthesis.segments.programs import steps_per_call
from spectrodiff.synthesis.tuning import tuning_for

GUIDANCE = 2.0


class Prepared(NamedTuple):
    """A model whose programs are compiled for a batch."""

    settings: SamplingSettings
    model: DiffusionSegments
    batch: SegmentBatch
    encode: Program
    advance: Program


class SamplingBench:
    """Makes the rows of sampling; batch sizes share models."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._once = Once()

    def jobs(
        self, group: str, precision: str, batches: tuple[int, ...], samplers: tuple[str, ...]
    ) -> list[Job]:
        """Returns the rows of all samplers and networks."""
        scale, jobs = self._scale, []
        buckets = tuning_for(make_mesh(jax.devices()[:1])).note_buckets
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
                        padded_tokens=note_bucket(scale.note_tokens, config.note_tokens, buckets),
                        context_frames=config.context_frames,
                        target_frames=config.target_frames,
                    )
                    row = Row(group, "sampling", settings)
                    jobs.append(Job(row, measure, functools.partial(self.prepare, settings)))
        return jobs

    def prepare(self, settings: SamplingSettings) -> Prepared:
        """Compiles the programs for a batch."""
        key = (settings.size, settings.precision, settings.sampler)
        model = self._once(key, lambda: self._model(settings))
        batch = segments(model.config, settings)
        # The programs of `prepare` and `sample` are compiled here to measure their time and memory;
        # later calls use them. They are compiled in parallel, for which the shardings of the second
        # program's arguments must be guessed.
        mesh = model._mesh
        placed = SegmentBatch(*(jax.device_put(part, NamedSharding(mesh, BATCH)) for part in batch))
        encoder = (model.encoder(placed.tokens.shape), model._params, *placed[:3])
        whole = NamedSharding(mesh, WHOLE)
        guess = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole),
            jax.eval_shape(*encoder),
        )
        with ThreadPoolExecutor(1) as pool:
            encoding = pool.submit(compile_program, *encoder)
            advance = self._compile_advance(model, guess, placed.keys, settings.steps)
            encode = encoding.result()
        memory = model.prepare(batch).memory
        if any(leaf.sharding != whole for leaf in jax.tree.leaves(memory)):
            advance = self._compile_advance(model, memory, placed.keys, settings.steps)
        return Prepared(settings, copy.copy(model), batch, encode, advance)

    @staticmethod
    def _compile_advance(
        model: DiffusionSegments, memory: Any, keys: jax.Array, steps: int
    ) -> Program:
        config, count = model.config, steps_per_call(steps, STEPS_PER_CALL)
        return compile_program(
            model.program(memory, 0, count),
            model._params,
            _first_carry(keys, config.target_frames, config.mel_bins),
            memory,
            keys,
            None,  # no known frames
            model._table,
            model._films,
            model._weights,
            0,
            count,
        )

    def _model(self, settings: SamplingSettings) -> DiffusionSegments:
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
            sampling=sampling.Sampling(
                settings.sampler, settings.steps, guidance=settings.guidance
            ),
            dtype=compute_type(settings.precision),
            mesh=make_mesh(devices),
        )


def segments(config: ModelConfig, settings: SamplingSettings) -> SegmentBatch:
    """Returns a batch of segments with random notes and full contexts."""
    rng, batch = np.random.default_rng(0), settings.batch
    tokens = np.zeros((batch, settings.padded_tokens), np.int32)
    shape = (batch, settings.note_tokens)
    tokens[:, : settings.note_tokens] = rng.integers(3, 1000, shape)
    context = rng.uniform(-1, 1, (batch, config.context_frames, config.mel_bins))
    return SegmentBatch(
        tokens,
        jax.device_put(context.astype(np.float32)),  # like the previous segment
        np.ones((batch, config.context_frames), bool),
        jax.random.split(jax.random.key(0), batch),
    )


def measure(prepared: Prepared, allowance: float) -> Sampling:
    """Times whole batches of segments or, if that takes too long, some of their steps.

    All steps take the same time, because they are one program with arrays of the same shapes.
    """
    settings, model, batch = prepared.settings, prepared.model, prepared.batch
    encode = repeat(lambda: model.prepare(batch), allowance / 10, 5)
    encoded = model.prepare(batch)

    def take_steps(steps: int) -> jax.Array:
        # Only the first rows of the sampler's table are used.
        model.steps = steps
        return model.sample(encoded)

    few = steps_per_call(settings.steps, STEPS_PER_CALL)
    few_seconds = repeat(lambda: take_steps(few), allowance / 10, 3).seconds
    expected = encode.seconds + few_seconds * settings.steps / few
    if expected <= allowance:
        model.steps = steps = settings.steps
        repeats = max(1, min(10, int(allowance / expected)))
        seconds = statistics.median(seconds_of(lambda: model(batch)) for _ in range(repeats))
        steps_seconds = few_seconds if steps == few else seconds - encode.seconds
    else:
        steps = max(few, int(settings.steps * allowance / expected) // few * few)
        steps_seconds = seconds_of(lambda: take_steps(steps)) * settings.steps / steps
        seconds, repeats = encode.seconds + steps_seconds, 1
    config, item_bytes = model.config, np.dtype(compute_type(settings.precision)).itemsize
    counted = config, settings.batch, settings.padded_tokens, item_bytes
    audio_seconds = settings.batch * config.target_frames / FRAMES_PER_SECOND
    return Sampling(
        seconds=seconds,
        audio_seconds_per_second=audio_seconds / seconds,
        encode_seconds=encode.seconds,
        step_seconds=steps_seconds / settings.steps,
        steps_timed=steps,
        repeats=repeats,
        compile_seconds=prepared.encode.compile_seconds + prepared.advance.compile_seconds,
        program_bytes=prepared.advance.bytes,
        peak_bytes=peak_bytes(),
        flops=prepared.encode.flops + settings.steps * prepared.advance.flops,
        traffic_bytes=encoding_bytes(*counted) + settings.steps * guided_step_bytes(*counted),
    )
