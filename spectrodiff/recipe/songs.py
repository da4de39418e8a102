"""Songs to train on: composed, rendered with a soundfont and tokenized, in any process."""

import dataclasses
import functools
import multiprocessing
import os
from typing import NamedTuple

import numpy as np

from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.data.loading.examples import Cutter
from spectrodiff.data.pieces import whole
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.data.recordings import Recording
from spectrodiff.recipe.music import write_song
from spectrodiff.recipe.settings import Recipe


class RenderedSong(NamedTuple):
    """A rendered song and the examples that are cut out of it.

    Attributes:
        audio: int16 [samples] at 16 kHz.
        starts: int32 [examples], first target frame of each example.
        tokens: int32 [n] of each example, with the end-of-sequence token.
    """

    audio: np.ndarray
    starts: np.ndarray
    tokens: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class SongMaker:
    """Makes the songs of a series by number; can be pickled.

    Args:
        recipe: length of the songs, number and format of their examples.
        seed: of the series.
        renderer: renders the notes.
    """

    recipe: Recipe
    seed: int
    renderer: SoundfontRenderer

    def __call__(self, index: int) -> RenderedSong:
        """Makes one song; examples with too many notes are left out."""
        _lower_priority()
        notes = write_song(self.seed, index, self.recipe.song_frames / FRAMES_PER_SECOND)
        audio = self.renderer.render(notes)
        song = whole(Recording(str(index), audio, notes))
        cutter = Cutter(song, self.recipe.example_format())
        examples = [(start, cutter.tokens(start)) for start in self._starts(index)]
        kept = [(start, part.tokens) for start, part in examples if not part.left_out_events]
        return RenderedSong(
            audio=audio,
            starts=np.array([start for start, _ in kept], np.int32),
            tokens=[tokens for _, tokens in kept],
        )

    def _starts(self, index: int) -> list[int]:
        """Returns a random start in each of as many equal parts of a song as it has examples."""
        rng = SeededRandom(self.seed, index, 2)
        count = self.recipe.examples_per_song
        starts = self.recipe.song_frames - self.recipe.config.target_frames + 1
        return [int((part + rng.uniform(0, 1)) / count * starts) for part in range(count)]


@functools.cache
def _lower_priority() -> None:
    """Gives the compiler of the parent process precedence; training waits for it alone."""
    if multiprocessing.parent_process() is not None and hasattr(os, "nice"):
        os.nice(10)
