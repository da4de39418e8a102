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
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from few_steps import in_turns

import spectrodiff
from spectrodiff.composer.compose import compose
from spectrodiff.composer.settings import FULL
from spectrodiff.core.parallel import make_mesh
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.songs import padded_shape, plan
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
    loaded = spectrodiff.load(flags.model)
    checkpoint, inverter = loaded.checkpoint, loaded.inverter
    devices = jax.devices()[:1]
    scheduled = tuning_for(make_mesh(devices))
    in_step = dataclasses.replace(scheduled, rows=None)
    sides = [
        Side(name, Synthesizer(checkpoint, inverter, devices=devices, tuning=tuning))
        for name, tuning in (("in step", in_step), (f"at most {scheduled.rows} rows", scheduled))
    ]
    sources = flags.songs or [compose(7, FULL, index=index) for index in range(flags.composed)]
    songs = [loaded.tokenize(song) for song in sources]

    def render(synth: Synthesizer) -> Callable[[], object]:
        return lambda: synth.render_many(songs, batch_size=flags.batch_size)

    taken = in_turns({side.name: render(side.synth) for side in sides}, flags.rounds)
    seconds = {name: min(times) for name, times in taken.items()}
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


def counts(side: Side, songs: Sequence[SongTokens], batch_size: int) -> tuple[float, int]:
    """Returns the computed tokens by those of notes, and the number of programs."""
    model = side.synth.engine.segments(side.synth.sampling)
    batches = plan(model, [song.tokens for song in songs], batch_size)
    shapes = [padded_shape(model, rows) for rows in batches]
    needed = sum(int(np.count_nonzero(song.tokens)) for song in songs)
    return sum(map(np.prod, shapes)) / needed, len(set(shapes))


if __name__ == "__main__":
    main()
