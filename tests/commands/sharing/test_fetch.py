import json
import shutil
from pathlib import Path

import pytest

from spectrodiff.checkpoints.downloads.fetch import find_local
from spectrodiff.checkpoints.downloads.sources import find_source
from spectrodiff.commands.program import run
from spectrodiff.commands.sharing.fetch import main
from spectrodiff.core.errors import CheckpointError, ConfigError
from tests.support.files import files_below
from tests.support.servers import FileServer, HubServer

ID = "google/music-spectrogram-diffusion"
PADDLE = f"paddle:{ID}"
NO_NETWORK = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "cache"


@pytest.fixture
def server(golden):
    server = FileServer()
    files = files_below(golden / "checkpoints/paddle")
    server.files = {f"/{ID}/{name}": data for name, data in files.items()}
    yield server
    server.close()


def test_a_download(server, capsys):
    main([PADDLE, "--endpoint", server.url])
    *files, there, use = capsys.readouterr().out.splitlines()
    assert "decoder/model_state.pdparams  0.4 MB, complete" in files
    assert there == f"{PADDLE} is in {find_source(PADDLE).place()}"
    assert use == f"use it: --model {PADDLE}"
    main([PADDLE, "--endpoint", NO_NETWORK])
    assert capsys.readouterr().out.startswith(f"{PADDLE} was already in")


def test_json(server, capsys, golden):
    main([PADDLE, "--endpoint", server.url, "--json"])
    printed = json.loads(capsys.readouterr().out)
    sizes = {name: len(data) for name, data in files_below(golden / "checkpoints/paddle").items()}
    assert {file["name"]: file["size"] for file in printed.pop("files")} == sizes
    assert printed == {
        "name": PADDLE,
        "folder": str(find_source(PADDLE).place()),
        "address": f"https://paddlenlp.bj.bcebos.com/models/community/{ID}/",
        "license": find_source(PADDLE).license,
        "already": False,
    }


def test_the_list(server, capsys):
    main(["--list"])
    printed = capsys.readouterr().out
    for name in ("small_with_context", "base_with_context", ID, PADDLE):
        assert f"{name}\n" in printed
    assert "base, with context, 412 million parameters, with inverter" in printed
    assert "small, with context, 104 million parameters, without inverter" in printed
    assert printed.count("here     no") == 4
    server.cut_after = 150_000
    with pytest.raises(CheckpointError):
        main([PADDLE, "--endpoint", server.url])
    main(["--list"])
    assert "MB; the same command continues" in capsys.readouterr().out
    server.cut_after = None
    main([PADDLE, "--endpoint", server.url])
    capsys.readouterr()
    main(["--list", "--json"])
    entries = map(json.loads, capsys.readouterr().out.splitlines())
    models = {entry["name"]: entry for entry in entries}
    assert models[PADDLE]["folder"] == str(find_source(PADDLE).place())
    assert models[PADDLE]["megabytes"] == pytest.approx(1708, abs=1)
    assert models[ID]["folder"] is None
    assert models["base_with_context"]["megabytes"] is None
    # Sizes that differ by less than their rounding from those of the parameters in float32.
    assert models[ID]["megabytes"] - 60.5 == pytest.approx(4e-6 * models[ID]["parameters"], abs=1)


def test_brought_by_hand(golden, tmp_path, capsys):
    # A name that is not in the catalogue is not compared with it.
    shutil.copytree(golden / "checkpoints/paddle", tmp_path / "usb")
    main(["paddle:me/mine", "--from", str(tmp_path / "usb"), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert files_below(find_source("paddle:me/mine").place()).keys() == {
        file["name"] for file in printed["files"]
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "NAME: expected the name of a model"),
        (["--list", "mini"], "--list: expected no name"),
        (["a/b", "c/d", "--from", "x"], "--from: expected one name"),
        (["mini"], "mini, which needs no download"),
        ([__file__], "which is on this machine"),
        ([""], "NAME: expected the name of a model .*, got an empty one"),
        (["me/mine", "--from", ""], "--from: expected a folder or a zip archive, got an empty"),
        (["a/b", "--from", "x", "--endpoint", "http://y"], "--endpoint: expected no --from"),
        (["base_with_context", "--from", "gs://bucket/x"], "a path on this machine"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        main(arguments)


def test_a_repository(golden, capsys):
    hub = HubServer()
    hub.license = "cc-by-4.0"
    hub.repositories["me/mine"] = files_below(golden / "checkpoints/diffusers")
    try:
        main(["me/mine", "--endpoint", hub.url, "--json"])
    finally:
        hub.close()
    printed = json.loads(capsys.readouterr().out)
    assert printed["license"] == "cc-by-4.0"
    assert find_local(find_source("me/mine")) == Path(printed["folder"])


def test_errors_are_one_line(capsys):
    assert run(main, ["base_with_contxt"]) == 1
    assert run(main, ["base_with_context", "--endpoint", NO_NETWORK]) == 1
    printed = capsys.readouterr()
    first, second = printed.err.splitlines()
    assert first.endswith("(did you mean base_with_context?)")
    assert "bring https://storage.googleapis.com" in second
    assert printed.out == ""
