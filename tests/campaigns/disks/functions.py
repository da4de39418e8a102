"""Functions that write files and folders."""

import logging
import shutil
from pathlib import Path

import numpy as np

from tests.campaigns.disks.writer import GOLDEN, MODEL, SONG, Materials, Writer


def write_json(out: Path, _: Materials) -> None:
    from spectrodiff.core.json_files import write_json

    write_json(out / "deep" / "values.json", {"values": list(range(3000))})


def gin_file(out: Path, _: Materials) -> None:
    from spectrodiff.commands.shared import gin_files
    from spectrodiff.training.settings import Training

    gin_files.parse([Training], [], ["Training.steps = 5"])
    gin_files.filled(Training)
    gin_files.write(out)


def audio(suffix: str):
    def write(out: Path, materials: Materials) -> None:
        from spectrodiff.audio.files import write_audio

        write_audio(out / f"sound{suffix}", materials.audio, 16_000)

    return write


def picture(out: Path, materials: Materials) -> None:
    from spectrodiff.audio.pictures import write_spectrogram

    write_spectrogram(out / "picture.png", materials.log_mel, 40)


def bare_picture(out: Path, materials: Materials) -> None:
    from spectrodiff.audio.pictures import write_bare_spectrogram

    write_bare_spectrogram(out / "picture.png", materials.log_mel)


def midi(out: Path, _: Materials) -> None:
    from spectrodiff.music.midi.reader import read_midi
    from spectrodiff.music.midi.writer import write_midi

    write_midi(read_midi(GOLDEN / "midi" / "dense.mid"), out / "song.mid")


def array(out: Path, materials: Materials) -> None:
    from spectrodiff.core.files import write_array

    write_array(out / "values.npy", materials.log_mel)


def scores(out: Path, _: Materials) -> None:
    from spectrodiff.evaluation.settings import Row
    from spectrodiff.evaluation.store import SongFiles

    files = SongFiles(out, "pairs/own", "a song")
    files.write_scores(Row("model"), {f"metric {n}": {"f1": [0.5, 1.0]} for n in range(200)})


def piece_index(out: Path, materials: Materials) -> None:
    from spectrodiff.data.piece_index import PieceIndex
    from spectrodiff.data.source import dataset_folder, index_path

    folder = dataset_folder(materials.data, "pairs", "own")
    PieceIndex.load(index_path(folder, "train")).save(out / "index.npz")


def corpus(out: Path, materials: Materials) -> None:
    # Without what training has stored there.
    ignored = shutil.ignore_patterns("tokens-*")
    shutil.copytree(materials.data, out / "data", ignore=ignored)


def lengths(out: Path, _: Materials) -> None:
    from spectrodiff.data.loading.lengths import most_tokens
    from spectrodiff.data.source import load_source
    from tests.support.corpora import SMALL

    most_tokens(load_source(out / "data", "pairs/own", "train").pieces, SMALL)


def summary(out: Path, materials: Materials) -> None:
    from spectrodiff.data.prepare.summary import Summary
    from spectrodiff.data.source import SUMMARY_FILE, dataset_folder

    Summary.load(dataset_folder(materials.data, "pairs", "own") / SUMMARY_FILE).save(
        out / "summary.json"
    )


def model(out: Path, _: Materials) -> None:
    from spectrodiff.checkpoints.layouts.store import save_model
    from spectrodiff.checkpoints.resolve import open_checkpoint

    save_model(open_checkpoint(MODEL), out / "model")


def diffusers(out: Path, _: Materials) -> None:
    from spectrodiff.checkpoints.layouts.diffusers_folder import save_diffusers
    from tests.support.made_models import made_model

    save_diffusers(made_model(), out / "model")


def onnx_folder(out: Path, _: Materials) -> None:
    from spectrodiff.sharing.onnx_folder import save_onnx
    from tests.support.made_models import made_model

    save_onnx(made_model(), out / "model")


def inverter(out: Path, materials: Materials) -> None:
    from spectrodiff.inverter.files import load_inverter, save_inverter

    save_inverter(load_inverter(materials.inverter), out / "inverter.safetensors")


def onnx_inverter(out: Path, materials: Materials) -> None:
    from spectrodiff.inverter.files import load_inverter
    from spectrodiff.inverter.onnx_export import export_onnx

    export_onnx(load_inverter(materials.inverter), out / "inverter.onnx")


def synthesizer(out: Path, materials: Materials) -> None:
    import spectrodiff as sd

    sd.save(sd.load(MODEL, inverter=materials.inverter), out / "model")


def evaluation(out: Path, _: Materials) -> None:
    from tests.support.made_up import make_evaluation

    out.mkdir(parents=True)
    make_evaluation(out, {"pairs/own:test": ["a", "b"]}, seconds=1.5)


def report(out: Path, _: Materials) -> None:
    from spectrodiff.report import write_report

    write_report(out)


def evaluations(out: Path, materials: Materials) -> None:
    for name in ("one", "two"):
        if not (materials.home / name).exists():
            evaluation(materials.home / name, materials)


def listening_test(out: Path, materials: Materials) -> None:
    from spectrodiff.report import write_listening_sheet

    reports = [materials.home / name for name in ("one", "two")]
    write_listening_sheet(reports, out / "sheet", match_loudness=False)


def downloaded_archive(out: Path, materials: Materials) -> None:
    from spectrodiff.checkpoints.downloads.fetch import fetch
    from spectrodiff.checkpoints.downloads.sources import find_source
    from tests.support.files import files_below, make_zip

    server = materials.server
    if "/models/some.zip" not in server.files:
        server.files["/models/some.zip"] = make_zip(files_below(MODEL))
    fetch(find_source(f"{server.url}/models/some.zip"), cache=out)


def downloaded_files(out: Path, materials: Materials) -> None:
    from spectrodiff.checkpoints.downloads.fetch import fetch
    from spectrodiff.checkpoints.downloads.sources import find_source
    from tests.support.files import files_below

    server = materials.server
    for name, data in files_below(MODEL).items():
        server.files[f"/folder/{name}"] = data
    fetch(find_source(f"{server.url}/folder/"), cache=out)


def brought(out: Path, materials: Materials) -> None:
    from spectrodiff.checkpoints.downloads.brought import bring
    from spectrodiff.checkpoints.downloads.sources import find_source
    from tests.support.files import files_below, make_zip

    archive = materials.home / "brought.zip"
    if not archive.exists():
        archive.write_bytes(make_zip(files_below(MODEL)))
    source = find_source(f"{materials.server.url}/other/")
    if not source.place(out).exists():
        bring(source, archive, out)


def recipe_log(out: Path, _: Materials) -> None:
    from spectrodiff.core.files import check_writable
    from spectrodiff.recipe.log import RecipeLog

    logging.getLogger("spectrodiff").setLevel(logging.ERROR)
    check_writable(out / "recipe")
    (out / "recipe" / "recipe.jsonl").unlink(missing_ok=True)
    log = RecipeLog(out / "recipe" / "recipe.jsonl")
    for number in range(200):
        log.note(f"line {number}")


def soundfont(out: Path, _: Materials) -> None:
    """Renders by FluidSynth, whose output is in a temporary file."""
    from spectrodiff.core.files import check_writable
    from spectrodiff.core.json_files import write_json
    from spectrodiff.data.prepare.soundfont import SoundfontRenderer

    check_writable(out)
    audio = SoundfontRenderer().render(SONG)
    write_json(out / "sum.json", {"sum": int(np.abs(audio.astype(np.int64)).sum())})


FUNCTIONS = {
    "json": Writer(write_json),
    "gin": Writer(gin_file),
    "wav": Writer(audio(".wav")),
    "flac": Writer(audio(".flac")),
    "ogg": Writer(audio(".ogg"), free=("*.ogg",)),
    "picture": Writer(picture),
    "bare picture": Writer(bare_picture),
    "midi": Writer(midi),
    "array": Writer(array),
    "scores": Writer(scores),
    "piece index": Writer(piece_index),
    "lengths": Writer(lengths, corpus, optional=("*tokens-*.npy",)),
    "summary": Writer(summary),
    "model": Writer(model, replaces=False),
    "diffusers": Writer(diffusers, replaces=False),
    "onnx folder": Writer(onnx_folder, replaces=False),
    "inverter": Writer(inverter),
    "onnx inverter": Writer(onnx_inverter),
    "synthesizer": Writer(synthesizer, replaces=False),
    "report": Writer(report, evaluation),
    "listening test": Writer(
        listening_test, evaluations, replaces=False, free=("*.html", "*key.json")
    ),
    "archive": Writer(downloaded_archive, kept=("*.part", "*.version", "*.zip", "*.lock")),
    "files": Writer(downloaded_files, kept=("*.part", "*.version", "*.lock", "*.part/*")),
    "brought": Writer(brought, kept=("*.lock",)),
    "recipe log": Writer(recipe_log, free=("*.jsonl",), growing=("*.jsonl",)),
    "soundfont": Writer(soundfont),
}
