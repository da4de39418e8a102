"""Writes the pieces that models are measured with: `python examples/make_held_back.py [FOLDER]`.

Ten are composed by `spectrodiff.composer.compose`, in the style that a small model can learn, from
a seed that no corpus to train on may use; ten are entered by hand. By default they are written to
`held_back/test` beside this file, the same bytes every time.
"""

import dataclasses
import sys
from pathlib import Path

import mido
from held_back_classics import CLASSICS
from held_back_songs import SONGS
from make_examples import write

from spectrodiff import write_midi
from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import NARROW

SEED = 1_000_003
COMPOSED = 10
SETTINGS = dataclasses.replace(NARROW, seconds=(20.0, 40.0))
FOLDER = Path(__file__).parent / "held_back" / "test"


def write_all(folder: Path) -> list[Path]:
    """Writes all twenty; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    entered = [write(piece, folder) for piece in CLASSICS + SONGS]
    composed = [folder / f"composed_{index}.mid" for index in range(COMPOSED)]
    for index, path in enumerate(composed):
        write_midi(compose(SEED, SETTINGS, index), path)
    return composed + entered


if __name__ == "__main__":
    for path in write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(path, mido.MidiFile(path).length)
