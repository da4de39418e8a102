"""A clone of the repository in which commands can be run, with short songs."""

from pathlib import Path

import spectrodiff as sd

ROOT = Path(__file__).parents[2]
SHORT_SECONDS = 10.0


def make_clone(folder: Path) -> None:
    """Links what commands need in a folder, and cuts the songs of `examples/` to their beginnings.

    What commands write there does not land in the repository.
    """
    for name in ("sample.py", "train.py", "eval.py", "tests", "configs"):
        (folder / name).symlink_to(ROOT / name)
    examples = folder / "examples"
    examples.mkdir()
    for path in (ROOT / "examples").iterdir():
        if path.suffix == ".mid":
            notes = sd.read_midi(path)
            short = notes.select(notes.offset_seconds < SHORT_SECONDS)
            sd.write_midi(short, examples / path.name)
        else:
            (examples / path.name).symlink_to(path)
