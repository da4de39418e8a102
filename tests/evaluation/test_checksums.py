import dataclasses

import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.checksums import json_checksum
from spectrodiff.evaluation.checksums import checkpoint_checksum, path_checksum
from spectrodiff.models.config import SIZES
from spectrodiff.music.tokenization import Tokenization


def test_files_and_folders(tmp_path):
    (tmp_path / "a").write_bytes(b"123456789")
    # The check value of CRC-32.
    assert path_checksum(tmp_path / "a") == "cbf43926"
    before = path_checksum(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = path_checksum(tmp_path)
    (tmp_path / "b").write_bytes(b"123456780")
    assert len({before, renamed, path_checksum(tmp_path)}) == 3
    assert path_checksum("https://example.org/a") != path_checksum("https://example.org/b")


def test_the_order_of_keys_means_nothing():
    assert json_checksum({"a": 1, "b": 2}) == json_checksum({"b": 2, "a": 1})


def test_models():
    params = {"a": {"b": np.zeros(3, np.float32), "c": np.ones(3, np.float32)}}
    model = Checkpoint(SIZES["tiny"], params)
    swapped = {"a": {"b": params["a"]["c"], "c": params["a"]["b"]}}
    others = [
        dataclasses.replace(model, params=swapped),
        dataclasses.replace(model, prediction="v"),
        dataclasses.replace(model, config=SIZES["small"]),
        dataclasses.replace(model, tokenization=Tokenization(velocity_bins=127)),
    ]
    assert len({checkpoint_checksum(other) for other in [model, model, *others]}) == 5
