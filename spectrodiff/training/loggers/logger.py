"""Interface of loggers, and what they know of a run."""

import dataclasses
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spectrodiff.checkpoints.run_folder import SETTINGS
from spectrodiff.core.json_files import read_json, write_json


class Logger(Protocol):
    """Receiver of what a training run reports. Steps do not decrease."""

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds points to curves, by their names."""
        ...

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Adds a picture, uint8 [H, W, 3]."""
        ...

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Adds mono audio at 16 kHz, float32 [samples]."""
        ...

    def close(self, *, failed: bool = False) -> None:
        """Writes what is left.

        Args:
            failed: True if the run ends with an error.
        """
        ...


@dataclasses.dataclass(frozen=True)
class LoggedRun:
    """Run that is logged.

    Attributes:
        folder: of the run.
        step: that the process starts after; 0 for a run that begins.
        project: name under which services collect runs.
    """

    folder: Path
    step: int
    project: str

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.folder.resolve().name

    def settings(self) -> dict[str, Any]:
        """Returns the settings of the run by class and name, as its folder has them."""
        path = self.folder / SETTINGS
        found: dict[str, Any] = read_json(path).get("settings", {}) if path.exists() else {}
        return found

    def identity(self, service: str) -> tuple[str, bool]:
        """Returns the id of the run at a service, and True if the run was logged there before.

        The id is kept in the run's folder. A run that begins gets a new one, since its folder may
        hold the logs of a run with other settings that was killed before its first checkpoint.

        Raises:
            CheckpointError: if the file of the id is damaged.
            OutputError: if it cannot be written.
        """
        path = self.folder / f"{service}.json"
        if self.step > 0 and path.exists():
            return str(read_json(path)["id"]), True
        id = uuid.uuid4().hex[:12]
        write_json(path, {"id": id})
        return id, False
