"""Training loop: step, report, evaluate, preview, save."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from spectrodiff.core.constants import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.core.distributed import StopRequest, is_leader, largest_of
from spectrodiff.core.parallel import to_host
from spectrodiff.data.loading.batches import HostBatch
from spectrodiff.data.loading.loader import TrainingBatches
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.data import next_batch
from spectrodiff.training.evaluation import Evaluator
from spectrodiff.training.journal import Outage
from spectrodiff.training.metrics import EVALUATION, MetricsWriter, PendingMetrics, Speedometer
from spectrodiff.training.preview import Preview, preview_stem, write_previews
from spectrodiff.training.run_folder import PREVIEWS
from spectrodiff.training.settings import Training
from spectrodiff.training.state import TrainState
from spectrodiff.training.step import TrainStep
from spectrodiff.training.task import Params, Task

logger = logging.getLogger(__name__)


class Run(NamedTuple):
    """Objects that do not change during a run."""

    folder: Path
    mesh: Mesh
    task: Task
    train_step: TrainStep
    frozen: Params  # of the task, on the devices
    rate: Callable[[int], jax.Array]  # learning rate by step
    batches: TrainingBatches
    examples: HostBatch  # to evaluate on
    evaluator: Evaluator
    checkpoints: Checkpoints
    settings: Training


def train(run: Run, state: TrainState) -> TrainState:
    """Trains until the last step, or until asked to stop; saves and returns the state.

    Previews, logs and checkpoints that cannot be written are reported and left out.

    Raises:
        DivergedError: if the loss or gradient of a step is not finite. Nothing of it is saved.
        OutputError: if the last checkpoint cannot be written.
    """
    settings, first = run.settings, int(state.step)
    leader = is_leader()
    frames = run.task.sizes.target_frames
    speed = Speedometer(
        first,
        settings.steps,
        settings.batch_size,
        frames * HOP_SAMPLES / SAMPLE_RATE,
        enabled=leader,
    )
    pending, step, saved = PendingMetrics(), first, first
    # Batches that were read ahead but not trained on do not count.
    position = run.batches.get_state()
    written = MetricsWriter(
        run.folder,
        first,
        loggers=settings.loggers,
        project=settings.project,
        enabled=leader,
    )
    with written as writer, StopRequest() as stop:
        observer = Observer(run, writer, stop)
        observer.catch_up(state, first)
        while step < settings.steps:
            batch = next_batch(run.batches, run.mesh, stop, step)
            if batch is None:
                break
            position = run.batches.get_state()
            state, metrics = run.train_step(state, batch, run.frozen)
            step += 1
            pending.add(step, metrics)
            speed.step_done()
            last = step == settings.steps
            if last or step % settings.log_every == 0:
                values = speed.report(step, pending.take())
                for warning in run.task.warnings(values):
                    logger.warning(warning)
                writer.scalars(step, {**values, "learning_rate": float(run.rate(step - 1))})
                run.checkpoints.poll()
            with speed.paused():
                observer.observe(state, step)
            if last or step % settings.save_every == 0:
                pending.check()
                run.checkpoints.save(step, state, position)
                saved = step
        if step > saved:
            pending.check()
            run.checkpoints.save(step, state, position)
        # Inside the `with`, so that a second stop request does not end the process half-way.
        run.checkpoints.wait()
        if stop.asked or step < settings.steps:
            logger.info("stopped after step %d; the same command resumes from there", step)
    return state


class Observer:
    """Evaluates and previews a network during training, at the steps where that is due.

    Args:
        run: what is trained.
        writer: for scores and previews.
        stop: once requested, evaluation and previews are skipped; a resumed run makes up for them.
    """

    def __init__(self, run: Run, writer: MetricsWriter, stop: StopRequest) -> None:
        self._run, self._writer, self._stop = run, writer, stop
        self._outage = Outage("previews", "training continues without them")

    def observe(self, state: TrainState, step: int) -> None:
        """Evaluates and previews, if that is due after a step."""
        settings = self._run.settings
        if self._due(step, settings.evaluate_every):
            self._evaluate(state, step)
        if settings.previews and self._due(step, settings.preview_every):
            self._preview(state, step)

    def catch_up(self, state: TrainState, step: int) -> None:
        """Makes up for what was due after the step that the run resumes from."""
        settings = self._run.settings
        if step == 0:
            self._evaluate(state, step)
            return
        evaluated, previewed = self._writer.evaluated(step), self._previewed(step)
        missing = largest_of(int(not evaluated), int(not previewed))
        if missing[0] and self._due(step, settings.evaluate_every):
            self._evaluate(state, step)
        if missing[1] and settings.previews and self._due(step, settings.preview_every):
            self._preview(state, step)

    def _due(self, step: int, every: int) -> bool:
        return step == self._run.settings.steps or step % every == 0

    def _previewed(self, step: int) -> bool:
        return not is_leader() or preview_stem(self._folder, step, 0).with_suffix(".wav").exists()

    @property
    def _folder(self) -> Path:
        return self._run.folder / PREVIEWS

    def _evaluate(self, state: TrainState, step: int) -> None:
        scores = self._run.evaluator(_best(state), self._stop.agreed)
        if not scores:
            return
        values = {f"{EVALUATION}{name}": value for name, value in scores.items()}
        self._writer.scalars(step, values)
        if is_leader():
            logger.info("step %d: evaluation loss %.4f", step, scores["loss"])

    def _preview(self, state: TrainState, step: int) -> None:
        if self._stop.agreed():
            return
        run = self._run
        params = to_host(_best(state), run.mesh)
        if not is_leader():
            return
        count = run.settings.previews

        def render() -> list[Preview]:
            return write_previews(self._folder, step, run.task, params, run.examples, count)

        try:
            for number, preview in enumerate(self._stop.unless_asked(render) or []):
                self._writer.picture(step, f"preview_{number}", preview.picture)
                self._writer.audio(step, f"preview_{number}", preview.audio)
        except Exception as error:  # disk, decoder, or a device out of memory
            self._outage.failed(error)
        else:
            self._outage.succeeded()


def _best(state: TrainState) -> Params:
    """Returns the running average of the parameters if there is one, else the parameters."""
    return state.params if state.ema is None else state.ema
