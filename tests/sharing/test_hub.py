"""Uploads to a loopback Hub, and what goes wrong with them."""

import numpy as np
import pytest
from huggingface_hub import constants

import spectrodiff as sd
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.errors import ConfigError, OutputError
from spectrodiff.sharing.folder import Sharing, write_folder
from spectrodiff.sharing.hub import check_revision, upload
from tests.support.files import files_below
from tests.support.made_models import PORT_SIZES, made_model
from tests.support.servers import COMMIT

MODEL = made_model(PORT_SIZES, prediction="v")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "model"
    write_folder(MODEL, Sharing("A model", "me/model"), folder)
    return folder


def test_what_is_uploaded_is_loaded_to_the_bit(hub, folder):
    assert upload(folder, "me/model", message="First") == f"{hub.url}/me/model/commit/" + COMMIT
    assert hub.commits == [("me/model", "main", "First")]
    assert hub.repositories["me/model"] == files_below(folder)
    assert not hub.private["me/model"]
    again = open_checkpoint("me/model")
    assert again.description == MODEL.description
    for name, values in flatten(MODEL.params).items():
        np.testing.assert_array_equal(flatten(again.params)[name], values)
    assert sd.load("me/model", inverter="griffin-lim").name == "model"


def test_a_second_upload_replaces_samples_and_settings(hub, folder):
    hub.repositories["me/model"] = {
        ".gitattributes": b"kept",
        "inverter.onnx": b"of before",
        "samples/old.flac": b"old",
        "training/given.gin": b"old",
    }
    upload(folder, "me/model")
    assert len(hub.commits) == 1
    assert hub.repositories["me/model"] == {".gitattributes": b"kept", **files_below(folder)}


def test_a_private_repository_and_a_branch(hub, folder):
    upload(folder, "me/hidden", private=True, revision="v1")
    assert hub.private["me/hidden"]
    assert hub.branches["me/hidden"] == {"v1"}
    assert hub.commits[0][:2] == ("me/hidden", "v1")


def test_a_public_repository_is_not_taken_for_a_private_one(hub, folder):
    hub.repositories["me/open"] = {}
    with pytest.raises(OutputError, match="expected a private repository, got a public one"):
        upload(folder, "me/open", private=True)
    assert not hub.commits


@pytest.mark.parametrize(
    ("repository", "token", "message"),
    [
        ("me/model", "hf_another", "a valid token .*, got one that is refused"),
        ("you/model", "hf_of_a_test", "a token that may write here, got no permission"),
        ("you/theirs", "hf_of_a_test", "a token that may write here, got no permission"),
        ("me/model", None, "a token that may write, got none .*hf auth login"),
    ],
)
def test_without_permission_nothing_is_uploaded(
    hub, folder, monkeypatch, tmp_path, repository, token, message
):
    hub.repositories["you/theirs"] = {}
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(OutputError, match=message) as error:
        upload(folder, repository)
    assert "\n" not in str(error.value)
    assert not hub.commits
    assert not hub.repositories["you/theirs"]


@pytest.mark.parametrize("step", ["/large/", "/commit/", "/preupload/"])
def test_an_upload_that_breaks_off_leaves_the_repository_as_it_was(hub, folder, monkeypatch, step):
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client tries again, later
    hub.repositories["me/model"] = {"model.json": b"of before"}
    hub.fails = step
    with pytest.raises(OutputError) as error:
        upload(folder, "me/model")
    assert "\n" not in str(error.value)
    assert hub.repositories["me/model"] == {"model.json": b"of before"}
    hub.fails = None
    upload(folder, "me/model")
    assert open_checkpoint("me/model").description == MODEL.description


def test_no_network(hub, folder, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(OutputError, match="expected a connection to the Hub") as error:
        upload(folder, "me/model", endpoint="http://127.0.0.1:9")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("model", "me/model/more", "me/", "/model", "../model", "me/mo del", "me/x--y", "me/a..b"),
        *("me/-x", "me/x.git", "me/é", "me/" + "x" * 97),
    ],
)
def test_impossible_names(hub, folder, name):
    with pytest.raises(ConfigError, match="owner/name"):
        upload(folder, name)
    assert not hub.requests


@pytest.mark.parametrize(
    "name",
    ["", "a b", "../x", "a..b", "a//b", "a/", "a.", "a.lock", "a/.b", "-a", "é", "a\n# b", "a@{"],
)
def test_impossible_branches(hub, folder, name):
    with pytest.raises(ConfigError, match="revision: expected a branch"):
        upload(folder, "me/model", revision=name)
    assert not hub.requests


@pytest.mark.parametrize("name", ["main", "v1.2", "refs/pr/1", "a-b_c", "0123abc"])
def test_possible_branches(name):
    assert check_revision(name) == name
