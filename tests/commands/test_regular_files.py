"""Pipes, devices, folders and endless files in place of files: nothing waits or reads for ever."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from orbax.checkpoint import v1 as ocp

from spectrodiff.audio.files import read_audio
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.commands.shared import gin_files
from spectrodiff.core.errors import SpectrodiffError
from spectrodiff.core.json_files import read_json
from spectrodiff.data.corpora import guitarset, maestro, musicnet, slakh, slakh_splits, urmp
from spectrodiff.data.piece_index import PieceIndex
from spectrodiff.data.prepare.soundfont import find_soundfont
from spectrodiff.data.prepare.summary import Summary
from spectrodiff.data.recordings import Unusable
from spectrodiff.data.source import load_source
from spectrodiff.evaluation.dataclass_json import write_dataclass
from spectrodiff.evaluation.folders.sources import read_statistics, read_vectors
from spectrodiff.evaluation.results import read_results
from spectrodiff.inverter.files import load_inverter
from spectrodiff.inverter.onnx import open_session
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.report.listening import KEY_FORMAT, Key
from spectrodiff.report.tally import tally
from spectrodiff.training.metrics import MetricsWriter
from spectrodiff.training.run_folder import open_run
from tests.support import tiny
from tests.support.checkpoint_writers import golden_params, write_t5x
from tests.support.corpora import write_slakh_track
from tests.support.limits import Limited
from tests.support.made_models import made_model
from tests.support.runs import settings

ENDLESS_BYTES = 10 << 30


def make_endless(path: Path) -> None:
    path.touch()
    os.truncate(path, ENDLESS_BYTES)


KINDS: dict[str, Callable[[Path], None]] = {
    "pipe": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "endless": make_endless,
}


class Reader(NamedTuple):
    """Reader of a file in a folder.

    Attributes:
        file: the file; it replaces one that is there.
        read: the reader, which gets the folder.
        whole: name of the folder that has the other files; see `wholes`.
        bounded: False if it reads as many bytes as there are.
    """

    file: str
    read: Callable[[Path], object]
    whole: str = ""
    bounded: bool = True


def of_file(name: str, read: Callable[[Path], object], *, bounded: bool = True) -> Reader:
    return Reader(name, lambda folder: read(folder / name), bounded=bounded)


def read_tally(folder: Path) -> None:
    write_dataclass(folder / "key.json", Key("a", {}), KEY_FORMAT)
    tally(folder / "key.json", [folder / "answers.csv"])


def plan_slakh(folder: Path) -> None:
    raise Unusable(slakh.plan(folder).skipped[0].reason)


def read_split_list(folder: Path) -> None:
    slakh_splits.track_folders(folder, "redux", folder / "splits.json")


READERS = {
    "MIDI": of_file("song.mid", read_midi),
    "WAV": of_file("a.wav", lambda path: read_audio(path, 16_000)),
    "MP3": of_file("a.mp3", lambda path: read_audio(path, 16_000)),
    "FLAC": of_file("a.flac", lambda path: read_audio(path, 16_000)),
    "JSON": of_file("a.json", read_json),
    "scores": Reader("scores.json", read_results),
    "answers": Reader("answers.csv", read_tally),
    "gin": of_file("a.gin", lambda path: gin_files.parse([], [str(path)], [])),
    "MAESTRO's table": Reader("maestro-v3.0.0.csv", maestro.plan),
    "MAESTRO's JSON": Reader("maestro-v3.0.0.json", maestro.plan),
    "GuitarSet's notes": of_file("a.jams", guitarset.read_annotation),
    "MusicNet's notes": of_file("a.csv", musicnet.read_labels),
    "URMP's notes": of_file("a.txt", lambda path: urmp.read_notes(((path, 0),))),
    "Slakh's tracks": Reader("train/Track00001/metadata.yaml", plan_slakh, "slakh"),
    "Slakh's list": Reader("splits.json", read_split_list, "slakh"),
    "embedding": of_file("a.npy", read_vectors),
    "statistics": of_file("a.npz", read_statistics),
    "index": of_file("a.npz", PieceIndex.load),
    "summary": of_file("a.json", Summary.load),
    "corpus": Reader(
        "maestro/v3/1.0.0/dataset_info.json",
        lambda folder: load_source(folder, "maestro/v3", "train"),
        bounded=False,
    ),
    "soundfont": of_file("a.sf2", find_soundfont, bounded=False),
    "metrics": Reader("metrics.jsonl", lambda folder: MetricsWriter(folder, 1, loggers=())),
    "model": Reader("model.json", open_checkpoint, "model"),
    "weights": Reader("model.safetensors", open_checkpoint, "model"),
    "T5X": Reader("checkpoint_500000/checkpoint", open_checkpoint, "t5x", bounded=False),
    "T5X's settings": Reader("config.gin", open_checkpoint, "t5x"),
    "T5X's arrays": Reader(
        "checkpoint_500000/target.decoder.spec_out_dense.kernel/0.0",
        open_checkpoint,
        "t5x",
        bounded=False,
    ),
    "run": Reader("run.json", open_checkpoint, "run"),
    "manifest": Reader("checkpoints/2/ema/manifest.ocdbt", open_checkpoint, "run", bounded=False),
    "array metadata": Reader("checkpoints/2/ema/_METADATA", open_checkpoint, "run", bounded=False),
    "inverter": of_file("a.safetensors", load_inverter, bounded=False),
    "ONNX": of_file("a.onnx", open_session, bounded=False),
}


@pytest.fixture(scope="module")
def wholes(golden, tmp_path_factory) -> dict[str, Path]:
    """Folders of which a file is replaced."""
    place = tmp_path_factory.mktemp("wholes")
    write_slakh_track(place / "slakh/train/Track00001", {"S00": {"program": 1}})
    save_model(made_model(), place / "model")
    write_t5x(place / "t5x", golden_params(golden, "context_concat_encodings"))
    # As training does, but without a step, which would have to be compiled.
    checkpoints = open_run(place / "run", settings(), write=True)
    params = made_model(tiny.NETWORK.config()).params
    ocp.save_checkpointables(checkpoints.absolute() / "2", {"ema": params})
    return {folder.name: folder for folder in place.iterdir()}


@pytest.fixture(scope="module")
def limited():
    with Limited(__name__) as child:
        yield child


def read(name: str, folder: Path) -> None:
    """Reads as one of the readers, in the child process."""
    READERS[name].read(folder)


def link(whole: Path, folder: Path, without: str) -> None:
    """Makes a folder of links to the files of another, without one of them."""
    for source in (path for path in whole.rglob("*") if path.is_file()):
        name = source.relative_to(whole)
        if name.as_posix() != without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.link(source, folder / name)


CASES = [
    (name, kind)
    for name, reader in READERS.items()
    for kind in KINDS
    if reader.bounded or kind != "endless"
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_only_regular_files_are_read(name, kind, wholes, limited, tmp_path):
    reader, folder = READERS[name], tmp_path / "files"
    folder.mkdir()
    if reader.whole:
        link(wholes[reader.whole], folder, reader.file)
    (folder / reader.file).parent.mkdir(parents=True, exist_ok=True)
    KINDS[kind](folder / reader.file)
    with pytest.raises((SpectrodiffError, Unusable)):
        limited.run(read, name, folder)


@pytest.mark.parametrize("name", ["model", "t5x", "run"])
def test_without_it_they_can_be_read(name, wholes):
    assert open_checkpoint(wholes[name]).params
