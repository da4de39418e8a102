"""Stand-ins for what the paper's table needs: corpora and weights in their published formats."""

from pathlib import Path

import numpy as np

from tests.support.checkpoint_writers import published_mt3, write_t5x
from tests.support.corpora import (
    write_guitarset,
    write_maestro,
    write_musicnet,
    write_notes,
    write_slakh_track,
    write_urmp,
)
from tests.support.vggish import random_weights, tf1_arrays

LOAD_TRILL = "spectrodiff.evaluation.scoring.open_metrics.load_trill"
BAND = {"S00": {}, "S01": {"program": 24}, "S02": {"program": 32}, "S03": {"is_drum": True}}


class Trill:
    """Stands for the SavedModel: the mean and the loudest sample of every sixth of a second."""

    name, sample_rate = "TRILL", 16_000

    def __call__(self, audio):
        frames = audio[: len(audio) // 2_667 * 2_667].reshape(-1, 2_667)
        return np.stack([frames.mean(axis=1), frames.max(axis=1)], axis=1)


def write_weights(folder: Path, golden: Path) -> Path:
    """Writes random weights of VGGish, TRILL (see `Trill`) and MT3 as they are published."""
    folder.mkdir()
    np.savez(folder / "vggish.npz", **tf1_arrays(random_weights()))
    (folder / "trill").mkdir()
    (folder / "trill/saved_model.pb").write_bytes(b"")
    write_t5x(folder / "mt3", published_mt3(golden))
    return folder


def maestro(folder: Path) -> None:
    """Writes MAESTRO without a test split."""
    write_maestro(folder, [("train", "2018/a"), ("train", "2018/b"), ("validation", "2018/c")])


def maestro_test(folder: Path) -> None:
    """Writes MAESTRO with two recordings for tests."""
    write_maestro(folder, [("train", "2018/a"), ("test", "2018/d"), ("test", "2018/e")])


def slakh(folder: Path) -> None:
    """Writes Slakh2100, redux, with a track per split."""
    for name in ("train/Track00001", "validation/Track01501", "test/Track01876"):
        write_slakh_track(folder / name, BAND)


def guitarset(folder: Path) -> None:
    """Writes GuitarSet with one recording per split."""
    for id in ("00_BN1-129-Eb_comp", "00_BN3-119-G_solo"):
        write_guitarset(folder, id, [[(0.1, 0.2, 60.0)]])


def musicnet(folder: Path) -> None:
    """Writes MusicNet with one recording per split of MT3."""
    for half, id in (("train", "1727"), ("train", "1733"), ("test", "1729")):
        write_musicnet(folder, half, id, ["4410,8820,1,60,0,1,Quarter"])
        write_notes(folder / "musicnet_em" / f"{id}.mid", (0.1, 0.2, 60))


def urmp(folder: Path) -> None:
    """Writes URMP with one recording per split."""
    for name in ("01_Jupiter_vn_vc", "03_Dance_fl_cl"):
        write_urmp(folder / name, name.split("_")[2:], ["0.1 440 0.5\n"] * 2)
