"""Fine-tuning of a model on an instrument that it does not know: distances before and after.

    python benchmarks/fine_tuning.py --instrument harpsichord --out out/fine_tuning

makes recordings of the instrument with their MIDI files, as a folder of one's own (composed solos,
the program of all notes is 0), prepares them (`spectrodiff prepare pairs`), trains with
`configs/fine_tune.gin` from the model, and measures on songs that are not trained on:

- log-mel L1 to the recording at equal level (`aligned_log_mel_l1`);
- the Frechet distance of log-mel statistics, as `spectrodiff fad` computes it;
- how much the features change between frames, relative to the recording: less is blurred;
- onset F1 of the notes that basic-pitch hears (left out if it is not installed).

Beside the model before and after stand the recordings themselves, what the inverter makes of their
true features, and the model with its own piano, measured on the soundfont's piano: how close it
comes to an instrument that it was trained on.

The instruments are FluidR3's; needs FluidSynth. Writes OUT/INSTRUMENT: pairs, data, run, audio,
results.json, and spectrograms.png of the first held-back song. The same command resumes a stopped
run.
"""

import argparse
import dataclasses
import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tuning.measures import Distances, Songs, measure
from tuning.recordings import INSTRUMENTS, Play, player, songs, write_pairs

import spectrodiff as sd
from spectrodiff.audio.pictures import draw_spectrograms
from spectrodiff.checkpoints.run_folder import CHECKPOINTS, SETTINGS, steps_of
from spectrodiff.core.constants import FRAMES_PER_SECOND, SAMPLE_RATE
from spectrodiff.core.errors import CheckpointError
from spectrodiff.core.json_files import read_json, write_json
from spectrodiff.core.runtime import enable_compilation_cache
from spectrodiff.evaluation.metrics.signal_distances import blockwise_log_mel
from spectrodiff.evaluation.metrics.transcription.transcribe import open_transcriber
from spectrodiff.evaluation.metrics.transcription.transcriber import Transcriber
from spectrodiff.inverter import invert

ROOT = Path(__file__).parents[1]
COLUMNS = ("", "log-mel L1", "Frechet distance", "change between frames", "onset F1")
PICTURE_SECONDS = 8
PIANO = "piano"


def main() -> None:
    flags = parse_flags()
    enable_compilation_cache()
    logging.disable(logging.WARNING)  # remarks on replaced instruments
    folder = flags.out / flags.instrument
    play, notes = player(flags.instrument), songs(flags.songs, flags.held_back)

    make_pairs(flags, folder, play)
    cost = fine_tune(flags, folder)

    recordings = {name: play(song) for name, song in notes.items()}
    before, after = sd.load(flags.model), sd.load(folder / "run")
    audio: dict[str, Songs] = {
        "the recordings": recordings,
        "inverter on their features": {
            name: invert(before.inverter, blockwise_log_mel(audio))
            for name, audio in recordings.items()
        },
        f"`{flags.model}`, before": render(before, notes),
        "after fine-tuning": render(after, notes),
    }
    hears = transcriber()
    rows = {
        name: measure(folder / "audio" / f"{number}", songs, recordings, notes, hears)
        for number, (name, songs) in enumerate(audio.items())
    }
    piano = {name: player(PIANO)(song) for name, song in notes.items()}
    own = audio[f"`{flags.model}`, before"]
    name = f"`{flags.model}` beside its own piano"
    rows[name] = measure(folder / "audio" / PIANO, own, piano, notes, hears)
    draw(folder / "spectrograms.png", audio)
    results = {name: dataclasses.asdict(row) for name, row in rows.items()}
    sizes = {"held_back_minutes": minutes(recordings), "sampling": str(after.sampling), **cost}
    write_json(folder / "results.json", {**sizes, "rows": results})
    print(json.dumps(sizes))
    print(table(rows))


def parse_flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("--instrument", choices=INSTRUMENTS, default="harpsichord")
    add("--model", default="mini", help="model to start from")
    add("--songs", type=int, default=20, help="number of songs to train on, 40 s each")
    add("--held_back", type=int, default=8, help="number of songs to measure")
    add("--gin_bindings", action="append", default=[], help="as of train.py")
    add("--out", type=Path, default=Path("out/fine_tuning"))
    return parser.parse_args()


def make_pairs(flags: argparse.Namespace, folder: Path, play: Play) -> None:
    """Writes the recordings to train on, and prepares them."""
    if (folder / "data").is_dir():
        return
    length = write_pairs(folder / "pairs", songs(0, flags.songs), play)
    print(f"{flags.songs} recordings, {length:.1f} minutes", flush=True)
    prepare = [sys.executable, "-m", "spectrodiff", "prepare", "pairs"]
    source = ["--source", folder / "pairs", "--data_dir", folder / "data"]
    subprocess.run([*prepare, *source], check=True)


def fine_tune(flags: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Trains, and returns steps and seconds, with those of earlier calls; CPU is that of all cores.

    Raises:
        SystemExit: if the training was stopped.
    """
    bindings = [word for binding in flags.gin_bindings for word in ("--gin_bindings", binding)]
    command = [sys.executable, ROOT / "train.py", "--gin_file", ROOT / "configs" / "fine_tune.gin"]
    paths = ["--init_from", flags.model, "--data_dir", folder / "data", "--run_dir", folder / "run"]
    began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([*command, *bindings, *paths], check=True)
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime,
    }
    stored = folder / "cost.json"
    if stored.is_file():
        cost = {name: seconds + cost[name] for name, seconds in read_json(stored).items()}
    write_json(stored, cost)
    wanted = read_json(folder / "run" / SETTINGS)["settings"]["Training"]["steps"]
    if steps_of(folder / "run" / CHECKPOINTS)[-1] < wanted:
        sys.exit("training was stopped; the same command resumes it")
    return {"steps": wanted, **cost}


def render(synth: sd.Synthesizer, notes: Mapping[str, sd.Notes]) -> Songs:
    """Renders songs with the model's own settings."""
    rendered = synth.render_many(list(notes.values()), seed=0)
    return {name: song.audio for name, song in zip(notes, rendered, strict=True)}


def transcriber() -> Transcriber | None:
    """Returns basic-pitch; None if it is not installed."""
    try:
        return open_transcriber("basic_pitch")
    except CheckpointError as error:
        print(f"no onset F1: {error}")
        return None


def draw(path: Path, audio: Mapping[str, Songs]) -> None:
    """Draws the beginning of the first song before and after, and its recording."""
    names = [name for name in audio if "inverter" not in name]
    order = [*names[1:], names[0]]
    frames = PICTURE_SECONDS * FRAMES_PER_SECOND
    first = next(iter(audio[names[0]]))
    panels = {
        name.replace("`", ""): blockwise_log_mel(audio[name][first])[:frames] for name in order
    }
    draw_spectrograms(panels).savefig(path, dpi=80)


def minutes(recordings: Songs) -> float:
    return float(np.sum([len(audio) for audio in recordings.values()])) / SAMPLE_RATE / 60


def table(rows: Mapping[str, Distances]) -> str:
    """Returns the results as a table in Markdown."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|---:|---:|---:|---:|"]
    for name, row in rows.items():
        onset_f1 = "-" if row.onset_f1 is None else f"{row.onset_f1:.3f}"
        values = f"{row.log_mel_l1:.3f} | {row.frechet:.1f} | {row.change:.2f} | {onset_f1}"
        lines.append(f"| {name} | {values} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
