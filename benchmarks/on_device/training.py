"""Training steps: speed, memory, waiting for data, and whether two runs are the same."""

import functools
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from counting import count_flops
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
from spectrodiff.checkpoints import expected_shapes
from spectrodiff.core.parallel import make_mesh, shardings_of, to_devices
from spectrodiff.data.loading.batches import pad_tokens
from spectrodiff.data.loading.examples import ExampleFormat
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.data.loading.mixture import Source
from spectrodiff.data.recordings import Recording
from spectrodiff.models.config import ModelConfig
from spectrodiff.training import settings as run_settings
from spectrodiff.training.examples import read_examples
from spectrodiff.training.optimizers import learning_rate, make_optimizer
from spectrodiff.training.state import Placement, TrainState, place_state
from spectrodiff.training.step import make_train_step
from spectrodiff.training.task import Task
from spectrodiff.training.tasks.denoise import Denoise, Diffusion

PRECISION = "bfloat16"
LOADER_THREADS, LOADER_SECONDS = 8, 60
# What two trainings may take.
REPEAT_SECONDS = 15.0


class Beginning(NamedTuple):
    """State before the first step of a training."""

    host: TrainState  # host arrays
    shardings: TrainState


class Step(NamedTuple):
    """A compiled step for a batch that fits."""

    beginning: Beginning
    program: Program
    batch: int
    inputs: Any  # on the device
    flops_per_example: float
    mesh: Any
    config: ModelConfig
    note: str  # what had to be made smaller


class Corpus(NamedTuple):
    """Recordings for the loader."""

    source: Source
    note: str  # where they are


class TrainingBench:
    """Makes the rows of training; programs are shared between them.

    Args:
        scale: sizes of everything.
        folder: for the corpus that batches are read from.
    """

    def __init__(self, scale: Scale, folder: Path) -> None:
        self._scale, self._folder, self._once = scale, folder, Once()

    def jobs(self, group: str, which: int) -> list[Job]:
        """One fixed batch of every network; `which` says which of its batch sizes."""
        made = []
        for size, batches in self._scale.training_batches.items():
            row = self._row(group, size, batches[which], "one batch")
            prepare = functools.partial(self.step, size, batches[which])
            made.append(Job(row, functools.partial(self._measure, measure_step, row), prepare))
        return made

    def loader_jobs(self, group: str) -> list[Job]:
        """Training programs on batches that are read from a corpus."""
        made = []
        for size, (batch, _) in self._scale.training_batches.items():
            row = self._row(group, size, batch, "loader")
            measure = functools.partial(self._measure, self._measure_loader, row)
            made.append(Job(row, measure, functools.partial(self._with_corpus, size, batch)))
        return made

    def repeat_jobs(self, group: str) -> list[Job]:
        """Two trainings of the smallest network, compared."""
        size, (batch, _) = list(self._scale.training_batches.items())[-1]
        settings = RepeatSettings(size, PRECISION, batch, self._scale.repeated_steps)
        row = Row(group, "determinism", settings)
        measure = functools.partial(self._measure, measure_repeat, row)
        prepare = functools.partial(self.step, size, batch)
        return [Job(row, measure, prepare, seconds=REPEAT_SECONDS)]

    def step(self, size: str, batch: int) -> Step:
        """The compiled step, with half the batch as long as it needs too much memory."""
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
        """Measures with half the batch if memory runs out only when the program runs."""
        while True:
            try:
                return measure(row, step, allowance)
            except jax.errors.JaxRuntimeError as error:
                if not out_of_memory(error) or step.batch == 1:
                    raise
            # Not in the block above, where the exception still holds on to arrays.
            step = self._halved(row.settings.size, step.batch, "memory runs out")
            self._once.replace((row.settings.size, row.settings.batch), step)

    def _fitting_step(self, size: str, batch: int) -> Step:
        limit = memory_limit()
        try:
            step = self._step(size, batch)
        except jax.errors.JaxRuntimeError as error:
            if not out_of_memory(error) or batch == 1:
                raise
            why = "memory runs out while compiling"
        else:
            needed = step.program.bytes or 0
            if limit is None or needed <= 0.95 * limit or batch == 1:
                return step
            why = f"{needed / 2**30:.1f} GiB needed, {limit / 2**30:.1f} GiB there"
        return self._halved(size, batch, why)

    def _halved(self, size: str, batch: int, why: str) -> Step:
        """The step for half a batch, which may be there already."""
        print(f"training {size}, batch {batch}: {why}; half of it then", flush=True)
        step = self.step(size, batch // 2)
        notes = (f"batch {batch} does not fit ({why})", step.note)
        return step._replace(note="; ".join(note for note in notes if note))

    def _step(self, size: str, batch: int) -> Step:
        scale = self._scale
        training = run_settings.Training(
            batch_size=batch, precision=PRECISION, random_bits="rbg", steps=1000
        )
        optimization = run_settings.Optimization()
        task = Denoise(scale.networks[size].config(), Diffusion(), training.dtype, training.remat)
        optimizer = make_optimizer(optimization, learning_rate(optimization, training.steps))
        mesh, config = make_mesh(jax.devices()[:1]), scale.config(size)

        def begin() -> Beginning:
            params = random_params(expected_shapes(config))
            state = place_state(params, optimizer, Placement(mesh))
            return Beginning(jax.device_get(state), shardings_of(state))

        beginning = self._once((size, "beginning"), begin)
        inputs = examples(config, batch, scale.note_tokens, scale.padded_tokens)
        placed = to_devices(inputs, mesh)
        function = make_train_step(
            task, optimizer, mesh, beginning.shardings, training, optimization
        )
        abstract = jax.tree.map(
            lambda leaf, place: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place),
            beginning.host,
            beginning.shardings,
        )
        program = compile_program(function, abstract, placed)
        flops = 3 * forward_flops(task, beginning.host.params, placed, mesh) / batch
        return Step(beginning, program, batch, placed, flops, mesh, config, "")


def forward_flops(task: Task, params: Any, batch: Any, mesh: Any) -> float:
    """Operations of the network's matrix products in one forward pass, without features."""
    segment = jax.eval_shape(lambda batch: read_examples(batch, task.sizes, mesh), batch)
    traced = jax.make_jaxpr(task.loss)(params, segment, jax.random.key(0))
    return count_flops(traced)


def begin_training(step: Step) -> TrainState:
    """A fresh state on the device; the step takes over its memory."""
    host = step.beginning.host
    if jax.devices()[0].platform == "cpu":
        # Arrays "on the device" may share memory with those they come from.
        host = jax.tree.map(np.array, host)
    return jax.device_put(host, step.beginning.shardings)


def measure_step(row: Row, step: Step, allowance: float) -> Training:
    """Steps on one batch that stays on the device."""
    row.note = step.note
    _, step_seconds, steps = timed_steps(step, allowance)
    return measured(step, step_seconds, steps)


def measured(step: Step, step_seconds: float, steps: int) -> Training:
    """The result of some timed steps."""
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
    """The state after some steps, seconds of one step, and how many were timed."""
    run, state = step.program.compiled, begin_training(step)
    state, metrics = jax.block_until_ready(run(state, step.inputs))
    start = time.perf_counter()
    state, metrics = jax.block_until_ready(run(state, step.inputs))
    steps = max(3, min(50, int(allowance / (time.perf_counter() - start))))
    start = time.perf_counter()
    for _ in range(steps):
        state, metrics = run(state, step.inputs)
    jax.block_until_ready((state, metrics))
    return state, (time.perf_counter() - start) / steps, steps


def open_corpus(folder: Path, recordings: int) -> Corpus:
    """Generated recordings of a minute each, prepared in a folder or, failing that, in memory."""
    try:
        return Corpus(make_corpus(folder, recordings, LOADER_SECONDS), "recordings on disk")
    except ModuleNotFoundError as missing:
        where = f"recordings in memory, as there is no {missing.name}"
    made = [
        Recording(
            str(seed),
            (32767 * make_audio(LOADER_SECONDS, seed)).astype(np.int16),
            make_notes(LOADER_SECONDS, seed),
        )
        for seed in range(recordings)
    ]
    return Corpus(made, where)


def measure_loader(row: Row, step: Step, corpus: Corpus, allowance: float) -> Training:
    """Steps on batches from the loader, beside the loader alone and steps on one batch."""
    example_format = ExampleFormat(
        context_frames=step.config.context_frames,
        target_frames=step.config.target_frames,
        max_tokens=step.inputs["tokens"].shape[1],
        overflow="truncate",
    )
    state, alone_seconds, _ = timed_steps(step, allowance / 3)
    with TrainingBatches(
        [corpus.source], example_format, batch_size=step.batch, seed=0, threads=LOADER_THREADS
    ) as batches:

        def following() -> Any:
            # One length, so that one program does.
            return to_devices(pad_tokens(next(batches), example_format.max_tokens), step.mesh)

        for _ in range(2):
            next(batches)  # starts threads and fills all places
        loaded = _count_for(allowance / 3, lambda: next(batches))
        steps = max(3, min(200, int(allowance / alone_seconds)))
        start = time.perf_counter()
        for _ in range(steps):
            state, metrics = step.program.compiled(state, following())
        jax.block_until_ready((state, metrics))
        step_seconds = (time.perf_counter() - start) / steps
    row.note = "; ".join(part for part in (step.note, corpus.note) if part)
    found = measured(step, step_seconds, steps)
    found.loader_examples_per_second = step.batch * loaded
    found.waiting_share = max(0.0, 1 - alone_seconds / step_seconds)
    return found


def _count_for(seconds: float, function: Any) -> float:
    """Calls per second, over so many seconds or a little more."""
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < seconds or not calls:
        function()
        calls += 1
    return calls / (time.perf_counter() - start)


def measure_repeat(row: Row, step: Step, allowance: float) -> Repeat:
    """Trains twice from the same beginning, with the same program, and compares."""
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


def _train(step: Step, steps: int) -> tuple[Any, np.ndarray]:
    """Parameters and losses after some steps, on the host."""
    state, losses = begin_training(step), []
    for _ in range(steps):
        state, metrics = step.program.compiled(state, step.inputs)
        losses.append(metrics["loss"])
    params, losses = jax.device_get((state.params, losses))
    return params, np.array(losses)


def out_of_memory(error: Exception) -> bool:
    """True if an error says that the device's memory was not enough."""
    return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
