"""Pieces turned into what training needs: composed, rendered and tokenised, in any process."""

import dataclasses
import functools
import multiprocessing
import os
from typing import NamedTuple

import numpy as np

from spectrodiff.composer.seeded_random import SeededRandom
from spectrodiff.data.loading.examples import Cutter, ExampleFormat
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.data.recordings import Recording
from spectrodiff.recipe.music import write_piece
from spectrodiff.recipe.settings import Recipe


class Piece(NamedTuple):
    """A rendered piece with the examples that are cut out of it.

    Attributes:
        audio: int16 [samples] at 16 kHz, `piece_frames` long.
        starts: int32 [cuts], the first target frame of each example.
        tokens: int32 [n] of each example, closed by the end of sequence.
    """

    audio: np.ndarray
    starts: np.ndarray
    tokens: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class PieceMaker:
    """Makes pieces of a series by their numbers; can be pickled.

    Args:
        seed: names the series.
        seconds: length of the pieces.
        frames: the same in frames.
        cuts: examples per piece.
        example_format: how they are cut.
        renderer: plays the notes.
    """

    seed: int
    seconds: float
    frames: int
    cuts: int
    example_format: ExampleFormat
    renderer: SoundfontRenderer

    def __call__(self, index: int) -> Piece:
        """Piece number `index`; examples with too many notes are left out."""
        _make_way()
        notes = write_piece(self.seed, index, self.seconds)
        audio = self.renderer.render(notes)
        cutter = Cutter(Recording(str(index), audio, notes), self.example_format)
        starts = self._starts(index)
        examples = [(start, cutter.tokens(start)) for start in starts]
        kept = [(start, part.tokens) for start, part in examples if not part.left_out_events]
        return Piece(
            audio=audio,
            starts=np.array([start for start, _ in kept], np.int32),
            tokens=[tokens for _, tokens in kept],
        )

    def _starts(self, index: int) -> list[int]:
        """One random start in each of `cuts` equal parts, so that all of the piece is used."""
        rng = SeededRandom(self.seed, index, 2)
        last = self.frames - self.example_format.target_frames
        return [
            int((part + rng.uniform(0, 1)) / self.cuts * (last + 1)) for part in range(self.cuts)
        ]


@functools.cache
def _make_way() -> None:
    """Lets the compiler have the cores while it needs them: training waits for it alone."""
    if multiprocessing.parent_process() is not None and hasattr(os, "nice"):
        os.nice(10)


def piece_maker(recipe: Recipe, seed: int, soundfont: str | os.PathLike[str] | None) -> PieceMaker:
    """The maker of a recipe's pieces.

    Raises:
        CorpusError: if FluidSynth or the soundfont is missing.
    """
    return PieceMaker(
        seed,
        recipe.piece_seconds,
        recipe.piece_frames,
        recipe.cuts,
        recipe.example_format(),
        SoundfontRenderer(soundfont, gain=recipe.gain),
    )
