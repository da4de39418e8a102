"""Measures a model's renderings: notes, timbre, level, pitch, joins, dense music, drums.

    python benchmarks/listen.py mini --out out/listen
    python benchmarks/listen.py runs/a --inverter runs/b --form long --out out/listen-a
    python benchmarks/listen.py soundfont:other.sf2 --out out/listen-other
    python benchmarks/listen.py --compare out/listen/results.json out/listen-a/results.json

renders held-back songs and short studies with the model, with the soundfont that models are trained
on (FluidR3 GM) and with one that no model is trained on (TimGM6mb; Debian package
timgm6mb-soundfont), and inverts the features of the first soundfont. The table has the measures of
all four: the model, a perfect model, another good instrument, and the inverter alone. The short
form takes minutes on two cores; the long one renders whole held-back songs and every key of six
instruments.

Needs FluidSynth and basic-pitch. Features are cached in OUT/cache, so that another inverter needs
no sampling. Writes table.md, results.json and some of the audio to OUT.

Distances of spectrograms are computed after aligning the level of each song. They are given for the
generated features and for those of the audio. Recall of dense music uses peaks of basic-pitch's
onset activations, because it detects no notes shorter than 128 ms.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from listening.measures import Bench, measure, steady_tones
from listening.onsets import NoteDetector
from listening.songs import FORMS, BenchSong, bench_songs
from listening.sources import Renderings, SoundfontSource, invert_reference, open_source
from listening.tables import Results, comparison, inverter_rows, make_rows, table

from spectrodiff.audio.files import write_audio
from spectrodiff.commands import program
from spectrodiff.commands.shared.parser import YesNo
from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.files import atomic_file, check_writable
from spectrodiff.core.runtime import enable_compilation_cache

HELD_BACK = Path(__file__).parents[1] / "examples" / "held_back" / "test"
SECOND_SOUNDFONT = "/usr/share/sounds/sf2/TimGM6mb.sf2"  # where Debian installs it
# Songs whose audio is written.
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
    add("model", nargs="?", help="model as spectrodiff.load takes it, or soundfont:FILE")
    add("--inverter", help="inverter instead of the model's")
    add("--score_phases", action=YesNo, default=None, help="phases from the notes, or not")
    add("--form", choices=FORMS, default="short", help="amount of music")
    add("--steps", type=int, help="number of sampling steps instead of the model's")
    add("--guidance", type=float, help="guidance weight instead of the model's")
    add("--overlap", type=int, help="frames that segments share instead of the model's")
    add("--seed", type=int, default=0, help="seed of sampling")
    add("--batch_size", type=int, default=8, help="number of songs rendered in one batch")
    add("--out", type=Path, default=Path("out/listen"), help="folder of results")
    add("--cache", type=Path, help="folder of cached features instead of OUT/cache")
    add("--gain", type=float, default=0.8, help="gain of both soundfonts")
    add("--second_soundfont", default=SECOND_SOUNDFONT, help="soundfont without trained models")
    add("--held_back", type=Path, default=HELD_BACK, help="folder of MIDI files")
    add("--compare", nargs=2, metavar="RESULTS", help="compare two files results.json")
    flags = parser.parse_args(arguments)
    if (flags.model is None) == (flags.compare is None):
        parser.error("either a model or --compare is needed")
    return flags


def run(flags: argparse.Namespace) -> Results:
    """Renders and measures; writes some of the audio."""
    form = FORMS[flags.form]
    songs = bench_songs(form, flags.held_back)
    detector = NoteDetector()
    cache = flags.cache or flags.out / "cache"
    source = open_source(
        flags.model,
        cache,
        inverter=flags.inverter,
        score_phases=flags.score_phases,
        changes={"steps": flags.steps, "guidance": flags.guidance, "overlap": flags.overlap},
        seed=flags.seed,
        batch_size=flags.batch_size,
        gain=flags.gain,
    )
    second = SoundfontSource(flags.second_soundfont, cache, flags.gain)
    logger.info("rendering %d songs with soundfonts", len(songs))
    reference = SoundfontSource(None, cache, flags.gain).render(songs)
    # In the order of the table's columns.
    renderings = {
        "model": source.render(songs),
        "reference": reference,
        "second": second.render(songs),
        "inverter": invert_reference(source.inverter, reference, songs),
    }
    for name, rendered in renderings.items():
        write_examples(rendered, name, songs, flags.out)
    bench = Bench(form, songs, reference, detector, source.segment_frames)
    columns = []
    for name, rendered in renderings.items():
        logger.info("measuring: %s", name)
        columns.append(measure(bench, rendered))
    logger.info("measuring the inverter on steady tones")
    tones = steady_tones(source.inverter, form.num_tones)
    return Results(
        model=source.name,
        inverter=source.inverter.name,
        form=flags.form,
        steps=source.sampling.steps,
        guidance=source.sampling.guidance,
        overlap=source.sampling.overlap,
        seed=flags.seed,
        gain=flags.gain,
        second_soundfont=second.name,
        rows=(*make_rows(*columns), *inverter_rows(tones)),
    )


def write_examples(rendered: Renderings, name: str, songs: Sequence[BenchSong], out: Path) -> None:
    """Writes the audio of some songs."""
    kept = [song for song in songs if song.group in GROUPS_KEPT]
    kept += [song for song in songs if song.group == "held back"][:HELD_BACK_KEPT]
    kept += [song for song in songs if song.group == "notes"][:1]
    for song in kept:
        path = out / "audio" / f"{song.name}-{name}.wav"
        write_audio(path, rendered[song.name].audio, SAMPLE_RATE)


if __name__ == "__main__":
    sys.exit(program.run(main))
