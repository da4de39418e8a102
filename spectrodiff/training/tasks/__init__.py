"""Tasks: what a run can train, one file each.

To add a task, write a file with its settings (a frozen dataclass that inherits from `TaskSettings`)
and its `Task`, under different names, and add the settings to `TASKS`. A task whose network
generates segments inherits from `tasks.shared.SynthesizerTask`.
"""

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training.settings import Data, Network, Optimization, Training
from spectrodiff.training.task import TaskSettings
from spectrodiff.training.tasks.autoregress import Autoregression
from spectrodiff.training.tasks.denoise import Diffusion
from spectrodiff.training.tasks.distill import Distillation
from spectrodiff.training.tasks.invert import Inversion

TASKS: dict[str, type[TaskSettings]] = {
    "denoise": Diffusion,
    "autoregress": Autoregression,
    "distill": Distillation,
    "invert": Inversion,
}
# Classes of all settings that a run may have, which gin fills.
RUN_SETTINGS: tuple[type, ...] = (
    Network,
    Optimization,
    Training,
    Data,
    Tokenization,
    Sampling,
    *TASKS.values(),
)


def settings_class(task: str) -> type[TaskSettings]:
    """Returns the class of a task's settings.

    Raises:
        ConfigError: if there is no such task.
    """
    if task not in TASKS:
        raise ConfigError("Training.task", f"one of {', '.join(TASKS)}", repr(task))
    return TASKS[task]
