"""Run folders that would take more memory than their weights, or end the process."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import tensorstore
from orbax.checkpoint import v1 as ocp

from spectrodiff.checkpoints.model import Description, as_json
from spectrodiff.checkpoints.run_folder import import_run
from spectrodiff.checkpoints.tree import expected_shapes, flatten, nest
from spectrodiff.core.errors import CheckpointError
from spectrodiff.diffusion.sampling import PAPER_SAMPLING
from spectrodiff.models.config import ModelConfig
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION
from tests.support.limits import Limited

NETWORK = ModelConfig(
    width=32,
    heads=2,
    head_width=8,
    mlp_width=32,
    encoder_layers=1,
    decoder_layers=1,
    note_tokens=32,
    target_frames=16,
    context_frames=16,
)
ARRAY = "decoder.output.kernel"


@pytest.fixture(scope="module")
def limited():
    with Limited("spectrodiff.checkpoints.run_folder", "orbax.checkpoint") as child:
        yield child


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run with one checkpoint, and its parameters."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    random = np.random.default_rng(0)
    shapes = expected_shapes(NETWORK)
    arrays = {name: random.normal(size=shape).astype("f") for name, shape in shapes.items()}
    ocp.save_checkpointables(run / "checkpoints/1", {"params": nest(arrays)})
    settings = Description(NETWORK, "eps", "cosine", RELEASED_TOKENIZATION, PAPER_SAMPLING)
    (run / "run.json").write_text(json.dumps(as_json(settings)))
    return run, arrays


@pytest.fixture
def run(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "run")


def values_of(run):
    return {name: array.tobytes() for name, array in flatten(import_run(run).params).items()}


def test_a_run_is_read_within_the_limits(limited, whole):
    assert limited.run(values_of, whole[0]) == {
        name: array.tobytes() for name, array in whole[1].items()
    }


def store_of(run):
    folder = run / "checkpoints/1/params"
    store = {"driver": "ocdbt", "base": folder.as_uri() + "/"}
    return tensorstore.KvStore.open(store).result()


def describe(run, shape, chunk):
    store = store_of(run)
    described = json.loads(store[f"{ARRAY}/zarr.json"])
    described["shape"] = shape
    described["chunk_grid"]["configuration"]["chunk_shape"] = chunk
    described["codecs"][0]["configuration"]["chunk_shape"] = chunk
    store[f"{ARRAY}/zarr.json"] = json.dumps(described)


def large_chunks(run):
    describe(run, [32, 128], [1 << 18, 1 << 18])


def a_large_array(run):
    describe(run, [1 << 18, 1 << 18], [1 << 18, 1 << 18])


def a_large_array_without_values(run):
    describe(run, [1 << 14, 1 << 14], [32, 128])


def a_million_long_names(run):
    store = store_of(run)
    transaction = tensorstore.Transaction()
    for number in range(10_000):
        store.with_transaction(transaction)["k" * 60_000 + f"{number:08}"] = b""
    transaction.commit_sync()


def a_large_description(run):
    path = run / "checkpoints/1/params/_METADATA"
    path.write_text("[" + "{}," * 8_000_000 + "{}]")


def without_end(place):
    def damage(run):
        path = run / place
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.truncate(path, 100 << 30)

    damage.__name__ = f"{place} without end"
    return damage


DAMAGES = {
    large_chunks: r"params: decoder.output.kernel has chunks of shape \(262144, 262144\)",
    a_large_array: "a checkpoint of this network, got 27.* bytes in params, more than",
    a_large_array_without_values: "a checkpoint of this network, got 1,.* bytes in params",
    a_million_long_names: "params: reading it took too much memory",
    a_large_description: "params: _METADATA is too large",
    without_end("checkpoints/1/_CHECKPOINT_METADATA"): "_CHECKPOINT_METADATA is too large",
    without_end("checkpoints/1/params/_METADATA"): "_METADATA is too large",
    without_end("checkpoints/1/params/_sharding"): "_sharding is too large",
    without_end("checkpoints/1/params/array_metadatas/process_0"): "process_0 is too large",
    without_end("checkpoints/1/params/manifest.ocdbt"): "manifest.ocdbt is too large",
    without_end("run.json"): r"run\.json: expected",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_memory_and_time_follow_from_the_network(limited, run, damage):
    damage(run)
    with pytest.raises(CheckpointError, match=DAMAGES[damage]) as error:
        limited.run(values_of, run)
    assert len(str(error.value)) < 1000


def test_a_model_larger_than_memory(limited, run):
    settings = json.loads((run / "run.json").read_text())
    settings["model"].update(width=1 << 15, mlp_width=1 << 18, decoder_layers=1 << 10)
    (run / "run.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=r"a model that fits in memory, got 44,.* parameters"):
        limited.run(import_run, run)


def test_only_the_newest_of_many_damaged_checkpoints_are_tried(limited, run):
    for step in range(2, 3000):
        (run / f"checkpoints/{step}").mkdir()
    with pytest.raises(
        CheckpointError, match=r"2999: expected an undamaged checkpoint.* 15 before"
    ):
        limited.run(import_run, run)
    with pytest.raises(CheckpointError, match=r"a checkpoint of step 7000, got steps 1 to 2999"):
        limited.run(import_run, run, step=7000)


def test_modules_beside_the_user_are_not_run(run, whole, tmp_path, monkeypatch):
    """A folder of downloads is no place to take programs from."""
    for name in ("numpy", "tensorstore", "json"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    assert values_of(run) == {name: array.tobytes() for name, array in whole[1].items()}
    assert not (tmp_path / "ran").exists()
