"""Rows of training: speed, memory, waiting for data, and determinism."""

import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from counting import count_flops
from jax.sharding import Mesh
from loader import make_audio, make_corpus, make_notes
from training_step import examples

from on_device.common import (
    Once,
    Program,
    compile_program,
    memory_limit,
    peak_bytes,
    random_params,
)
from on_device.results import Repeat, RepeatSettings, Row, Training, TrainingSettings
from on_device.runner import Job
from on_device.scale import Scale
from spectrodiff.checkpoints.tree import expected_shapes
from spectrodiff.core.parallel import make_mesh, shardings_of, to_devices
from spectrodiff.data.loading.examples import ExampleFormat
from spectrodiff.data.loading.lengths import Source
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.pieces import MemoryPieces
from spectrodiff.data.recordings import Recording
from spectrodiff.models.config import ModelConfig
from spectrodiff.training import settings as run_settings
from spectrodiff.training.examples import Batch, read_examples
from spectrodiff.training.optimizers import learning_rate, make_optimizer
from spectrodiff.training.state import Placement, TrainState, place_state
from spectrodiff.training.step import make_train_step
from spectrodiff.training.task import Params, Task
from spectrodiff.training.tasks.denoise import Denoise

PRECISION = "bfloat16"
LOADER_WORKERS, LOADER_SECONDS = 4, 60
# Maximum time of two trainings.
REPEAT_SECONDS = 15.0


class FirstState(NamedTuple):
    """State before the first step."""

    host: TrainState  # host arrays
    shardings: TrainState


class Step(NamedTuple):
    """A compiled step for a batch that fits into memory."""

    first_state: FirstState
    program: Program
    batch: int
    inputs: Batch  # on the device
    flops_per_example: float
    mesh: Mesh
    config: ModelConfig
    note: str  # reason for a smaller batch


class Corpus(NamedTuple):
    """Recordings for the loader."""

    source: Source
    note: str  # where they are stored


class TrainingBench:
    """Makes the rows of training, which share programs.

    Args:
        scale: sizes of the measurements.
        folder: for the corpus that the loader reads.
    """

    def __init__(self, scale: Scale, folder: Path) -> None:
        self._scale, self._folder, self._once = scale, folder, Once()

    def jobs(self, group: str, which: int) -> list[Job]:
        """Returns the rows of all networks on one batch; `which` is 0 or 1 of two batch sizes."""
        made = []
        for size, batches in self._scale.training_batches.items():
            row = self._row(group, size, batches[which], "one batch")
            prepare = functools.partial(self.step, size, batches[which])
            made.append(Job(row, functools.partial(self._measure, measure_step, row), prepare))
        return made

    def loader_jobs(self, group: str) -> list[Job]:
        """Returns the rows of all networks on batches from the loader."""
        made = []
        for size, (batch, _) in self._scale.training_batches.items():
            row = self._row(group, size, batch, "loader")
            measure = functools.partial(self._measure, self._measure_loader, row)
            made.append(Job(row, measure, functools.partial(self._with_corpus, size, batch)))
        return made

    def repeat_jobs(self, group: str) -> list[Job]:
        """Returns the row that compares two trainings of the smallest network."""
        size, (batch, _) = list(self._scale.training_batches.items())[-1]
        settings = RepeatSettings(size, PRECISION, batch, self._scale.repeated_steps)
        row = Row(group, "determinism", settings)
        measure = functools.partial(self._measure, measure_repeat, row)
        prepare = functools.partial(self.step, size, batch)
        return [Job(row, measure, prepare, seconds=REPEAT_SECONDS)]

    def step(self, size: str, batch: int) -> Step:
        """Returns the compiled step; the batch is halved until it fits into memory."""
        return self._once((size, batch), lambda: self._fitting_step(size, batch))

    def _row(self, group: str, size: str, batch: int, data: Any) -> Row:
        padded = self._scale.padded_tokens
        return Row(group, "training", TrainingSettings(size, PRECISION, batch, padded, data))

    def _with_corpus(self, size: str, batch: int) -> Step:
        self._corpus()
        return self.step(size, batch)

    def _corpus(self) -> Corpus:
        folder, recordings = self._folder, self._scale.recordings
        return self._once("corpus", lambda: open_corpus(folder, recordings))

    def _measure_loader(self, row: Row, step: Step, allowance: float) -> Training:
        return measure_loader(row, step, self._corpus(), allowance)

    def _measure(self, measure: Any, row: Row, step: Step, allowance: float) -> Any:
        """Measures, and halves the batch if the program runs out of memory."""
        while True:
            try:
                return measure(row, step, allowance)
            except jax.errors.JaxRuntimeError as error:
                if not out_of_memory(error) or step.batch == 1:
                    raise
            # Outside the block, because the exception keeps arrays alive.
            step = self._halved(row.settings.size, step.batch, "out of memory")
            self._once.replace((row.settings.size, row.settings.batch), step)

    def _fitting_step(self, size: str, batch: int) -> Step:
        limit = memory_limit()
        try:
            step = self._step(size, batch)
        except jax.errors.JaxRuntimeError as error:
            if not out_of_memory(error) or batch == 1:
                raise
            why = "out of memory while compiling"
        else:
            needed = step.program.bytes or 0
            if limit is None or needed <= 0.95 * limit or batch == 1:
                return step
            why = f"{needed / 2**30:.1f} GiB needed, {limit / 2**30:.1f} GiB available"
        return self._halved(size, batch, why)

    def _halved(self, size: str, batch: int, why: str) -> Step:
        """Returns the step for half a batch."""
        print(f"training {size}, batch {batch}: {why}; the batch is halved", flush=True)
        step = self.step(size, batch // 2)
        notes = (f"batch {batch} does not fit ({why})", step.note)
        return step._replace(note="; ".join(note for note in notes if note))

    def _step(self, size: str, batch: int) -> Step:
        scale = self._scale
        training = run_settings.Training(
            batch_size=batch, precision=PRECISION, random_bits="rbg", steps=1000
        )
        optimization = run_settings.Optimization()
        task = Denoise(
            config=scale.networks[size].config(), dtype=training.dtype, remat=training.remat
        )
        optimizer = make_optimizer(optimization, learning_rate(optimization, training.steps))
        mesh, config = make_mesh(jax.devices()[:1]), scale.config(size)

        def first_state() -> FirstState:
            params = random_params(expected_shapes(config))
            state = place_state(params, optimizer, Placement(mesh))
            return FirstState(jax.device_get(state), shardings_of(state))

        first = self._once((size, "first state"), first_state)
        inputs = examples(config, batch, scale.note_tokens, scale.padded_tokens)
        placed = to_devices(inputs, mesh)
        function = make_train_step(task, optimizer, mesh, first.shardings, training, optimization)
        abstract = jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            first.host,
            first.shardings,
        )
        program = compile_program(function, abstract, placed, task.frozen)
        flops = 3 * forward_flops(task, first.host.params, placed, mesh) / batch
        return Step(first, program, batch, placed, flops, mesh, config, "")


def forward_flops(task: Task, params: Params, batch: Batch, mesh: Mesh) -> float:
    """Returns the operations of matrix products of a forward pass, without features."""
    inputs = jax.eval_shape(lambda batch: read_examples(batch, task.sizes, mesh), batch)
    traced = jax.make_jaxpr(task.loss)(params, inputs, jax.random.key(0))
    return count_flops(traced)


def start_training(step: Step) -> TrainState:
    """Places the first state on the device; the step reuses its memory."""
    host = step.first_state.host
    if jax.devices()[0].platform == "cpu":
        # Arrays on a CPU device may share memory with the host arrays.
        host = jax.tree.map(np.array, host)
    return jax.device_put(host, step.first_state.shardings)


def measure_step(row: Row, step: Step, allowance: float) -> Training:
    """Measures steps on one batch that stays on the device."""
    row.note = step.note
    _, step_seconds, steps = timed_steps(step, allowance)
    return measured(step, step_seconds, steps)


def measured(step: Step, step_seconds: float, steps: int) -> Training:
    """Returns the result of timed steps."""
    return Training(
        batch=step.batch,
        examples_per_second=step.batch / step_seconds,
        step_seconds=step_seconds,
        steps_timed=steps,
        compile_seconds=step.program.compile_seconds,
        program_bytes=step.program.bytes,
        peak_bytes=peak_bytes(),
        flops_per_example=step.flops_per_example,
        flops_per_second=step.flops_per_example * step.batch / step_seconds,
    )


def timed_steps(step: Step, allowance: float) -> tuple[TrainState, float, int]:
    """Returns the last state, the seconds per step, and the number of timed steps."""
    run, state = step.program.compiled, start_training(step)
    state, metrics = jax.block_until_ready(run(state, step.inputs, {}))
    start = time.perf_counter()
    state, metrics = jax.block_until_ready(run(state, step.inputs, {}))
    steps = max(3, min(50, int(allowance / (time.perf_counter() - start))))
    start = time.perf_counter()
    for _ in range(steps):
        state, metrics = run(state, step.inputs, {})
    jax.block_until_ready((state, metrics))
    return state, (time.perf_counter() - start) / steps, steps


def open_corpus(folder: Path, recordings: int) -> Corpus:
    """Returns generated recordings of a minute each, in a prepared corpus or in memory."""
    try:
        source = make_corpus(folder, recordings, LOADER_SECONDS)
        return Corpus(source.pieces, "pieces on disk")
    except ModuleNotFoundError as missing:
        where = f"pieces in memory, because {missing.name} is not installed"
    made = [
        Recording(
            str(seed),
            (32767 * make_audio(LOADER_SECONDS, seed)).astype(np.int16),
            make_notes(LOADER_SECONDS, seed),
        )
        for seed in range(recordings)
    ]
    return Corpus(MemoryPieces(made), where)


def measure_loader(row: Row, step: Step, corpus: Corpus, allowance: float) -> Training:
    """Measures steps on batches from the loader, the loader alone, and steps on one batch."""
    example_format = ExampleFormat(
        context_frames=step.config.context_frames,
        target_frames=step.config.target_frames,
        max_tokens=step.inputs["tokens"].shape[1],
        overflow="truncate",
    )
    state, alone_seconds, _ = timed_steps(step, allowance / 3)
    with TrainingBatches(
        [corpus.source], example_format, batch_size=step.batch, seed=0, workers=LOADER_WORKERS
    ) as batches:

        def next_batch() -> Batch:
            # Padded to one length, that of the program.
            batch = next(batches)
            shorter = example_format.max_tokens - batch["tokens"].shape[1]
            tokens = np.pad(batch["tokens"], [(0, 0), (0, shorter)])
            return to_devices({**batch, "tokens": tokens}, step.mesh)

        for _ in range(2):
            next(batches)  # starts workers and fills their buffers
        loaded = _calls_per_second(allowance / 3, lambda: next(batches))
        steps = max(3, min(200, int(allowance / alone_seconds)))
        start = time.perf_counter()
        for _ in range(steps):
            state, metrics = step.program.compiled(state, next_batch(), {})
        jax.block_until_ready((state, metrics))
        step_seconds = (time.perf_counter() - start) / steps
    row.note = "; ".join(part for part in (step.note, corpus.note) if part)
    found = measured(step, step_seconds, steps)
    found.loader_examples_per_second = step.batch * loaded
    found.waiting_share = max(0.0, 1 - alone_seconds / step_seconds)
    return found


def _calls_per_second(seconds: float, function: Callable[[], object]) -> float:
    """Returns the calls per second, measured for at least `seconds`."""
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or not calls:
        function()
        calls += 1
    return calls / (time.perf_counter() - start)


def measure_repeat(row: Row, step: Step, allowance: float) -> Repeat:
    """Trains twice from the same state, with one program, and compares the results."""
    row.note = "; ".join(part for part in (step.note, "one program, one process") if part)
    runs = [_train(step, row.settings.steps) for _ in range(2)]
    (first, first_losses), (second, second_losses) = runs
    pairs = list(zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True))
    differences = [float(np.max(np.abs(one.astype(np.float64) - other))) for one, other in pairs]
    equal = all(one.tobytes() == other.tobytes() for one, other in pairs)
    return Repeat(
        equal=equal and first_losses.tobytes() == second_losses.tobytes(),
        largest_parameter_difference=max(differences),
        largest_loss_difference=float(np.max(np.abs(first_losses - second_losses))),
        first_loss=float(first_losses[0]),
        last_loss=float(first_losses[-1]),
    )


def _train(step: Step, steps: int) -> tuple[Params, np.ndarray]:
    """Returns parameters and losses after some steps, as host arrays."""
    state, losses = start_training(step), []
    for _ in range(steps):
        state, metrics = step.program.compiled(state, step.inputs, {})
        losses.append(metrics["loss"])
    params, losses = jax.device_get((state.params, losses))
    return params, np.array(losses)


def out_of_memory(error: Exception) -> bool:
    """Returns True if an error is about insufficient memory of the device."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
