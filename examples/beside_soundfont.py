"""Draws the spectrograms of a song rendered by a model and by a soundfont.

    python examples/beside_soundfont.py examples/greensleeves.mid --seconds 12 --out out/beside.png

Needs FluidSynth and a soundfont (Debian: fluidsynth, fluid-soundfont-gm).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import spectrodiff as sd
from spectrodiff.audio.pictures import write_spectrogram
from spectrodiff.checkpoints.bundled import default_model
from spectrodiff.commands import program
from spectrodiff.core.constants import FRAMES_PER_SECOND
from spectrodiff.core.files import check_writable
from spectrodiff.data.prepare.soundfont import SoundfontRenderer


def main(arguments: Sequence[str]) -> None:
    """Renders a song twice and draws both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("song", type=Path, help="a MIDI file")
    parser.add_argument("--model", default=default_model())
    parser.add_argument("--steps", type=int, help="by default that of the model")
    parser.add_argument("--guidance", type=float, help="by default that of the model")
    parser.add_argument("--seconds", type=float, default=12.0, help="length to draw")
    parser.add_argument("--out", type=Path, required=True, help="file name ending in .png")
    flags = parser.parse_args(arguments)
    check_writable(flags.out.parent)

    # Rendered like the corpora that models are trained on.
    audio = SoundfontRenderer().render(flags.song)
    song = sd.load(flags.model).render(
        flags.song, steps=flags.steps, guidance=flags.guidance, seed=0
    )
    frames = round(flags.seconds * FRAMES_PER_SECOND)
    panels = {
        f"{flags.song.stem}, model {flags.model}": song.log_mel[:frames],
        f"{flags.song.stem}, soundfont": np.asarray(sd.log_mel(audio))[:frames],
    }
    write_spectrogram(flags.out, panels)
    print(flags.out)


if __name__ == "__main__":
    sys.exit(program.run(main))
