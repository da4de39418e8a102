"""Runs of Trackio, which keeps them on this machine unless its own settings say otherwise."""

import contextlib
import sys
from collections.abc import Mapping

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.training.loggers.logger import LoggedRun

SERVICE = "trackio"


class TrackioRun:
    """Run of Trackio; a run that is resumed continues the same one.

    Args:
        run: what is logged.
    """

    def __init__(self, run: LoggedRun) -> None:
        import trackio

        id, continued = run.identity(SERVICE)
        with _stdout_to_stderr():
            self._run = trackio.init(
                project=run.project,
                # Trackio knows runs by their names.
                name=f"{run.name}-{id}",
                resume="allow" if continued else "never",
                config=run.settings(),
                embed=False,
            )

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds points to curves, by their names."""
        self._run.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Adds a picture, uint8 [H, W, 3]."""
        import trackio

        self._run.log({f"{name}_picture": trackio.Image(pixels)}, step=step)

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Adds mono audio, float32 [samples]."""
        import trackio

        samples = np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
        self._run.log({f"{name}_audio": trackio.Audio(samples, sample_rate=SAMPLE_RATE)}, step=step)

    def close(self, *, failed: bool = False) -> None:
        """Writes what is left."""
        del failed  # Trackio does not say how a run ended
        with _stdout_to_stderr():
            self._run.finish()


def _stdout_to_stderr() -> contextlib.AbstractContextManager[object]:
    # Standard output is for results.
    return contextlib.redirect_stdout(sys.stderr)
