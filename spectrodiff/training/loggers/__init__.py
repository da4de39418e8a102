"""Loggers: where the curves, pictures and audio of a training run are shown, one file each.

To add one, write a file with a class that has the methods of `Logger`, and add a line to
`LOGGERS` and a name to `LoggerName` in `training/settings.py`. The packages are imported only for
loggers that a run uses.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence

from spectrodiff.core.errors import ConfigError
from spectrodiff.training.loggers.failsafe import Background, Failsafe
from spectrodiff.training.loggers.logger import LoggedRun, Logger
from spectrodiff.training.settings import LoggerName


@dataclasses.dataclass(frozen=True)
class Service:
    """Package of a logger, and the function that opens it.

    Attributes:
        package: that it imports.
        install: what to install for it.
        open: opens it for a run.
        background: True to call it in a thread, because it may wait for a network.
    """

    package: str
    install: str
    open: Callable[[LoggedRun], Logger]
    background: bool


def _tensorboard(run: LoggedRun) -> Logger:
    from spectrodiff.training.loggers.tensorboard import TensorBoard

    return TensorBoard(run)


def _wandb(run: LoggedRun) -> Logger:
    from spectrodiff.training.loggers.wandb_run import WandbRun

    return WandbRun(run)


def _trackio(run: LoggedRun) -> Logger:
    from spectrodiff.training.loggers.trackio_run import TrackioRun

    return TrackioRun(run)


LOGGERS: Mapping[LoggerName, Service] = {
    "tensorboard": Service("tensorboardX", "'tensorboardX>=2.6.5'", _tensorboard, background=False),
    "wandb": Service("wandb", "'wandb>=0.31'", _wandb, background=True),
    "trackio": Service("trackio", "trackio", _trackio, background=True),
}


def check_installed(names: Sequence[LoggerName]) -> None:
    """Checks that the packages of loggers are installed, without importing them.

    Raises:
        ConfigError: if one is not; says what to install.
    """
    for name in names:
        package, install = LOGGERS[name].package, LOGGERS[name].install
        spec = importlib.util.find_spec(package)
        # A folder of that name, such as wandb makes, would pass as a package without an origin.
        if spec is None or spec.origin is None:
            expected = f"the package {package} for {name!r} (pip install {install})"
            raise ConfigError("Training.loggers", expected, "none")


def open_loggers(names: Sequence[LoggerName], run: LoggedRun) -> list[Logger]:
    """Returns loggers that never raise, and do not wait for a network until they are closed."""
    opened: list[Logger] = []
    for name in names:
        service = LOGGERS[name]
        kind = Background if service.background else Failsafe
        opened.append(kind(name, functools.partial(service.open, run)))
    return opened
