"""Tones for the tests of the listening bench."""

from pathlib import Path

import numpy as np

HELD_BACK = Path(__file__).parents[2] / "examples" / "held_back" / "test"
RATE = 16_000
FRAME = 320


def tone(hertz, seconds=0.5, amplitude=0.2):
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)


def sharper(hertz, cents):
    return hertz * 2 ** (cents / 1200)
