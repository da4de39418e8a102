"""Runs of Weights & Biases."""

from collections.abc import Mapping

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import ConfigError
from spectrodiff.training.loggers.logger import LoggedRun

SERVICE = "wandb"


class WandbRun:
    """Run of Weights & Biases; a run that is resumed continues the same one.

    The package's own settings, such as WANDB_MODE=offline or WANDB_ENTITY, apply. Files that are
    not sent yet lie in the folder of the run.

    Args:
        run: what is logged.

    Raises:
        ConfigError: if there is no API key.
        wandb.Error: if the service cannot be reached, or refuses the run.
    """

    def __init__(self, run: LoggedRun) -> None:
        import wandb

        # Otherwise `init` would ask for a key on the terminal.
        online = wandb.setup().settings.mode in ("online", "shared")
        if online and not wandb.login(prompt=False):
            expected = "an API key, from `wandb login`, or WANDB_MODE=offline"
            raise ConfigError("WANDB_API_KEY", expected, "none")
        id, _ = run.identity(SERVICE)
        self._run = wandb.init(
            project=run.project,
            id=id,
            name=run.name,
            dir=run.folder,
            resume="allow",
            config=run.settings(),
            # The log of a training run is that of the program, not of the service.
            settings=wandb.Settings(console="off"),
        )
        # A resumed run repeats the steps since its checkpoint; the service refuses each again.
        self._first = self._run.step

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds points to curves, by their names."""
        self._log(step, dict(values))

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """Adds a picture, uint8 [H, W, 3]."""
        import wandb

        self._log(step, {f"{name}_picture": wandb.Image(pixels)})

    def audio(self, step: int, name: str, audio: np.ndarray) -> None:
        """Adds mono audio, float32 [samples]."""
        import wandb

        self._log(step, {f"{name}_audio": wandb.Audio(audio, sample_rate=SAMPLE_RATE)})

    def close(self, *, failed: bool = False) -> None:
        """Sends what is left, and marks the run as finished or failed."""
        self._run.finish(exit_code=int(failed))

    def _log(self, step: int, values: dict[str, object]) -> None:
        if step >= self._first:
            self._run.log(values, step=step)
