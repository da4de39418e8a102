"""Stages of the training of a network: shared by the synthesizer and the inverter."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from spectrodiff.recipe.log import RecipeLog
from spectrodiff.recipe.settings import InverterStage, Stage
from spectrodiff.recipe.supply import SongSupply
from spectrodiff.recipe.trainer import Program, StagePlan, train_until
from spectrodiff.training.state import TrainState

SAVE_SECONDS = 60.0

AnyStage = TypeVar("AnyStage", Stage, InverterStage)


def with_ends(stages: Sequence[AnyStage], deadline: float) -> Iterator[tuple[AnyStage, float]]:
    """Yields stages and the times at which they end.

    Args:
        stages: their shares add up to 1.
        deadline: end of the last stage, on the monotonic clock.
    """
    begin, done = time.monotonic(), 0.0
    for stage in stages:
        done += stage.share
        yield stage, begin + done * (deadline - begin)


def run_stage(
    state: TrainState,
    programs: Sequence[Program],
    plan: StagePlan,
    songs: SongSupply,
    path: Path,
    write: Callable[[TrainState], None],
    log: RecipeLog,
) -> TrainState:
    """Trains for a stage; saves every minute and at its end.

    Args:
        state: before the stage; its memory is reused.
        programs: compiled steps.
        plan: duration and learning rate.
        songs: supply of songs, which are added during training.
        path: where `write` writes; what is there is not replaced by a state without a step.
        write: writes the weights of a state.
        log: of the run.

    Returns:
        The state after the stage.
    """
    saved = time.monotonic()

    def save(state: TrainState) -> None:
        nonlocal saved
        if int(state.step) or not path.exists():
            write(state)
        saved = time.monotonic()

    def between(state: TrainState) -> None:
        songs.add_rendered()
        if time.monotonic() - saved > SAVE_SECONDS:
            save(state)

    state = train_until(state, programs, plan, between, log.report)
    save(state)
    return state
