"""Run folder: settings of a run, and the environment it was started in.

Programs that use a run's model read its settings from here, so that no flags have to be repeated.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, cast

import jax

import spectrodiff
from spectrodiff.checkpoints.model import read_formatted
from spectrodiff.checkpoints.run_folder import CHECKPOINTS, SETTINGS, first_tokenization, steps_of
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import PARTIAL, check_writable, unwritable
from spectrodiff.core.json_files import write_json
from spectrodiff.core.lock import LOCK, lock_run
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks import RUN_SETTINGS

logger = logging.getLogger(__name__)

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
ENVIRONMENT, PREVIEWS = "environment.json", "previews"
# Settings that may change when a run is resumed: its length, and those without effect on a step.
CHANGEABLE = frozenset(
    {
        "Training.steps",
        "Training.remat",
        "Training.shard_parameters",
        "Training.log_every",
        "Training.evaluate_every",
        "Training.evaluation_examples",
        "Training.preview_every",
        "Training.previews",
        "Training.save_every",
        "Training.keep",
        "Training.keep_every",
        "Training.loggers",
        "Training.project",
        "Data.evaluation_split",
        "Data.workers",
        "Tokenization.programs",
        "Tokenization.drums",
    }
)
# They may change as well, unless the task trains the steps of the sampling.
_SAMPLING = frozenset(f"Sampling.{field.name}" for field in dataclasses.fields(Sampling))

# As JSON, which has no tuples.
_DEFAULTS = {
    f"{settings.__name__}.{field.name}": (
        list(field.default) if isinstance(field.default, tuple) else field.default
    )
    for settings in RUN_SETTINGS
    for field in dataclasses.fields(cast(Any, settings))
}


def open_run(folder: Path, settings: RunSettings, *, write: bool) -> Path:
    """Prepares the folder of a new run, or checks that of a run to resume.

    Args:
        folder: of the run; made if it does not exist.
        settings: of this process.
        write: True in one process only.

    Returns:
        The folder of the checkpoints.

    Raises:
        ConfigError: if the folder holds a run with other settings.
        OutputError: if it cannot be written to.
    """
    path, checkpoints = folder / SETTINGS, folder / CHECKPOINTS
    # Settings may change before the first checkpoint.
    if path.is_file() and steps_of(checkpoints):
        changeable = CHANGEABLE if settings.task.trains_sampling else CHANGEABLE | _SAMPLING
        _check_same(path, _settings_before(path), as_dict(settings), changeable)
    elif write:
        _check_ours(folder)
    if write:
        check_writable(folder)
        write_json(path, {**settings.task.description(settings), "settings": as_dict(settings)})
        write_json(folder / ENVIRONMENT, environment())
    return checkpoints


@contextlib.contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Locks a run against other processes, and removes temporary files of killed ones.

    If several processes train together, one of them does this.

    Raises:
        ConfigError: if another process has locked it, or the folder is not that of a run.
        OutputError: if it cannot be written to.
    """
    _check_ours(folder)
    with lock_run(folder):
        # The processes that were writing these are dead; otherwise they would hold the lock.
        for place in (folder, folder / PREVIEWS):
            for path in filter(Path.is_file, place.glob(PARTIAL + "*")):
                try:
                    path.unlink()
                except OSError as error:
                    raise unwritable(path, error) from error
        yield


def as_dict(settings: RunSettings) -> dict[str, dict[str, Any]]:
    """Returns settings as JSON: class name, then name, then value."""
    parts = {type(part).__name__: dataclasses.asdict(cast(Any, part)) for part in settings}
    plain: dict[str, dict[str, Any]] = json.loads(json.dumps(parts))
    return plain


def environment() -> dict[str, Any]:
    """Returns command, versions and devices of this process, as JSON."""
    # The package's own version is read from the code, which need not be installed.
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    return {
        "command": [os.path.basename(sys.argv[0]), *sys.argv[1:]],
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {"spectrodiff": spectrodiff.__version__, **versions},
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
    }


def _check_ours(folder: Path) -> None:
    """Checks that a folder is empty or holds a run."""
    if (folder / SETTINGS).is_file() or not folder.is_dir():
        return
    # A process killed early leaves at most a lock and a temporary file.
    if any(path.name != LOCK and not path.name.startswith(PARTIAL) for path in folder.iterdir()):
        expected = "a new or empty folder, or that of a run"
        raise ConfigError(str(folder), expected, f"one without {SETTINGS}")


def _settings_before(path: Path) -> dict[str, dict[str, Any]]:
    """Returns the stored settings of a run, under their current names."""
    description = read_formatted(path)
    before = description.get("settings")
    if not isinstance(before, dict) or not all(isinstance(part, dict) for part in before.values()):
        raise ConfigError(str(path), "the settings of a run", repr(before))
    if description["format"] == 1:
        bins = before.get("Network", {}).get("velocity_bins", 1)
        found = first_tokenization({"settings": before, "velocity_bins": bins})
        before["Tokenization"] = found
    # Older runs have no setting of the task.
    kind = before.get("Network", {}).get("kind")
    synthesis = "autoregress" if kind == "autoregressive" else "denoise"
    task = "invert" if "inverter" in description else synthesis
    before.setdefault("Training", {}).setdefault("task", task)
    return before


def _check_same(
    path: Path,
    before: Mapping[str, Mapping[str, Any]],
    now: Mapping[str, Mapping[str, Any]],
    changeable: Set[str],
) -> None:
    for part, values in now.items():
        for name, value in values.items():
            # Defaults of new settings have the effect of older versions.
            was = before.get(part, {}).get(name, _DEFAULTS.get(f"{part}.{name}"))
            full_name = f"{part}.{name}"
            if was == value:
                continue
            if full_name not in changeable:
                raise ConfigError(full_name, f"{was!r}, as in the run {path.parent}", repr(value))
            # With another length the rate would jump, at worst from nearly zero back to its peak.
            # Other schedules do not depend on the length.
            if full_name == "Training.steps" and now["Optimization"]["schedule"] == "cosine":
                raise ConfigError(
                    full_name,
                    f"{was!r}, where the cosine schedule of the run {path.parent} ends (to train "
                    f"further, start another run with --init_from {path.parent})",
                    repr(value),
                )
            logger.info("%s: %r, was %r", full_name, value, was)
