"""Checkpoints of a run through Orbax: saved in the background, whole or not at all.

Parameters, optimiser state, running average and data position are separate parts, so that each can
be read alone. A process killed while saving leaves the checkpoint before it as the newest. A save
that fails is reported, and the next one is a new try; a newest checkpoint that was damaged later is
set aside for the one before it.
"""

import contextlib
import logging
import os
import re
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp

from spectrodiff.checkpoints.damage import damage, first_line
from spectrodiff.checkpoints.run_folder import AVERAGE, PARAMS, damaged, steps_of, unreadable
from spectrodiff.core.distributed import is_leader, largest, wait_for_all
from spectrodiff.core.errors import OutputError
from spectrodiff.core.files import unwritable
from spectrodiff.training.state import TrainState

logger = logging.getLogger(__name__)

OPTIMIZER, POSITION, META = "opt_state", "data", "meta"
_UNFINISHED = ".orbax-checkpoint-tmp"
_SYSTEM_ERROR = re.compile(r"os_error_code='(\d+)'")  # in TensorStore's messages
ASIDE = "damaged"  # suffix of the folder of a checkpoint that cannot be read
Position = dict[str, int]  # of the training data


def be_quiet() -> None:
    """Keeps Orbax's threads from telling at length what `Checkpoints` says in a line.

    They log whatever is raised once more; and where one of many writes or reads has failed,
    TensorStore prints a traceback for each of the others: the loop they report to is closed.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    report = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            report(unraisable)

    sys.unraisablehook = hook


class Restored(NamedTuple):
    """What a run goes on from."""

    state: TrainState
    position: Position


class Checkpoints:
    """The checkpoints of a run, newest last; every process takes part in everything.

    Where a save fails in one of several processes only, the others wait for it as long as Orbax
    does, which is 20 minutes, and then go on as well.

    Args:
        folder: where they lie, each in a folder named by its step.
        keep: how many of the newest are kept.
        keep_every: those at a multiple of this are kept as well.
        strict: whether a damaged newest checkpoint is an error, instead of set aside.

    Raises:
        OutputError: if the folder cannot be written to.
    """

    def __init__(
        self, folder: Path, *, keep: int, keep_every: int | None = None, strict: bool = False
    ) -> None:
        self.folder = folder.absolute()
        self._keep, self._keep_every, self._strict = keep, keep_every, strict
        # The save that was begun last: its step, what Orbax says of it, and why it failed.
        self._step: int | None = None
        self._response: Any = None
        self._failure: OutputError | None = None
        self._unclean = False  # since a save failed, what Orbax lists and what there is may differ
        self._leftovers = False  # whether a save has ever failed
        self._orbax: Any = None
        try:
            self._open(clean=True)
        except Exception as error:  # Orbax has many; all are about the disk
            raise self._unsaved(error) from error

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint."""
        newest = self._orbax.latest
        return None if newest is None else newest.step

    def save(self, step: int, state: TrainState, position: Position) -> None:
        """Begins to save, once the save before this is over; returns when the arrays may change.

        A save that fails is reported in the log, and by `wait` if none is begun after it.
        """
        self._settle()
        self._clear()
        self._step, self._failure = step, None
        parts: dict[str, Any] = {
            PARAMS: state.params,
            OPTIMIZER: state.opt_state,
            POSITION: position,
            META: {"step": step, "processes": jax.process_count()},
        }
        if state.ema is not None:
            parts[AVERAGE] = state.ema
        try:
            if self._orbax is None:
                self._open()
            self._response = self._orbax.save_checkpointables_async(step, parts, force=True)
        except Exception as error:
            self._fail(error)
            if jax.process_count() == 1:
                self._settle()

    def look(self) -> None:
        """Reports a save that has failed meanwhile, without waiting; for one process alone.

        With several, that is left to the next save: cleaning up takes all of them.
        """
        if jax.process_count() > 1:
            return
        if self._response is None:
            self._clear()
            return
        try:
            self._response.result(timeout=0)
        except TimeoutError:
            return
        except Exception:  # which waiting will raise again
            self._settle()
            return
        self._response = None

    def wait(self) -> None:
        """Waits until everything is written.

        Raises:
            OutputError: if the save that was begun last has failed.
        """
        self._settle()
        if self._failure is not None:
            raise self._failure

    def restore(self, abstract: TrainState) -> Restored:
        """Reads the newest whole checkpoint to the places an abstract state names.

        The number of devices and processes may differ from those that saved it. Newer ones, which
        are damaged, are renamed so that their steps can be saved again.

        Raises:
            CheckpointError: if none is whole, or the newest is not and `strict` was asked for; if
                it is of another network or optimiser.
            OutputError: if a damaged one cannot be renamed.
        """
        parts: dict[str, Any] = {
            PARAMS: abstract.params,
            OPTIMIZER: abstract.opt_state,
            POSITION: None,
        }
        if abstract.ema is not None:
            parts[AVERAGE] = abstract.ema
        step, wrong = self._newest_whole(tuple(parts))
        try:
            loaded = self._orbax.load_checkpointables(step, parts)
        except Exception as error:  # Orbax has many, and the reason is in their causes
            raise unreadable(self.folder / str(step), error) from error
        self._set_aside(wrong, step)
        count = jax.device_put(jnp.int32(step), abstract.step.sharding)
        state = TrainState(count, loaded[PARAMS], loaded[OPTIMIZER], loaded.get(AVERAGE))
        return Restored(state, loaded[POSITION])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            return  # closing would wait for the disk, and who interrupts has waited enough
        try:
            if error is None:
                self.wait()
        finally:
            # What went wrong first is what should be seen.
            with contextlib.suppress(Exception):
                if self._orbax is not None:
                    self._orbax.close()
            self._clear()

    def _open(self, *, clean: bool = False) -> None:
        from orbax.checkpoint import v1 as ocp

        policies = ocp.training.preservation_policies
        kept: list[Any] = [policies.LatestN(self._keep)]
        if self._keep_every is not None:
            kept.append(policies.EveryNSteps(self._keep_every))
        self._orbax = ocp.training.Checkpointer(
            str(self.folder),
            preservation_policy=policies.AnyPreservationPolicy(kept),
            # What a killed process left half written.
            cleanup_tmp_directories=clean,
        )

    def _reopen(self) -> None:
        """Reads the folder anew: Orbax's lists no longer say what is in it."""
        before, self._orbax = self._orbax, None
        if before is not None:
            with contextlib.suppress(Exception):
                before.close()
        self._open()

    def _settle(self) -> None:
        """Waits for the save that was begun last; reports and cleans up where it has failed."""
        if self._orbax is not None:
            try:
                self._orbax.wait()
            except Exception as error:
                self._fail(error)
        self._response = None
        if not largest(int(self._unclean)):
            return
        try:
            self._reopen()
            self._unclean = False
        except Exception as error:
            if self._failure is None:
                self._fail(error)
        if self._orbax is not None and self._step in steps_of(self.folder):
            self._failure = None  # only what comes after it, such as removing old ones, failed

    def _clear(self) -> None:
        """Removes what a failed save left, while none is under way.

        Some of its threads may write on for a while, so that nobody knows when there is no more.
        """
        if self._leftovers and is_leader():
            for path in self.folder.glob(f"*{_UNFINISHED}*"):
                shutil.rmtree(path, ignore_errors=True)

    def _fail(self, error: BaseException) -> None:
        self._response, self._unclean, self._leftovers = None, True, True
        self._failure = self._unsaved(error)
        logger.warning(
            "step %s: no checkpoint (%s); the next save is a new try",
            self._step,
            self._failure.got,
        )

    def _unsaved(self, error: BaseException) -> OutputError:
        while error.__cause__ is not None:
            error = error.__cause__
        system = _SYSTEM_ERROR.search(str(error))
        reason = os.strerror(int(system[1])) if system else first_line(error)
        return OutputError(self.folder, "room for a checkpoint", reason)

    def _newest_whole(self, parts: tuple[str, ...]) -> tuple[int, dict[int, str]]:
        """The step to go on from, and what is wrong with those after it; all processes agree."""
        steps = [saved.step for saved in self._orbax.checkpoints]
        wrong: dict[int, str] = {}
        whole = -1
        if is_leader():  # reading everything once is enough
            for step in reversed(steps):
                found = damage(self.folder / str(step), parts)
                if found is None:
                    whole = step
                    break
                wrong[step] = found
                if self._strict:
                    break
        whole = largest(whole)
        if whole < 0:
            newest = self.folder / str(steps[-1])
            reason = wrong.get(steps[-1]) or damage(newest, parts) or "as another process says"
            others = 0 if self._strict else len(steps) - 1
            raise damaged(newest, reason, others=others)
        return whole, {step: wrong.get(step, "") for step in steps if step > whole}

    def _set_aside(self, wrong: dict[int, str], step: int) -> None:
        if not wrong:
            return
        if is_leader():
            for bad, reason in sorted(wrong.items(), reverse=True):
                folder = self.folder / str(bad)
                logger.warning(
                    "%s is damaged (%s): going on from step %d; it is kept as %s",
                    *(folder, reason, step, self._rename(folder).name),
                )
        wait_for_all()
        try:
            self._reopen()
        except Exception as error:
            raise self._unsaved(error) from error

    def _rename(self, folder: Path) -> Path:
        names = [f"{folder.name}.{ASIDE}"] + [f"{folder.name}.{ASIDE}{n}" for n in range(2, 100)]
        free = next(path for name in names if not (path := folder.with_name(name)).exists())
        try:
            os.rename(folder, free)
        except OSError as error:
            raise unwritable(folder, error) from error
        return free
