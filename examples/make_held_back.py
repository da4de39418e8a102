"""Writes the held-back songs for evaluation: `python examples/make_held_back.py [FOLDER]`.

Ten are composed by `spectrodiff.composer.compose` with the preset NARROW, from a seed that no
training corpus may use; ten are entered by hand. They are written to `held_back/test` beside this
file by default; the output is reproducible.
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
    """Writes all twenty songs; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    entered = [write(song, folder) for song in CLASSICS + SONGS]
    composed = [folder / f"composed_{index}.mid" for index in range(COMPOSED)]
    for index, path in enumerate(composed):
        write_midi(compose(SEED, SETTINGS, index), path)
    return composed + entered


if __name__ == "__main__":
    for path in write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER):
        print(path, mido.MidiFile(path).length)
