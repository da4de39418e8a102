"""Log of a run of a recipe."""

import dataclasses
import json
import logging
import time
from pathlib import Path

from spectrodiff.core.files import unwritable

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Report:
    """Progress of a stage.

    Attributes:
        stage: its name.
        elapsed_seconds: since its start.
        seconds: planned duration.
        steps: number of steps since its start.
        rate: learning rate, before warm-up.
        losses: means over the steps of the last call.
    """

    stage: str
    elapsed_seconds: float
    seconds: float
    steps: int
    rate: float
    losses: dict[str, float]

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in self.losses.items())
        speed = self.steps / max(self.elapsed_seconds, 1e-9)
        return (
            f"{self.stage}: {self.elapsed_seconds:.0f} of {self.seconds:.0f} s, "
            f"{self.steps} steps ({speed:.1f} per second), rate {self.rate:.2g}"
            + (f": {numbers}" if numbers else "")
        )


class RecipeLog:
    """Log lines for people, which a file repeats as JSON lines.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._begin = path, time.monotonic()

    def report(self, report: Report) -> None:
        """Writes a line about a stage."""
        self.note(str(report), **dataclasses.asdict(report))

    def note(self, text: str, **values: object) -> None:
        """Writes a line; the file gets `values` instead of the text, if there are any.

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
