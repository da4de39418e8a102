"""The training loop: step, report, evaluate, listen, save."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from jax.sharding import Mesh

from spectrodiff.features import HOP_SAMPLES, SAMPLE_RATE
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.data import next_batch
from spectrodiff.training.distributed import StopRequest, is_leader
from spectrodiff.training.evaluation import Evaluation, Examples
from spectrodiff.training.metrics import MetricsWriter, PendingMetrics, Speedometer
from spectrodiff.training.objective import Objective
from spectrodiff.training.preview import write_previews
from spectrodiff.training.run_folder import PREVIEWS
from spectrodiff.training.settings import Training
from spectrodiff.training.sharding import to_host
from spectrodiff.training.state import TrainState
from spectrodiff.training.step import TrainStep
from spectrodiff.vocoder.adversarial import collapsed

logger = logging.getLogger(__name__)


class Run(NamedTuple):
    """Everything that stays the same while a run runs."""

    folder: Path
    mesh: Mesh
    objective: Objective
    train_step: TrainStep
    rate: Callable[[int], Any]  # learning rate by step
    batches: Any  # endless, with get_state
    examples: Examples  # to evaluate on
    evaluation: Evaluation
    checkpoints: Checkpoints
    settings: Training


def train(run: Run, state: TrainState) -> TrainState:
    """Trains until the last step, or until asked to stop; saves and returns the state.

    Raises:
        DivergedError: if the loss or gradient of a step is not finite. Nothing of it is saved.
        OutputError: if a checkpoint or report cannot be written.
    """
    settings, first = run.settings, int(state.step)
    leader = is_leader()
    frames = run.objective.config.target_frames
    speed = Speedometer(
        first,
        settings.steps,
        settings.batch_size,
        frames * HOP_SAMPLES / SAMPLE_RATE,
        enabled=leader,
    )
    pending = PendingMetrics()
    with MetricsWriter(run.folder, first, enabled=leader) as writer, StopRequest() as stop:
        if first == 0:
            _evaluate(run, state, 0, writer)
        for step in range(first + 1, settings.steps + 1):
            state, metrics = run.train_step(state, next_batch(run.batches, run.mesh))
            pending.add(step, metrics)
            speed.step_done()
            last = step == settings.steps
            if last or step % settings.log_every == 0:
                values = speed.report(step, pending.take())
                for name in collapsed(values):
                    logger.warning("%s is nearly zero: it has nothing to teach any more", name)
                writer.scalars(step, {**values, "learning_rate": float(run.rate(step - 1))})
            with speed.paused():
                if last or step % settings.evaluate_every == 0:
                    _evaluate(run, state, step, writer)
                if last or step % settings.preview_every == 0:
                    _preview(run, state, step, writer)
            stopping = stop.agreed(step)
            if last or stopping or step % settings.save_every == 0:
                pending.check()
                run.checkpoints.save(step, state, run.batches.get_state())
            if stopping:
                logger.info("stopped after step %d; the same command goes on from there", step)
                break
    run.checkpoints.wait()
    return state


def _evaluate(run: Run, state: TrainState, step: int, writer: MetricsWriter) -> None:
    scores = run.evaluation(state.params if state.ema is None else state.ema)
    writer.scalars(step, {f"evaluation/{name}": value for name, value in scores.items()})
    if is_leader():
        logger.info("step %d: evaluation loss %.4f", step, scores["loss"])


def _preview(run: Run, state: TrainState, step: int, writer: MetricsWriter) -> None:
    if not run.settings.previews:
        return
    params = to_host(state.params if state.ema is None else state.ema, run.mesh)
    if not is_leader():
        return
    previews = write_previews(
        run.folder / PREVIEWS, step, run.objective, params, run.examples, run.settings.previews
    )
    for number, preview in enumerate(previews):
        writer.picture(step, f"preview_{number}", preview.picture)
        writer.audio(step, f"preview_{number}", preview.audio)
