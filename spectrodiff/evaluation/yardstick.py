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

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.prepare.soundfont import SoundfontRenderer
from spectrodiff.evaluation.protocol import EvaluationSong
from spectrodiff.evaluation.settings import Row

logger = logging.getLogger(__name__)

_FULL_SCALE = 32768


def with_soundfonts(rows: Sequence[Row]) -> list[Row]:
    """Returns the rows with their soundfonts filled in.

    Rows whose soundfont or FluidSynth is missing are left out, with a warning: like metrics without
    weights, they are no reason to fail.
    """
    usable = []
    for row in rows:
        if row.source == "soundfont":
            try:
                row = dataclasses.replace(row, soundfont=str(_renderer(row.soundfont).soundfont))
            except CorpusError as error:
                logger.warning("the row %s is left out: %s", row.name, error)
                continue
        usable.append(row)
    return usable


def render_with_soundfont(soundfont: str | None, song: EvaluationSong) -> np.ndarray:
    """Renders the notes of a song, float32 [samples of its recording].

    The peak is -1 dB of full scale.

    Raises:
        CorpusError: if FluidSynth or the soundfont is missing, or FluidSynth fails.
    """
    audio = _renderer(soundfont).render(song.notes)[: len(song.audio)]
    audio = np.pad(audio, (0, len(song.audio) - len(audio)))
    return audio.astype(np.float32) / _FULL_SCALE


@functools.cache
def _renderer(soundfont: str | None) -> SoundfontRenderer:
    return SoundfontRenderer(soundfont or _default_soundfont())


def _default_soundfont() -> Path | None:
    """Returns TimGM6mb, which comes with the package pretty_midi; None if it is not there."""
    spec = importlib.util.find_spec("pretty_midi")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).with_name("TimGM6mb.sf2")
