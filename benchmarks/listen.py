"""One table of a model's playing: notes, colour, loudness, pitch, joins, dense music, drums.

    python benchmarks/listen.py mini --out out/listen
    python benchmarks/listen.py runs/a --inverter runs/b --form long --out out/listen-a
    python benchmarks/listen.py soundfont:other.sf2 --out out/listen-other
    python benchmarks/listen.py --compare out/listen/results.json out/listen-a/results.json

renders held-back pieces and small studies with the model, with the soundfont that models are
trained on (FluidR3 GM) and with another that no model has heard (TimGM6mb; Debian package
timgm6mb-soundfont), and inverts the features of the first. Everything is measured of all four, so
that each number of the model stands beside what a perfect one would have, what another good
instrument has, and what is the inverter's fault. The short form takes minutes on two cores; the
long one plays all held-back pieces to their ends and every key of six instruments.

Needs FluidSynth and basic-pitch. What was drawn is kept in OUT/cache: another inverter costs no
sampling. OUT gets table.md, results.json, and some of the audio.

Distances of spectrograms leave out one offset per piece: how loud a model plays as a whole is
measured by itself. "As drawn" is of the model's own features, "as heard" of those of its audio.
Recall of dense music is of the peaks of basic-pitch's onset activations, since notes shorter than
128 ms do not come out of it as notes.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from listening.measures import Bench, measure, steady_tones
from listening.onsets import Listener
from listening.programme import FORMS, Piece, programme
from listening.sources import Rendering, SoundfontSource, open_source, through_inverter
from listening.tables import Results, comparison, inverter_rows, make_rows, table

from spectrodiff.audio.files import write_audio
from spectrodiff.commands import program
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.files import atomic_file, check_writable
from spectrodiff.core.runtime import enable_compilation_cache

HELD_BACK = Path(__file__).parents[1] / "examples" / "held_back" / "test"
SECOND_SOUNDFONT = "/usr/share/sounds/sf2/TimGM6mb.sf2"  # where Debian installs it
GROUPS_KEPT = ("bands", "velocity", "chord", "dense", "drums")
HELD_BACK_KEPT = 3

logger = logging.getLogger("spectrodiff.listen")


def main(arguments: Sequence[str]) -> None:
    flags = parse_flags(arguments)
    if flags.compare:
        before, after = map(Results.read, flags.compare)
        print(comparison(before, after), end="")
        return
    check_writable(flags.out)
    enable_compilation_cache()
    results = run(flags)
    results.write(flags.out / "results.json")
    text = table(results)
    with atomic_file(flags.out / "table.md") as temporary:
        temporary.write_text(text)
    print(text, end="")


def parse_flags(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("model", nargs="?", help="as spectrodiff.load takes it, or soundfont:FILE")
    add("--inverter", help="another than the one that comes with the model")
    add("--form", choices=FORMS, default="short")
    add("--steps", type=int, help="of the sampler; by default the model's own, as all sampling")
    add("--guidance", type=float)
    add("--seed", type=int, default=0)
    add("--batch_size", type=int, default=8, help="pieces rendered side by side")
    add("--out", type=Path, default=Path("out/listen"))
    add("--cache", type=Path, help="where renders are kept; by default OUT/cache")
    add("--gain", type=float, default=0.8, help="of both soundfonts, for all pieces")
    add("--second_soundfont", default=SECOND_SOUNDFONT, help="one that no model has heard")
    add("--held_back", type=Path, default=HELD_BACK, help="a folder of MIDI files")
    add("--compare", nargs=2, metavar="RESULTS", help="prints two results.json side by side")
    flags = parser.parse_args(arguments)
    if (flags.model is None) == (flags.compare is None):
        parser.error("either a model or --compare is needed")
    return flags


def run(flags: argparse.Namespace) -> Results:
    """Renders and measures; stores some of the audio."""
    form = FORMS[flags.form]
    pieces = programme(form, flags.held_back)
    listener = Listener()
    cache = flags.cache or flags.out / "cache"
    source = open_source(
        flags.model,
        cache,
        inverter=flags.inverter,
        changes={"steps": flags.steps, "guidance": flags.guidance},
        seed=flags.seed,
        batch_size=flags.batch_size,
        gain=flags.gain,
    )
    second = SoundfontSource(flags.second_soundfont, cache, flags.gain)
    logger.info("rendering %d pieces with soundfonts", len(pieces))
    reference = SoundfontSource(None, cache, flags.gain).render(pieces)
    # In the order of the table's columns.
    renderings = {
        "model": source.render(pieces),
        "reference": reference,
        "second": second.render(pieces),
        "inverter": through_inverter(source.inverter, reference, pieces),
    }
    for name, rendering in renderings.items():
        keep_audio(rendering, name, pieces, flags.out)
    bench = Bench(form, pieces, reference, listener, source.segment_frames)
    columns = []
    for name, rendering in renderings.items():
        logger.info("measuring: %s", name)
        columns.append(measure(bench, rendering))
    logger.info("measuring the inverter on steady tones")
    tones = steady_tones(source.inverter, form.num_tones)
    return Results(
        model=source.name,
        inverter=source.inverter.name,
        form=flags.form,
        steps=source.sampling.steps,
        guidance=source.sampling.guidance,
        seed=flags.seed,
        gain=flags.gain,
        second_soundfont=second.name,
        rows=(*make_rows(*columns), *inverter_rows(tones)),
    )


def keep_audio(rendering: Rendering, name: str, pieces: Sequence[Piece], out: Path) -> None:
    """Writes what one may want to listen to."""
    kept = [piece for piece in pieces if piece.group in GROUPS_KEPT]
    kept += [piece for piece in pieces if piece.group == "held back"][:HELD_BACK_KEPT]
    kept += [piece for piece in pieces if piece.group == "notes"][:1]
    for piece in kept:
        path = out / "audio" / f"{piece.name}-{name}.wav"
        write_audio(path, rendering[piece.name].audio, SAMPLE_RATE)


if __name__ == "__main__":
    sys.exit(program.run(main))
