"""Yardstick of rendered corpora: the same notes, rendered with another soundfont.

The distance between two soundfonts is that between two good renderings, which no score of a model
need be better than.
"""

import dataclasses
import functools
import importlib.util
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spectrodiff.audio.samples import peak_of
from spectrodiff.core.errors import CorpusError
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.evaluation.protocol import EvaluationSong
from spectrodiff.evaluation.settings import Row

logger = logging.getLogger(__name__)


def with_soundfonts(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows with their soundfonts filled in.

    Rows whose soundfont or FluidSynth is missing are left out, with a warning: like metrics without
    weights, they are no reason to fail.
    """
    usable = []
    for row in rows:
        if row.source == "soundfont":
            try:
                row = dataclasses.replace(row, soundfont=str(renderer(row.soundfont).soundfont))
            except CorpusError as error:
                logger.warning("the row %s is left out: %s", row.name, error)
                continue
        usable.append(row)
    return usable


def render_with_soundfont(soundfont: str | None, song: EvaluationSong) -> np.ndarray:
    """Renders the notes of a song, float32 [samples of its recording].

    Its peak is that of the recording, since the level of a soundfont is arbitrary.

    Raises:
        CorpusError: if FluidSynth or the soundfont is missing, or FluidSynth fails.
    """
    audio = renderer(soundfont).render(song.notes)[: len(song.audio)]
    audio = np.pad(audio, (0, len(song.audio) - len(audio))).astype(np.float32)
    return audio * (peak_of(song.audio) / max(peak_of(audio), 1.0))


@functools.cache
def renderer(soundfont: str | None) -> SoundfontRenderer:
    """Returns a renderer; raises CorpusError if FluidSynth or the soundfont is missing."""
    return SoundfontRenderer(soundfont or _default_soundfont())


def _default_soundfont() -> Path | None:
    """Returns TimGM6mb, which comes with the package pretty_midi; None if it is not there."""
    spec = importlib.util.find_spec("pretty_midi")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).with_name("TimGM6mb.sf2")
