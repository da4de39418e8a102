"""Weights that come with the package; `weights/README.md` says what they are."""

from pathlib import Path

# A tiny network as it is before training, for trying things out: it sounds like noise.
UNTRAINED = "untrained"
# The model that plays where none is named.
MINI = "mini"
WEIGHTS = Path(__file__).parents[1] / "weights"


def bundled_models() -> dict[str, Path]:
    """Name to folder."""
    return {path.parent.name: path.parent for path in sorted(WEIGHTS.glob("*/model.json"))}


def default_model() -> str:
    """The model that plays where none is named."""
    return MINI if MINI in bundled_models() else UNTRAINED


def bundled_inverter() -> Path | None:
    """The file of the inverter that is used where no other is given; None if there is none."""
    path = WEIGHTS / "inverter.safetensors"
    return path if path.is_file() else None
