"""The rows beside our own sampling and training: the port's steps, the inverter, the features."""

import functools
from typing import Any

import jax
import numpy as np

from on_device.common import Program, compile_program, random_params, repeat
from on_device.port import PortProcess, sizes_of
from on_device.results import Port, PortSettings, Row, Sound, SoundSettings
from on_device.runner import Job, Unavailable
from on_device.scale import Scale
from spectrodiff.audio.features import log_mel
from spectrodiff.core.constants import FRAMES_PER_SECOND, HOP_SAMPLES, NUM_MELS
from spectrodiff.inverter.config import SIZES
from spectrodiff.inverter.networks.generators import generate, generator_of
from spectrodiff.models.definition import define

# How long to wait at most: for imports, which began with the run, and for a measurement.
IMPORT_SECONDS, EAGER_SECONDS, COMPILED_SECONDS = 20.0, 20.0, 75.0


def port_jobs(group: str, scale: Scale, process: PortProcess, *, compiled: bool) -> list[Job]:
    """Two batch sizes in both precisions."""
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
    """Asks the other process."""
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


def sound_jobs(group: str, scale: Scale) -> list[Job]:
    """The inverter and the features, one at a time and many."""
    made = []
    for what, prepare in (("inverter", prepare_inverter), ("log-mel", prepare_log_mel)):
        for batch in (1, 16):
            settings = SoundSettings(what, batch, scale.inverter_frames)
            job = functools.partial(prepare, scale, settings)
            measure = functools.partial(measure_sound, settings)
            made.append(Job(Row(group, "sound", settings), measure, job))
    return made


def prepare_inverter(scale: Scale, settings: SoundSettings) -> tuple[Program, Any]:
    """The generator with random parameters: what they are changes nothing about the time."""
    config = SIZES[scale.inverter]
    params = jax.device_put(random_params(define(generator_of(config), config).named_shapes))
    shape = (settings.batch, settings.frames, NUM_MELS)
    log_mel = jax.device_put(9 * np.random.default_rng(0).random(shape, np.float32) - 8)
    invert = jax.jit(lambda params, log_mel: generate(config, params, log_mel))
    return compile_program(invert, params, log_mel), (params, log_mel)


def prepare_log_mel(scale: Scale, settings: SoundSettings) -> tuple[Program, Any]:
    """The features of sound as it comes from a loader."""
    shape = (settings.batch, settings.frames * HOP_SAMPLES)
    audio = np.random.default_rng(0).integers(-8000, 8000, shape, np.int16)
    placed = jax.device_put(audio)
    return compile_program(jax.jit(lambda audio: log_mel(audio)), placed), (placed,)


def measure_sound(
    settings: SoundSettings, prepared: tuple[Program, Any], allowance: float
) -> Sound:
    """Times whole calls."""
    program, arguments = prepared
    found = repeat(lambda: program.compiled(*arguments), allowance / 2)
    audio_seconds = settings.batch * settings.frames / FRAMES_PER_SECOND
    return Sound(
        seconds=found.seconds,
        audio_seconds_per_second=audio_seconds / found.seconds,
        repeats=found.repeats,
        compile_seconds=program.compile_seconds,
        program_bytes=program.bytes,
    )
