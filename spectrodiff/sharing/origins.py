"""Origin of a model: the run that trained it, and where its data is published."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spectrodiff.checkpoints.downloads.sources import find_source
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.run_folder import SETTINGS, find_run, run_of
from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.json_files import read_json, text_of
from spectrodiff.data.corpora.releases import RELEASES, Release
from spectrodiff.sharing.privacy import without_folders
from spectrodiff.training.metrics import EVALUATION, METRICS_FILE
from spectrodiff.training.run_folder import ENVIRONMENT

# Files of a run: the settings that were given, and those that took effect.
GIN_FILES = ("given.gin", "operative.gin")
_LOSS = f"{EVALUATION}loss"


@dataclasses.dataclass(frozen=True)
class Origin:
    """The run that trained a model, as far as its folder tells.

    Attributes:
        step: number of steps that were taken; None if it is unknown.
        settings: settings of the run: class, then name, then value.
        started_from: model that training started from, without the path to it; "" for none.
        devices: kinds of the devices.
        loss: loss on the evaluation examples at or before `step`; None without evaluations.
        gin: files of settings by name.
    """

    step: int | None
    settings: Mapping[str, Mapping[str, Any]]
    started_from: str
    devices: Sequence[str]
    loss: float | None
    gin: Mapping[str, Path]

    def setting(self, name: str) -> Any:
        """Returns a setting by its full name, such as "Training.steps"; None if there is none."""
        part, _, field = name.partition(".")
        values = self.settings.get(part)
        return values.get(field) if isinstance(values, Mapping) else None

    @property
    def teacher(self) -> str:
        """Model that a distilled one was taught by, without the path to it; "" for none."""
        return _model(str(self.setting("Distillation.teacher") or ""))

    @property
    def corpora(self) -> list[str]:
        """Names of the corpora, "corpus/config"; a folder of audio by its last name."""
        names = self.setting("Data.corpora")
        listed = names if isinstance(names, list | tuple) else []
        return [without_folders(str(name)) for name in listed]


def read_origin(model: Path, checkpoint: Checkpoint) -> Origin | None:
    """Returns the origin of a model; None if it is not in a run folder.

    Raises:
        CheckpointError: if files of the run are damaged.
    """
    if find_run(model) is None:
        return None
    run = run_of(model)
    settings = read_json(run / SETTINGS).get("settings")
    described = run / ENVIRONMENT
    environment = read_json(described) if described.is_file() else {}
    command, devices = environment.get("command"), environment.get("devices")
    found = re.search(r"step (\d+)$", checkpoint.layout)
    step = int(found[1]) if found else None
    return Origin(
        step=step,
        settings=settings if isinstance(settings, dict) else {},
        started_from=_started_from(command if isinstance(command, list) else []),
        devices=[str(device) for device in devices] if isinstance(devices, list) else [],
        loss=_loss(run / METRICS_FILE, step),
        gin={name: run / name for name in GIN_FILES if (run / name).is_file()},
    )


def release_of(corpus: str) -> Release | None:
    """Returns the published release that a corpus was prepared from; None for one's own."""
    return RELEASES.get(corpus.partition("/")[0])


def _started_from(command: Sequence[Any]) -> str:
    """Returns the value of --init_from on a command line."""
    words = [str(word) for word in command]
    for number, word in enumerate(words):
        name, equals, value = word.replace("-", "_").partition("=")
        if name == "__init_from":
            value = word.partition("=")[2] if equals else "".join(words[number + 1 : number + 2])
            return _model(value)
    return ""


def _model(name: str) -> str:
    """Returns the name of a model as it was given to a command, without folders and secrets."""
    hidden = without_folders(name)
    there = os.path.exists(os.path.expanduser(name))
    if hidden == name and (there or find_source(name) is None):
        return re.split(r"[/\\]+", name.rstrip("/\\"))[-1]
    return hidden


def _loss(path: Path, step: int | None) -> float | None:
    """Returns the loss of the last evaluation up to a step; lines that are cut off are ignored."""
    loss = None
    try:
        lines = text_of(path).splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(path, "a readable text file", first_line(error)) from None
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        value = row.get(_LOSS) if isinstance(row, dict) else None
        if isinstance(value, float) and (step is None or row.get("step", 0) <= step):
            loss = value
    return loss
