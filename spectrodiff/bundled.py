"""Models that come with the package; `weights/README.md` says what they are."""

from pathlib import Path

# A tiny network as it is before training, for trying things out: it sounds like noise.
UNTRAINED = "untrained"
WEIGHTS = Path(__file__).parent / "weights"


def bundled_models() -> dict[str, Path]:
    """Name to folder."""
    return {path.parent.name: path.parent for path in sorted(WEIGHTS.glob("*/model.json"))}


def default_model() -> str:
    """The model that plays where none is named: "mini", or an untrained one where it is not."""
    return "mini" if "mini" in bundled_models() else UNTRAINED
