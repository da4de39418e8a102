"""Loudness of summed stems, beside the same songs rendered at once.

    python benchmarks/stems.py

renders each song of `examples/` at once and as stems, with the same seeds, and prints how much
louder the sum is (ITU-R BS.1770): as the stems are rendered, with the common gain that
`spectrodiff.synthesis.stems` gives them, and in files of 16 bits, where peaks are limited, those of
all stems alike. 0 means as loud as the song at once.
"""

import argparse
import logging
from pathlib import Path

import numpy as np

import spectrodiff
from spectrodiff.audio.loudness import integrated_loudness, limit
from spectrodiff.core.runtime import enable_compilation_cache
from spectrodiff.synthesis.stems import MIX, render_stems

EXAMPLES = Path(__file__).parents[1] / "examples"
COLUMNS = ("song, seed", "stems", "without gain", "with gain", "limited by up to", "in files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini")
    parser.add_argument("--seeds", type=int, default=3)
    flags = parser.parse_args()
    logging.disable(logging.WARNING)  # remarks on replaced instruments, for every rendering
    enable_compilation_cache()
    synth = spectrodiff.load(flags.model)
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for path in sorted(EXAMPLES.glob("*.mid")):
        notes = spectrodiff.read_midi(path)
        for seed in range(flags.seeds):
            whole = synth.render(notes, seed=seed).audio
            stems = render_stems(synth, notes, seed=seed)
            wanted = integrated_loudness(whole, 16_000)
            summed = integrated_loudness(stems.mix, 16_000)
            limited = integrated_loudness(limit(whole, 16_000), 16_000)
            tracks, reduction = stems.tracks()
            stored = integrated_loudness(dict(tracks)[MIX], 16_000)
            decibels = (
                summed - 20 * np.log10(stems.gain) - wanted,
                summed - wanted,
                reduction,
                stored - limited,
            )
            columns = (f"{path.stem}, {seed}", str(len(stems.names)))
            columns += tuple(f"{number:+.2f}" for number in decibels)
            print(f"| {' | '.join(columns)} |", flush=True)


if __name__ == "__main__":
    main()
