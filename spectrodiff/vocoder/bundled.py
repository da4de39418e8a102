"""The inverter that comes with the package, if one does."""

from pathlib import Path

PATH = Path(__file__).parents[1] / "weights" / "inverter.safetensors"


def bundled_inverter() -> Path | None:
    """The file of the inverter that is used where no other is given; None if there is none."""
    return PATH if PATH.is_file() else None
