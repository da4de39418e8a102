"""Models that come with the package; `weights/README.md` says what they are."""

from pathlib import Path

# A tiny network as it is before training, for trying things out: it sounds like noise.
UNTRAINED = "untrained"
# A model whose training is not finished: tunes can be made out, the sound is rough.
DRAFT = "draft"
WEIGHTS = Path(__file__).parent / "weights"


def bundled_models() -> dict[str, Path]:
    """Name to folder."""
    return {path.parent.name: path.parent for path in sorted(WEIGHTS.glob("*/model.json"))}


def default_model() -> str:
    """The model that plays where none is named: the best there is."""
    there = bundled_models()
    return next((name for name in ("mini", DRAFT) if name in there), UNTRAINED)
