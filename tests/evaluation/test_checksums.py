import dataclasses

import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.evaluation import checksums
from spectrodiff.models.config import SIZES
from spectrodiff.music.tokenization import Tokenization


def test_files_and_folders(tmp_path):
    (tmp_path / "a").write_bytes(b"123456789")
    # The check value of CRC-32.
    assert checksums.of_path(tmp_path / "a") == "cbf43926"
    before = checksums.of_path(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    renamed = checksums.of_path(tmp_path)
    (tmp_path / "b").write_bytes(b"123456780")
    assert len({before, renamed, checksums.of_path(tmp_path)}) == 3
    assert checksums.of_path("https://example.org/a") != checksums.of_path("https://example.org/b")


def test_the_order_of_keys_means_nothing():
    assert checksums.of_json({"a": 1, "b": 2}) == checksums.of_json({"b": 2, "a": 1})


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
    assert len({checksums.of_checkpoint(other) for other in [model, model, *others]}) == 5
