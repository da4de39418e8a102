"""Rows of the PyTorch port, the inverter and the features."""

import functools
from typing import Any

import jax
import numpy as np

from on_device.common import Program, compile_program, random_params, repeat
from on_device.port import PortProcess, sizes_of
from on_device.results import Audio, AudioSettings, Port, PortSettings, Row
from on_device.runner import Job, Unavailable
from on_device.scale import Scale
from spectrodiff.audio.features import log_mel
from spectrodiff.core.constants import FRAMES_PER_SECOND, HOP_SAMPLES, NUM_MELS
from spectrodiff.inverter.config import SIZES
from spectrodiff.inverter.networks.generators import generate, generator_of
from spectrodiff.models.definition import define

# Maximum time to wait for the imports of the port, and for a measurement.
IMPORT_SECONDS, EAGER_SECONDS, COMPILED_SECONDS = 20.0, 20.0, 75.0


def port_jobs(group: str, scale: Scale, process: PortProcess, *, compiled: bool) -> list[Job]:
    """Returns the rows of the port: all batch sizes in both precisions."""
    made = []
    for precision in ("bfloat16", "float32"):
        for batch in scale.first_batches:
            settings = PortSettings(scale.port_size, precision, batch, compiled)
            measure = functools.partial(measure_port, scale, process, settings)
            seconds = COMPILED_SECONDS if compiled else EAGER_SECONDS
            made.append(Job(Row(group, "port", settings), measure, seconds=seconds))
    return made


def measure_port(
    scale: Scale, process: PortProcess, settings: PortSettings, _: Any, allowance: float
) -> Port:
    """Asks the process of the port for a measurement."""
    hello = process.hello(IMPORT_SECONDS)
    if "error" in hello:
        raise Unavailable(f"the port cannot be imported: {hello['error']}")
    on_gpu = jax.devices()[0].platform == "gpu"
    if on_gpu and hello["device"] == "cpu":
        raise Unavailable("torch sees no GPU here")
    config = scale.config(settings.size)
    request = {
        "sizes": sizes_of(config),
        "precision": settings.precision,
        "batch": settings.batch,
        "note_tokens": scale.note_tokens,
        "context_frames": config.context_frames,
        "compiled": settings.compiled,
        "seconds": allowance,
    }
    answer = process.ask(request, COMPILED_SECONDS if settings.compiled else EAGER_SECONDS)
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return Port(answer["seconds"], answer["repeats"], answer["peak_bytes"])


def audio_jobs(group: str, scale: Scale) -> list[Job]:
    """Returns the rows of the inverter and the features, at batch sizes 1 and 16."""
    made = []
    for what, prepare in (("inverter", prepare_inverter), ("log-mel", prepare_log_mel)):
        for batch in (1, 16):
            settings = AudioSettings(what, batch, scale.inverter_frames)
            job = functools.partial(prepare, scale, settings)
            measure = functools.partial(measure_audio, settings)
            made.append(Job(Row(group, "sound", settings), measure, job))
    return made


def prepare_inverter(scale: Scale, settings: AudioSettings) -> tuple[Program, Any]:
    """Compiles the generator with random parameters, on which the time does not depend."""
    config = SIZES[scale.inverter]
    params = jax.device_put(random_params(define(generator_of(config), config).named_shapes))
    shape = (settings.batch, settings.frames, NUM_MELS)
    features = jax.device_put(9 * np.random.default_rng(0).random(shape, np.float32) - 8)
    invert = jax.jit(lambda params, features: generate(config, params, features))
    return compile_program(invert, params, features), (params, features)


def prepare_log_mel(scale: Scale, settings: AudioSettings) -> tuple[Program, Any]:
    """Compiles the features of audio in the loader's format."""
    shape = (settings.batch, settings.frames * HOP_SAMPLES)
    audio = np.random.default_rng(0).integers(-8000, 8000, shape, np.int16)
    placed = jax.device_put(audio)
    return compile_program(jax.jit(log_mel), placed), (placed,)


def measure_audio(
    settings: AudioSettings, prepared: tuple[Program, Any], allowance: float
) -> Audio:
    """Times calls of a program."""
    program, arguments = prepared
    found = repeat(lambda: program.compiled(*arguments), allowance / 2)
    audio_seconds = settings.batch * settings.frames / FRAMES_PER_SECOND
    return Audio(
        seconds=found.seconds,
        audio_seconds_per_second=audio_seconds / found.seconds,
        repeats=found.repeats,
        compile_seconds=program.compile_seconds,
        program_bytes=program.bytes,
    )
