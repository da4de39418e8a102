"""Optional packages: what a command needs beyond what rendering needs."""

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Mapping

from spectrodiff.core.errors import ConfigError

# Modules of each extra of the package, by the name of the extra, and the packages they come in.
EXTRAS: Mapping[str, Mapping[str, str]] = {
    "train": {
        "absl": "absl-py",
        "array_record": "array-record",
        "grain": "grain",
        "jinja2": "jinja2",
        "mir_eval": "mir_eval",
        "optax": "optax",
        "tensorboardX": "tensorboardX",
        "tensorflow_datasets": "tensorflow-datasets",
        "threadpoolctl": "threadpoolctl",
        "yaml": "PyYAML",
    },
    "play": {"starlette": "starlette", "uvicorn": "uvicorn"},
    "export": {"onnx": "onnx"},
    "note-seq": {"note_seq": "note-seq"},
}


def need_extra(command: str, extra: str) -> None:
    """Checks that all packages of an extra are installed.

    Args:
        command: what needs them, for the message.
        extra: a name in `EXTRAS`.

    Raises:
        ConfigError: if some are missing; it names them and the line that installs them.
    """
    packages = EXTRAS[extra]
    missing = [
        package for module, package in packages.items() if importlib.util.find_spec(module) is None
    ]
    if not missing:
        return
    if sys.platform == "win32" and "array-record" in missing:
        expected = "Linux, macOS or WSL, since corpora are stored with array-record"
        raise ConfigError(command, expected, "Windows, which it does not support")
    versions = _required()
    words = " ".join(f"'{versions.get(_normal(package), package)}'" for package in missing)
    expected = f"the packages of the extra {extra!r}"
    got = f"no {', '.join(missing)} (to install them: pip install {words})"
    raise ConfigError(command, expected, got)


def explain_missing(module: str | None) -> ConfigError | None:
    """Returns the error for a module that could not be imported; None if no extra has it."""
    for extra, packages in EXTRAS.items():
        if module in packages:
            try:
                need_extra("this command", extra)
            except ConfigError as error:
                return error
    return None


def _required() -> dict[str, str]:
    """Returns the requirements of this package, such as "grain>=0.2", by normal name."""
    try:
        lines = importlib.metadata.requires("spectrodiff") or []
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        return {}
    requirements = (line.split(";")[0].strip() for line in lines)
    return {_normal(re.split(r"[<>=!~\[ ]", line)[0]): line for line in requirements}


def _normal(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()
