"""The examples of the repository, with the beginnings of their songs."""

from pathlib import Path

import spectrodiff as sd

EXAMPLES = Path(__file__).parents[2] / "examples"


def link_examples(folder: Path, seconds: float = 10.0) -> None:
    """Makes `folder` a copy of `examples/` whose songs are shortened; the rest is linked."""
    folder.mkdir()
    for path in EXAMPLES.iterdir():
        if path.suffix == ".mid":
            notes = sd.read_midi(path)
            sd.write_midi(notes.select(notes.offset_seconds < seconds), folder / path.name)
        else:
            (folder / path.name).symlink_to(path)
