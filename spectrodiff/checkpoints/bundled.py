"""Weights that come with the package; see `weights/README.md`."""

from pathlib import Path

# Name of a tiny network before training, for experiments; its audio is noise.
UNTRAINED = "untrained"
# Name of the bundled model that is the default.
MINI = "mini"
WEIGHTS = Path(__file__).parents[1] / "weights"


def bundled_models() -> dict[str, Path]:
    """Returns the folders of the bundled models by name."""
    return {path.parent.name: path.parent for path in sorted(WEIGHTS.glob("*/model.json"))}


def default_model() -> str:
    """Returns the name of the model that is used if none is given."""
    return MINI if MINI in bundled_models() else UNTRAINED


def bundled_inverter() -> Path | None:
    """Returns the file of the bundled inverter, the default; None if there is none."""
    path = WEIGHTS / "inverter.safetensors"
    return path if path.is_file() else None
