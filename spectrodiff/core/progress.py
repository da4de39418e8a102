"""Progress reports: a bar on a terminal, log lines otherwise, nothing on standard output."""

import logging
import sys
from types import TracebackType
from typing import Self

from spectrodiff.core.errors import printable

logger = logging.getLogger(__name__)


class Progress:
    """Counter of finished units of work that reports progress.

    Args:
        description: name of the work, for example "rendering".
        total: number of units; None if unknown.
        unit: name of one unit, for example "segment".
        enabled: False turns reports off, for example in processes other than the first.
    """

    def __init__(
        self, description: str, total: int | None, unit: str, enabled: bool = True
    ) -> None:
        from tqdm import tqdm

        description = printable(description)  # it may be the name of a file
        self._description, self._total, self._unit = description, total, unit
        self._enabled = enabled
        self._on_terminal = sys.stderr.isatty()
        self._done = 0
        self._logged_percent = 0
        self._bar = tqdm(
            desc=description,
            total=total,
            unit=unit,
            disable=not (enabled and self._on_terminal),
            dynamic_ncols=True,
        )

    def show(self, note: str) -> None:
        """Shows a note on the bar without counting or logging."""
        self._bar.set_postfix_str(printable(note))

    def advance(self, units: int = 1, note: str = "") -> None:
        """Counts `units` as done and shows `note` after the count ("3.2 s of audio/s")."""
        self._done += units
        if note:
            self._bar.set_postfix_str(printable(note), refresh=False)
        self._bar.update(units)
        if self._enabled and not self._on_terminal:
            self._log(note)

    def _log(self, note: str) -> None:
        # About ten lines in total, however many units there are.
        percent = 100 * self._done // self._total if self._total else 0
        if self._total and percent < 100 and percent < self._logged_percent + 10:
            return
        self._logged_percent = percent
        of = f" of {self._total}" if self._total else ""
        # Symbols of units, such as MB, have no plural.
        units = self._unit if self._unit.isupper() else f"{self._unit}s"
        logger.info("%s: %d%s %s%s", self._description, self._done, of, units, note and f", {note}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
