import hashlib
import re

import numpy as np
import pytest

from spectrodiff.checkpoints.downloads.hub import fetch_from_hub
from spectrodiff.checkpoints.downloads.received import Fetched
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.layouts.table import needed_files
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import CheckpointError
from tests.support.files import files_below
from tests.support.servers import COMMIT

NO_HUB = "http://127.0.0.1:9"


@pytest.fixture
def hub(hub_server, golden):
    """A hub that has the golden diffusers model, beside files that nobody here needs."""
    files = files_below(golden / "checkpoints/diffusers")
    files["notes_encoder/diffusion_pytorch_model.bin"] = b"the same once more"
    files["README.md"] = b"# A model"
    files["training/optimizer.bin"] = b"large"
    hub_server.repositories["google/tiny"] = files
    return hub_server


def downloaded(hub) -> set[str]:
    return {
        path.split("/", 5)[5]
        for method, path, _ in hub.requests
        if method == "GET" and "/resolve/" in path
    }


@pytest.mark.parametrize("name", ["google/tiny", "google/tiny@v1", f"google/tiny@{COMMIT}"])
def test_a_model_of_the_hub(hub, golden, tmp_path, name):
    checkpoint = open_checkpoint(name, cache=tmp_path, hub_endpoint=hub.url)
    with np.load(golden / "network_context_concat_encodings.npz") as arrays:
        np.testing.assert_array_equal(
            checkpoint.params["decoder"]["output"]["kernel"],
            arrays["params/decoder/spec_out_dense/kernel"],
        )
    original = golden / "checkpoints/diffusers/melgan/model.onnx"
    assert checkpoint.inverter.read_bytes() == original.read_bytes()
    assert downloaded(hub) == files_below(golden / "checkpoints/diffusers").keys()


def test_a_model_of_the_hub_in_our_layout(hub, golden, tmp_path):
    save_model(open_checkpoint(golden / "checkpoints/paddle"), tmp_path / "model")
    hub.repositories["me/mine"] = files_below(tmp_path / "model")
    checkpoint = open_checkpoint("me/mine", cache=tmp_path, hub_endpoint=hub.url)
    assert checkpoint.layout == "spectrodiff"
    assert downloaded(hub) == {"model.json", "model.safetensors", "inverter.onnx"}


def test_the_second_time_comes_from_the_cache(hub, tmp_path):
    first = fetch_from_hub("google/tiny", cache=tmp_path, endpoint=hub.url)
    assert not first.already
    hub.requests.clear()
    for endpoint in (hub.url, NO_HUB):
        again = fetch_from_hub("google/tiny", cache=tmp_path, endpoint=endpoint)
        assert again == Fetched(first.folder, already=True)
    assert downloaded(hub) == set()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("google/none", "neither"),
        ("google/tiny@v2", "neither"),
        ("runs/a", "a local folder, or a repository"),
    ],
)
def test_not_on_the_hub(hub, tmp_path, name, message):
    with pytest.raises(CheckpointError, match=message) as error:
        open_checkpoint(name, cache=tmp_path, hub_endpoint=hub.url)
    assert error.value.subject == name


def test_a_repository_of_something_else(hub, tmp_path):
    hub.repositories["google/other"] = {"README.md": b"", "pytorch_model.bin": b""}
    with pytest.raises(CheckpointError, match="one without"):
        fetch_from_hub("google/other", cache=tmp_path, endpoint=hub.url)


def test_no_connection_says_how_to_do_without(tmp_path):
    with pytest.raises(CheckpointError, match="fetch google/tiny --from PATH") as error:
        open_checkpoint("google/tiny", cache=tmp_path, hub_endpoint=NO_HUB)
    assert "\n" not in str(error.value)


DECODER = "decoder/diffusion_pytorch_model.bin"


def test_published_checksums_are_compared(hub, tmp_path, caplog):
    caplog.set_level("INFO")
    right = hashlib.sha256(hub.repositories["google/tiny"][DECODER]).hexdigest()
    hub.license, hub.sha256 = "cc-by-4.0", {DECODER: right[::-1]}
    expected = f"google/tiny/{DECODER}: expected sha256 {right[::-1]}, got {right}; the damaged"
    with pytest.raises(CheckpointError, match=re.escape(expected)):
        fetch_from_hub("google/tiny", cache=tmp_path, endpoint=hub.url)
    assert "license: cc-by-4.0" in caplog.text
    hub.sha256 = {DECODER: right}
    hub.requests.clear()
    (received,) = fetch_from_hub("google/tiny", cache=tmp_path, endpoint=hub.url).files
    assert (received.name, received.checked) == (DECODER, "sha256")
    assert downloaded(hub) == {DECODER}


def test_a_misspelt_repository(hub, tmp_path):
    name = "google/music-spectogram-diffusion"
    message = r"neither .*did you mean google/music-spectrogram-diffusion\?"
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(name, cache=tmp_path, hub_endpoint=hub.url)


PORT_SETTINGS = ["model_index.json", "decoder/config.json", "scheduler/scheduler_config.json"]
OTHERS = [
    "README.md",
    "other/config.json",
    "decoder/diffusion_pytorch_model.fp16.bin",
    "checkpoint_last/checkpoint",
]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (["model.json", "model.safetensors", "inverter.onnx"], ["decoder/config.json"]),
        (
            ["config.gin", "checkpoint_500000/checkpoint", "checkpoint_500000/a.kernel/.zarray"],
            # Of several steps the newest is read.
            ["decoder/config.json", "checkpoint_60000/checkpoint", "checkpoint_60000/a/.zarray"],
        ),
        (
            [
                *PORT_SETTINGS,
                "melgan/model.onnx",
                "notes_encoder/diffusion_pytorch_model.safetensors",
                "continuous_encoder/diffusion_pytorch_model.bin",
                "decoder/diffusion_pytorch_model.bin",
            ],
            # The settings of another library, the same weights once more, and another port's.
            [
                "model.json",
                "notes_encoder/diffusion_pytorch_model.bin",
                "decoder/model_state.pdparams",
            ],
        ),
        (
            [
                *PORT_SETTINGS,
                "notes_encoder/model_state.pdparams",
                "continuous_encoder/model_state.pdparams",
                "decoder/model_state.pdparams",
            ],
            ["model.safetensors", "checkpoint_1/a/checkpoint"],
        ),
        ([], ["config.gin", "checkpoint_500000/other", "model.json"]),
        # Other diffusion models have a folder of this name, too.
        ([], [*PORT_SETTINGS, "decoder/diffusion_pytorch_model.safetensors"]),
    ],
)
def test_files_of_the_layout_are_fetched_and_each_weight_once(wanted, left):
    fetched = needed_files([*OTHERS, *reversed(wanted), *left])
    assert sorted(fetched) == sorted(wanted)


def test_an_incomplete_download_without_a_connection(hub, tmp_path):
    folder = fetch_from_hub("google/tiny", cache=tmp_path, endpoint=hub.url).folder
    for weights in (folder / "decoder").glob("diffusion_pytorch_model.*"):
        weights.unlink()
    with pytest.raises(CheckpointError, match="expected a complete download, got an incomplete"):
        open_checkpoint("google/tiny", cache=tmp_path, hub_endpoint=NO_HUB)
