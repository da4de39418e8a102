import dataclasses

import numpy as np

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.checksums import json_checksum
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.evaluation.checksums import checkpoint_checksum, path_checksum, settings_dict
from spectrodiff.models.config import SIZES, ModelConfig
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
        dataclasses.replace(model, schedule="linear"),
        dataclasses.replace(
            model, config=dataclasses.replace(model.config, context_positions="from_start")
        ),
        dataclasses.replace(model, tokenization=Tokenization(velocity_bins=127)),
    ]
    assert len({checkpoint_checksum(other) for other in [model, model, *others]}) == 7


def test_settings_that_older_versions_lack_count_if_they_are_used():
    assert "mask_context" not in settings_dict(Sampling())
    assert settings_dict(Sampling(mask_context=True))["mask_context"] is True
    assert settings_dict(Sampling()).keys() == {"sampler", "steps", "guidance", "variance"}
    later = {
        "spacing": "logsnr",
        "times": (0.5,),
        "start": 0.5,
        "guidance_times": (0.0, 0.5),
        "context_guidance": 1.0,
        "overlap": 2,
    }
    paper = settings_dict(Sampling(steps=1))
    assert settings_dict(Sampling(steps=1, **later)) == paper | later
    assert settings_dict(Tokenization(ties=False, onsets_only=True))["onsets_only"] is True
    names = {field.name for field in dataclasses.fields(ModelConfig)}
    assert names - settings_dict(SIZES["tiny"]).keys() == {
        "estimates",
        "positions",
        "context_positions",
    }
