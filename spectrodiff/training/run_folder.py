"""Run folder: the settings of a run as given and as used, and the environment it ran in.

Whatever uses a run's model reads these files, so that no flags have to match.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import jax

import spectrodiff
from spectrodiff.checkpoints.description import read_formatted
from spectrodiff.checkpoints.run_folder import CHECKPOINTS, SETTINGS, first_tokenization, steps_of
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.files import PARTIAL, atomic_file, check_writable, unwritable
from spectrodiff.core.lock import LOCK, lock_run
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks import RUN_SETTINGS

logger = logging.getLogger(__name__)

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
ENVIRONMENT, PREVIEWS = "environment.json", "previews"
# Settings that may change when a run is resumed: its end, and what does not change a step.
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
        "Data.evaluation_split",
        "Data.threads",
        "Tokenization.programs",
        "Tokenization.drums",
        *(f"Sampling.{field.name}" for field in dataclasses.fields(Sampling)),
    }
)

_DEFAULTS = {
    f"{settings.__name__}.{field.name}": field.default
    for settings in RUN_SETTINGS
    for field in dataclasses.fields(cast(Any, settings))
}


def open_run(folder: Path, settings: RunSettings, *, write: bool) -> Path:
    """Begins a run, or resumes the one in the folder.

    Args:
        folder: of the run; made if it does not exist.
        settings: of this start.
        write: False for all processes but one.

    Returns:
        Where its checkpoints lie.

    Raises:
        ConfigError: if the folder holds a run with other settings.
        OutputError: if it cannot be written to.
    """
    path, checkpoints = folder / SETTINGS, folder / CHECKPOINTS
    # Before the first checkpoint there is nothing that other settings could spoil.
    if path.is_file() and steps_of(checkpoints):
        _check_same(path, _settings_before(path), as_dict(settings))
    elif write:
        _check_ours(folder)
    if write:
        check_writable(folder)
        _write_json(path, {**settings.task.description(settings), "settings": as_dict(settings)})
        _write_json(folder / ENVIRONMENT, environment())
    return checkpoints


@contextlib.contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Keeps other processes from training the same run, and removes what killed ones left.

    Of several processes that train together, one does this for all.

    Raises:
        ConfigError: if another process holds it, or the folder is not that of a run.
        OutputError: if it cannot be written to.
    """
    _check_ours(folder)
    with lock_run(folder):
        # Whoever was writing these is dead, or would hold the lock.
        for place in (folder, folder / PREVIEWS):
            for path in filter(Path.is_file, place.glob(PARTIAL + "*")):
                try:
                    path.unlink()
                except OSError as error:
                    raise unwritable(path, error) from error
        yield


def as_dict(settings: RunSettings) -> dict[str, dict[str, Any]]:
    """Returns settings as JSON has them: class name to name to value."""
    parts = {type(part).__name__: dataclasses.asdict(cast(Any, part)) for part in settings}
    plain: dict[str, dict[str, Any]] = json.loads(json.dumps(parts))
    return plain


def environment() -> dict[str, Any]:
    """Command, versions and devices of this process, as JSON can hold them."""
    # Our own version is that of the code that runs, which need not be installed.
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
    """Refuses a folder that holds something, but no run."""
    if (folder / SETTINGS).is_file() or not folder.is_dir():
        return
    # A process killed at once leaves no more than a lock, and a file that it was writing.
    if any(path.name != LOCK and not path.name.startswith(PARTIAL) for path in folder.iterdir()):
        expected = "a new or empty folder, or that of a run"
        raise ConfigError(str(folder), expected, f"one without {SETTINGS}")


def _settings_before(path: Path) -> dict[str, dict[str, Any]]:
    """Settings of a run as they were stored, under the names of today."""
    description = read_formatted(path)
    before = description.get("settings")
    if not isinstance(before, dict) or not all(isinstance(part, dict) for part in before.values()):
        raise ConfigError(str(path), "the settings of a run", repr(before))
    if description["format"] == 1:
        bins = before.get("Network", {}).get("velocity_bins", 1)
        found = first_tokenization({"settings": before, "velocity_bins": bins})
        before["Tokenization"] = found
    # The task was not always a setting.
    kind = before.get("Network", {}).get("kind")
    synthesis = "autoregress" if kind == "autoregressive" else "denoise"
    task = "invert" if "inverter" in description else synthesis
    before.setdefault("Training", {}).setdefault("task", task)
    return before


def _check_same(
    path: Path, before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> None:
    for part, values in now.items():
        for name, value in values.items():
            # A setting that there was not yet had the effect that its default has.
            was = before.get(part, {}).get(name, _DEFAULTS.get(f"{part}.{name}"))
            full_name = f"{part}.{name}"
            if was == value:
                continue
            if full_name not in CHANGEABLE:
                raise ConfigError(full_name, f"{was!r}, as in the run {path.parent}", repr(value))
            # With another end the rate would jump, at worst from nearly zero back to its peak, and
            # undo what the last steps have settled. Other schedules do not know the end.
            if full_name == "Training.steps" and now["Optimization"]["schedule"] == "cosine":
                raise ConfigError(
                    full_name,
                    f"{was!r}, where the cosine schedule of the run {path.parent} ends (to train "
                    f"further, begin another run with --init_from {path.parent})",
                    repr(value),
                )
            logger.info("%s: %r, was %r", full_name, value, was)


def _write_json(path: Path, value: Any) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")
