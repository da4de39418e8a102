"""Options of a run of a recipe, its log, and saving along the way."""

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from spectrodiff.core.files import unwritable
from spectrodiff.recipe.trainer import Report
from spectrodiff.training.state import TrainState

logger = logging.getLogger(__name__)

SAVE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Options:
    """Options of a run.

    Attributes:
        minutes: how long it may take, all together.
        out: folder for the model, the inverter and the log.
        workers: processes that render.
        seed: of music, parameters and steps.
        init_from: a model to begin with, as `spectrodiff.load` takes it.
        init_inverter: an inverter to begin with, a .safetensors file.
        train: which of the two to train.
    """

    minutes: float
    out: Path
    workers: int
    seed: int = 0
    init_from: str | None = None
    init_inverter: Path | None = None
    train: tuple[str, ...] = ("synthesiser", "inverter")


class Log:
    """Lines for people, and the same as JSON lines in a file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._begin = path, time.monotonic()

    def __call__(self, report: Report) -> None:
        """Writes a line about a stage."""
        self.note(str(report), **dataclasses.asdict(report))

    def note(self, text: str, **values: object) -> None:
        """Writes a line; `values` go to the file.

        Raises:
            OutputError: if the file cannot be written.
        """
        seconds = time.monotonic() - self._begin
        logger.info("[%5.1f s] %s", seconds, text)
        line = json.dumps({"seconds": round(seconds, 2), **(values or {"note": text})})
        try:
            with self._path.open("a") as file:
                file.write(line + "\n")
        except OSError as error:
            raise unwritable(self._path, error) from error


class Spare:
    """Saves a state now and then.

    Args:
        save: writes a state.
    """

    def __init__(self, save: Callable[[TrainState], None]) -> None:
        self._save, self._saved = save, time.monotonic()

    def __call__(self, state: TrainState) -> None:
        """Saves the state if the last time is long ago."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self._save(state)
            self._saved = time.monotonic()
