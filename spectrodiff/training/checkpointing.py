"""Checkpoints of a run, saved by Orbax in the background, atomically.

Parameters, optimizer state, running average and data position are separate parts, so that each can
be read alone. If a process is killed during a save, the previous checkpoint remains the newest. A
failed save is reported, and the next save is attempted as usual. If the newest checkpoint is
damaged, it is renamed and the previous one is used.
"""

import contextlib
import logging
import math
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import jax
import jax.numpy as jnp

from spectrodiff.checkpoints.formats.orbax_part import brief_reason
from spectrodiff.checkpoints.run_folder import (
    AVERAGE,
    MAX_TRIED,
    PARAMS,
    damage,
    damaged,
    steps_of,
    unreadable,
)
from spectrodiff.core.distributed import is_leader, largest, wait_for_all
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.core.files import unwritable
from spectrodiff.training.state import TrainState

if TYPE_CHECKING:
    from orbax.checkpoint.v1 import AsyncResponse
    from orbax.checkpoint.v1.training import Checkpointer

logger = logging.getLogger(__name__)

OPTIMIZER, POSITION, META = "opt_state", "data", "meta"
_UNFINISHED = ".orbax-checkpoint-tmp"
_SYSTEM_ERROR = re.compile(r"os_error_code='(\d+)'")  # in TensorStore's messages
# In place of the newest undamaged step: there is none, or it is of another network.
_UNKNOWN, _NONE, _OTHER = -3, -2, -1
# Numbers that are not in the abstract state, such as the position in the data, and their format.
_FREE_BYTES = 1 << 20
DAMAGED = "damaged"  # suffix of the folder of a checkpoint that cannot be read
Position = dict[str, int]  # in the training data


def silence_orbax() -> None:
    """Suppresses messages of Orbax's threads about errors that `Checkpoints` reports in one line.

    The threads log every exception a second time. After one failed read or write, TensorStore
    prints a traceback for each of the others, because their event loop is closed.
    """
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    report = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        error = unraisable.exc_value
        if not (isinstance(error, RuntimeError) and str(error) == "Event loop is closed"):
            report(unraisable)

    sys.unraisablehook = hook


class Restored(NamedTuple):
    """State and data position that a run resumes from."""

    state: TrainState
    position: Position


class Checkpoints:
    """The checkpoints of a run; all processes must call all methods.

    If a save fails in only one of several processes, the others wait for Orbax's timeout, 20
    minutes, and then continue as well.

    Args:
        folder: of the checkpoints, each in a folder named by its step.
        keep: number of newest checkpoints that are kept.
        keep_every: checkpoints at multiples of this are kept as well.
        strict: raise an error if the newest checkpoint is damaged, instead of renaming it.

    Raises:
        OutputError: if the folder cannot be written to.
    """

    def __init__(
        self, folder: Path, *, keep: int, keep_every: int | None = None, strict: bool = False
    ) -> None:
        self.folder = folder.absolute()
        self._keep, self._keep_every, self._strict = keep, keep_every, strict
        # The last save: its step, Orbax's future while it is under way, and its error.
        self._step: int | None = None
        self._response: AsyncResponse[None] | None = None
        self._failure: OutputError | None = None
        self._stale = False  # a save failed, so Orbax's list may differ from the folder
        self._leftovers = False  # a save has failed before
        self._orbax: Checkpointer | None = None
        try:
            self._orbax = self._open(clean=True)
        except Exception as error:  # Orbax raises many types, all about the disk
            raise self._unsaved(error) from error

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint; None if there is none."""
        newest = self._opened.latest
        return None if newest is None else newest.step

    def save(self, step: int, state: TrainState, position: Position) -> None:
        """Starts a save after the previous one is done; returns when the arrays may be reused.

        A failed save is logged; if it was the last one, `wait` raises its error.
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
            self._response = self._opened.save_checkpointables_async(step, parts, force=True)
        except Exception as error:
            self._fail(error)
            if jax.process_count() == 1:
                self._settle()

    def poll(self) -> None:
        """Logs a failed save without waiting.

        With several processes the next save does that, because all of them have to clean up.
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
        except Exception:  # raised again by waiting
            self._settle()
            return
        self._response = None

    def wait(self) -> None:
        """Waits until everything is written.

        Raises:
            OutputError: if the last save has failed.
        """
        self._settle()
        if self._failure is not None:
            raise self._failure

    def restore(self, abstract: TrainState) -> Restored:
        """Reads the newest undamaged checkpoint.

        Newer checkpoints, which are damaged, are renamed so that their steps can be saved again.

        Args:
            abstract: shapes, types and shardings of the state; the numbers of devices and processes
                may differ from those that saved it.

        Raises:
            CheckpointError: if all checkpoints are damaged or, with `strict`, the newest is;
                if the state is of another network or optimizer.
            OutputError: if a damaged checkpoint cannot be renamed.
        """
        parts: dict[str, Any] = {
            PARAMS: abstract.params,
            OPTIMIZER: abstract.opt_state,
            POSITION: None,
        }
        if abstract.ema is not None:
            parts[AVERAGE] = abstract.ema
        sizes = {name: _bytes(part) for name, part in parts.items()}
        step, wrong = self._newest_whole(sizes)
        try:
            loaded = self._opened.load_checkpointables(step, parts)
        except Exception as error:  # Orbax raises many types; the reason is in their causes
            raise unreadable(self.folder / str(step), error) from error
        self._set_aside(wrong, step)
        self._finish_removal(step)
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
            return  # closing would wait for the disk
        try:
            if error is None:
                self.wait()
        finally:
            # An error of closing must not hide an earlier one.
            with contextlib.suppress(Exception):
                if self._orbax is not None:
                    self._orbax.close()
            self._clear()

    @property
    def _opened(self) -> "Checkpointer":
        """Orbax's checkpointer, opened again if that has failed before."""
        if self._orbax is None:
            self._orbax = self._open()
        return self._orbax

    def _open(self, *, clean: bool = False) -> "Checkpointer":
        from orbax.checkpoint import v1 as ocp

        policies = ocp.training.preservation_policies
        kept: list[Any] = [policies.LatestN(self._keep)]
        if self._keep_every is not None:
            kept.append(policies.EveryNSteps(self._keep_every))
        return ocp.training.Checkpointer(
            str(self.folder),
            preservation_policy=policies.AnyPreservationPolicy(kept),
            # Incomplete checkpoints of killed processes.
            cleanup_tmp_directories=clean,
        )

    def _reopen(self) -> None:
        """Makes Orbax read the folder again."""
        before, self._orbax = self._orbax, None
        if before is not None:
            with contextlib.suppress(Exception):
                before.close()
        self._orbax = self._open()

    def _settle(self) -> None:
        """Waits for the last save; logs and cleans up if it has failed."""
        if self._orbax is not None:
            try:
                self._orbax.wait()
            except Exception as error:
                self._fail(error)
        self._response = None
        if not largest(int(self._stale)):
            return
        try:
            self._reopen()
            self._stale = False
        except Exception as error:
            if self._failure is None:
                self._fail(error)
        if self._orbax is not None and self._step in steps_of(self.folder):
            self._failure = None  # only a later action failed, such as removing old checkpoints

    def _clear(self) -> None:
        """Removes files of failed saves, while no save is under way.

        Every time, because threads of a failed save may continue to write for a while.
        """
        if self._leftovers and is_leader():
            for path in self.folder.glob(f"*{_UNFINISHED}*"):
                shutil.rmtree(path, ignore_errors=True)

    def _fail(self, error: BaseException) -> None:
        self._response, self._stale, self._leftovers = None, True, True
        self._failure = self._unsaved(error)
        logger.warning(
            "step %s: no checkpoint (%s); saving will be tried again",
            self._step,
            self._failure.got,
        )

    def _unsaved(self, error: BaseException) -> OutputError:
        while error.__cause__ is not None:
            error = error.__cause__
        system = _SYSTEM_ERROR.search(str(error))
        reason = os.strerror(int(system[1])) if system else brief_reason(error)
        return OutputError(self.folder, "room for a checkpoint", reason)

    def _newest_whole(self, parts: Mapping[str, int]) -> tuple[int, dict[int, str]]:
        """Returns the newest undamaged step, and the damage of later ones, to all processes.

        Args:
            parts: bytes of the arrays of each part, by name.
        """
        steps = [saved.step for saved in self._opened.checkpoints]
        tried = steps[-1:] if self._strict else steps[-MAX_TRIED:]
        wrong: dict[int, str] = {}
        whole = _UNKNOWN
        other = CheckpointError(self.folder, "checkpoints of this network", "others")
        if is_leader():  # one process reads them for all
            whole = _NONE
            for step in reversed(tried):
                try:
                    found = damage(self.folder / str(step), parts)
                except CheckpointError as error:
                    whole, other = _OTHER, error
                    break
                if found is None:
                    whole = step
                    break
                wrong[step] = found
        whole = largest(whole)
        if whole == _OTHER:
            raise other
        if whole < 0:
            newest = self.folder / str(steps[-1])
            reason = wrong.get(steps[-1], "found by another process")
            raise damaged(newest, reason, others=len(tried) - 1)
        return whole, {step: wrong.get(step, "") for step in steps if step > whole}

    def _set_aside(self, wrong: dict[int, str], step: int) -> None:
        if not wrong:
            return
        if is_leader():
            for bad, reason in sorted(wrong.items(), reverse=True):
                folder = self.folder / str(bad)
                logger.warning(
                    "%s is damaged (%s): resuming from step %d; it is renamed to %s",
                    *(folder, reason, step, self._rename(folder).name),
                )
        wait_for_all()
        try:
            self._reopen()
        except Exception as error:
            raise self._unsaved(error) from error

    def _finish_removal(self, step: int) -> None:
        """Removes older checkpoints that are not kept: a process was killed while it did that.

        What is left of them may not be a checkpoint to Orbax, which would never remove it.
        """
        if not is_leader():
            return
        older = [old for old in steps_of(self.folder) if old <= step]
        for old in older[: -self._keep]:
            if self._keep_every is None or old % self._keep_every:
                shutil.rmtree(self.folder / str(old), ignore_errors=True)
                self._stale = True

    def _rename(self, folder: Path) -> Path:
        names = [f"{folder.name}.{DAMAGED}"] + [
            f"{folder.name}.{DAMAGED}{n}" for n in range(2, 100)
        ]
        free = next(path for name in names if not (path := folder.with_name(name)).exists())
        try:
            os.rename(folder, free)
        except OSError as error:
            raise unwritable(folder, error) from error
        return free


def _bytes(part: Any) -> int:
    """Returns the most bytes that the arrays of a part may have."""
    leaves = jax.tree.leaves(part)
    return _FREE_BYTES + sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
