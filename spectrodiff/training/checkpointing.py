"""Checkpoints of a run through Orbax: saved in the background, whole or not at all.

Parameters, optimiser state, running average and data position are separate parts, so that each can
be read alone. A process killed while saving leaves the checkpoint before it as the newest.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp

from spectrodiff.checkpoints.run_folder import AVERAGE, PARAMS, unreadable
from spectrodiff.errors import OutputError
from spectrodiff.training.state import TrainState

OPTIMIZER, POSITION, META = "opt_state", "data", "meta"
Position = dict[str, int]  # of the training data


class Restored(NamedTuple):
    """What a run goes on from."""

    state: TrainState
    position: Position


class Checkpoints:
    """The checkpoints of a run, newest last; every process takes part in everything.

    Args:
        folder: where they lie, each in a folder named by its step.
        keep: how many of the newest are kept.
        keep_every: those at a multiple of this are kept as well.
    """

    def __init__(self, folder: Path, *, keep: int, keep_every: int | None = None) -> None:
        from orbax.checkpoint import v1 as ocp

        policies = ocp.training.preservation_policies
        kept: list[Any] = [policies.LatestN(keep)]
        if keep_every is not None:
            kept.append(policies.EveryNSteps(keep_every))
        self.folder = folder.absolute()
        with self._writing():
            self._orbax = ocp.training.Checkpointer(
                str(self.folder),
                preservation_policy=policies.AnyPreservationPolicy(kept),
                # What a killed process left half written.
                cleanup_tmp_directories=True,
            )

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint."""
        newest = self._orbax.latest
        return None if newest is None else newest.step

    def save(self, step: int, state: TrainState, position: Position) -> None:
        """Begins to save; returns as soon as the arrays may change.

        Raises:
            OutputError: if this save, or the one before it, could not be written.
        """
        parts: dict[str, Any] = {
            PARAMS: state.params,
            OPTIMIZER: state.opt_state,
            POSITION: position,
            META: {"step": step, "processes": jax.process_count()},
        }
        if state.ema is not None:
            parts[AVERAGE] = state.ema
        with self._writing():
            # Orbax would raise for the save before this one, but only after this one has begun.
            self._orbax.wait()
            self._orbax.save_checkpointables_async(step, parts, force=True)

    def wait(self) -> None:
        """Waits until everything is written.

        Raises:
            OutputError: if it could not be.
        """
        with self._writing():
            self._orbax.wait()

    def restore(self, abstract: TrainState) -> Restored:
        """Reads the newest checkpoint to the places an abstract state names.

        The number of devices and processes may differ from those that saved it.

        Raises:
            CheckpointError: if it is damaged, or of another network or optimiser.
        """
        step = self.latest
        assert step is not None
        parts: dict[str, Any] = {
            PARAMS: abstract.params,
            OPTIMIZER: abstract.opt_state,
            POSITION: None,
        }
        if abstract.ema is not None:
            parts[AVERAGE] = abstract.ema
        try:
            loaded = self._orbax.load_checkpointables(step, parts)
        except Exception as error:  # Orbax has many, and the reason is in their causes
            raise unreadable(self.folder / str(step), error) from error
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
        if error is None:
            with self._writing():
                self._orbax.close()
        else:
            # What went wrong first is what should be seen.
            with contextlib.suppress(Exception):
                self._orbax.close()

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # Orbax and TensorStore have many; all are about the disk
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise OutputError(self.folder, "room for a checkpoint", reason[0]) from error
