"""Speed of rendering many songs, in step and with segments of like width in a batch.

    python benchmarks/many_songs.py

composes songs with `mini`'s instruments, and renders them in turns with both settings, compiled
before. In step, all songs of a group of 8 take part in each batch, which is padded to the segment
with the most notes, and to a power of two with empty rows.

    python benchmarks/many_songs.py examples/*.mid

renders files. The table has the shortest times. "Computed" are tokens, padding and empty rows
included, by tokens of notes; "programs" are the shapes of batches that were compiled.
"""

import argparse
import dataclasses
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

import spectrodiff
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import FULL
from spectrodiff.core.parallel import make_mesh
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.songs import batches, group_songs, padded_shape
from spectrodiff.synthesis.synthesizer import Synthesizer
from spectrodiff.synthesis.tuning import tuning_for

COLUMNS = ("songs", "s of audio per s", "times faster", "computed", "programs")


class Side(NamedTuple):
    """A way of rendering."""

    name: str
    synth: Synthesizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("songs", nargs="*", help="MIDI files instead of composed songs")
    parser.add_argument("--model", default="mini")
    parser.add_argument("--composed", type=int, default=16, help="number of composed songs")
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    flags = parser.parse_args()
    logging.disable(logging.WARNING)
    checkpoint = open_checkpoint(flags.model)
    inverter = spectrodiff.load(flags.model).inverter
    devices = jax.devices()[:1]
    scheduled = tuning_for(make_mesh(devices))
    in_step = dataclasses.replace(scheduled, rows=None)
    sides = [
        Side(name, Synthesizer(checkpoint, inverter, devices=devices, tuning=tuning))
        for name, tuning in (("in step", in_step), (f"at most {scheduled.rows} rows", scheduled))
    ]
    sources = flags.songs or [compose(7, FULL, index=index) for index in range(flags.composed)]
    songs = [sides[0].synth.tokenize(song) for song in sources]
    seconds = measure(sides, songs, flags.batch_size, flags.rounds)
    length = sum(song.num_samples for song in songs) / 16_000
    print(f"{len(songs)} songs, {length:.0f} s of audio\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for side in sides:
        computed, programs = counts(side, songs, flags.batch_size)
        row = (
            side.name,
            f"{length / seconds[side.name]:.1f}",
            f"{seconds['in step'] / seconds[side.name]:.2f}",
            f"{computed:.2f}",
            str(programs),
        )
        print(f"| {' | '.join(row)} |")


def measure(
    sides: Sequence[Side], songs: Sequence[SongTokens], batch_size: int, rounds: int
) -> dict[str, float]:
    """Returns the shortest time of each side."""
    taken: dict[str, list[float]] = {side.name: [] for side in sides}
    for _ in range(rounds + 1):
        for side in sides:
            start = time.perf_counter()
            side.synth.render_many(songs, batch_size=batch_size)
            taken[side.name].append(time.perf_counter() - start)
    return {name: min(seconds[1:]) for name, seconds in taken.items()}


def counts(side: Side, songs: Sequence[SongTokens], batch_size: int) -> tuple[float, int]:
    """Returns the computed tokens by those of notes, and the number of programs."""
    model = side.synth.engine.segments(side.synth.sampling)
    shapes = []
    for group in group_songs([len(song.tokens) for song in songs], batch_size):
        tokens = [songs[number].tokens for number in group]
        for batch in batches(model, tokens):
            rows = [tokens[song][number] for song, number in batch]
            shapes.append(padded_shape(model, rows))
    needed = sum(int(np.count_nonzero(song.tokens)) for song in songs)
    return sum(map(np.prod, shapes)) / needed, len(set(shapes))


if __name__ == "__main__":
    main()
