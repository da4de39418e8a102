import shutil
import threading

import numpy as np
import pytest

from spectrodiff.checkpoints.downloads import single_files, transfer
from spectrodiff.checkpoints.downloads.fetch import arrived_bytes, fetch, find_local
from spectrodiff.checkpoints.downloads.sources import find_source
from spectrodiff.checkpoints.layouts.diffusers_folder import save_diffusers
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.errors import CheckpointError, OutputError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.tokenization import Tokenization
from tests.support.files import files_below
from tests.support.made_models import made_model

ID = "google/music-spectrogram-diffusion"
NAME = f"paddle:{ID}"
NOTES = "notes_encoder/model_state.pdparams"
NO_SERVER = "http://127.0.0.1:9"


@pytest.fixture
def published(golden):
    return {"README.md": b"# A model", **files_below(golden / "checkpoints/paddle")}


@pytest.fixture
def server(file_server, published):
    """A server with a tiny model under the names of the published one."""
    file_server.files = {f"/{ID}/{name}": data for name, data in published.items()}
    file_server.files[f"/{ID}/training/optimizer.bin"] = b"large"
    return file_server


def fetched(server, cache, name=NAME):
    return fetch(find_source(name), cache=cache, endpoint=server.url)


def ranges(server, name=NOTES):
    return [range for path, range in server.transfers if path.endswith(name)]


def assert_golden(checkpoint, golden):
    with np.load(golden / "network_context_concat_encodings.npz") as arrays:
        np.testing.assert_array_equal(
            checkpoint.params["decoder"]["output"]["kernel"],
            arrays["params/decoder/spec_out_dense/kernel"],
        )


def test_a_model_by_its_name(server, published, golden, tmp_path, caplog):
    caplog.set_level("INFO")
    checkpoint = open_checkpoint(NAME, cache=tmp_path, paddle_endpoint=server.url)
    assert_golden(checkpoint, golden)
    assert checkpoint.layout == "Paddle"
    assert checkpoint.inverter.read_bytes() == published["melgan/model.onnx"]
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert files_below(folder) == published
    size = sum(map(len, published.values()))
    assert f"downloading {NAME}: {size / 1e6:.1f} MB from {server.url}/{ID}/" in caplog.text
    assert "license: unknown for the converted files" in caplog.text


def test_the_second_time_comes_from_the_cache(server, tmp_path):
    first = fetched(server, tmp_path)
    assert {file.checked for file in first.files} == {"size"}
    server.requests.clear()
    assert fetched(server, tmp_path).already
    assert not server.requests
    assert find_local(find_source(NAME), tmp_path) == first.folder
    assert open_checkpoint(NAME, cache=tmp_path, paddle_endpoint=NO_SERVER).layout == "Paddle"


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("layout", ["paddle", "diffusers"])
def test_a_folder_by_its_address(file_server, golden, tmp_path, layout, end):
    files = files_below(golden / "checkpoints" / layout)
    file_server.files = {f"/some/model/{name}": data for name, data in files.items()}
    checkpoint = open_checkpoint(f"{file_server.url}/some/model{end}", cache=tmp_path)
    assert_golden(checkpoint, golden)
    assert checkpoint.layout.lower() == layout


def test_a_folder_in_our_layout(file_server, golden, tmp_path):
    save_model(open_checkpoint(golden / "checkpoints/paddle"), tmp_path / "model")
    files = files_below(tmp_path / "model")
    file_server.files = {f"/model/{name}": data for name, data in files.items()}
    checkpoint = open_checkpoint(f"{file_server.url}/model/", cache=tmp_path / "cache")
    assert_golden(checkpoint, golden)
    assert checkpoint.layout == "spectrodiff"


def test_an_export_to_diffusers_keeps_its_settings(file_server, tmp_path):
    settings = {"tokenization": Tokenization(programs=(0, 24)), "sampling": Sampling("ddim", 2)}
    save_diffusers(made_model(**settings), tmp_path / "model")
    files = files_below(tmp_path / "model")
    file_server.files = {f"/model/{name}": data for name, data in files.items()}
    checkpoint = open_checkpoint(f"{file_server.url}/model/", cache=tmp_path / "cache")
    assert {name: getattr(checkpoint, name) for name in settings} == settings


@pytest.mark.parametrize("page", [b"<!DOCTYPE html>\n<html>", b" <HTML>", b"Nothing here", b"{}"])
@pytest.mark.parametrize("layout", ["paddle", "diffusers", "ours"])
def test_a_server_that_always_answers(file_server, golden, tmp_path, layout, page):
    if layout == "ours":  # without an inverter
        save_model(made_model(), tmp_path / "model")
        files = files_below(tmp_path / "model")
    else:
        files = files_below(golden / "checkpoints" / layout)
    file_server.files = {f"/model/{name}": data for name, data in files.items()}
    file_server.page = page
    source = find_source(f"{file_server.url}/model/")
    assert files_below(fetch(source, cache=tmp_path / "cache").folder) == files
    with pytest.raises(CheckpointError, match="none of the files of a model there"):
        fetch(find_source(f"{file_server.url}/none/"), cache=tmp_path / "cache")


@pytest.mark.parametrize("name", [NOTES, "melgan/model.onnx"])
def test_a_page_in_place_of_a_file(server, published, tmp_path, name):
    right, server.files[f"/{ID}/{name}"] = server.files[f"/{ID}/{name}"], b"<html>Log in</html>"
    with pytest.raises(CheckpointError, match="a file of the model, got a page") as error:
        fetched(server, tmp_path)
    assert error.value.subject == f"{server.url}/{ID}/{name}"
    assert find_local(find_source(NAME), tmp_path) is None
    server.files[f"/{ID}/{name}"] = right
    assert files_below(fetched(server, tmp_path).folder) == published


def test_the_address_of_the_published_folder_is_its_name(tmp_path):
    address = find_source(NAME).address
    assert address == f"https://paddlenlp.bj.bcebos.com/models/community/{ID}/"
    for text in (address, address.rstrip("/")):
        assert find_source(text).place(tmp_path) == find_source(NAME).place(tmp_path)
        assert find_source(text).published.name == NAME


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://host/a/model.zip", "zip"),
        ("https://host/a/model.zip?raw=true", "zip"),
        ("https://host/a?file=model", "zip"),
        ("https://host/model.tar", "zip"),
        ("https://host/a/model/", "folder"),
        ("https://host/a/model", "folder"),
        ("https://host.org/v1.0/", "folder"),
    ],
)
def test_addresses_of_folders_and_archives(url, kind):
    assert find_source(url).kind == kind


def break_off(server, cache):
    """A download that ends in the first file of weights."""
    server.cut_after = 5000
    with pytest.raises(CheckpointError, match=r"expected .* bytes, got 5,000; try again") as error:
        fetched(server, cache)
    assert error.value.subject.endswith(NOTES)
    server.cut_after = None
    assert find_local(find_source(NAME), cache) is None


def test_a_broken_download_goes_on(server, published, tmp_path):
    break_off(server, tmp_path)
    assert arrived_bytes(find_source(NAME), tmp_path) > 5000
    server.requests.clear()
    folder = fetched(server, tmp_path).folder
    assert files_below(folder) == published
    # The server sends a part only if its version is still the one asked for (If-Range).
    assert ranges(server) == ["bytes=5000-"]
    assert ranges(server, "notes_encoder/config.json") == []  # complete before
    assert ranges(server, "decoder/model_state.pdparams") == [None]
    assert arrived_bytes(find_source(NAME), tmp_path) == 0


def test_a_server_that_cannot_go_on_starts_again(server, published, tmp_path):
    break_off(server, tmp_path)
    server.ranges = False
    assert files_below(fetched(server, tmp_path).folder) == published


def test_files_that_changed_meanwhile_start_again(server, published, tmp_path):
    break_off(server, tmp_path)
    server.etag = '"second"'
    server.files[f"/{ID}/model_index.json"] = b'{"new": 1}'  # was complete
    files = files_below(fetched(server, tmp_path).folder)
    assert files == {**published, "model_index.json": b'{"new": 1}'}


def test_two_at_once_download_once(server, tmp_path):
    threads = [threading.Thread(target=fetched, args=(server, tmp_path)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ranges(server) == [None]
    assert find_local(find_source(NAME), tmp_path)


@pytest.mark.parametrize("name", [NOTES, "decoder/config.json", "melgan/model.onnx"])
def test_a_missing_file_is_named(server, tmp_path, name):
    del server.files[f"/{ID}/{name}"]
    with pytest.raises(CheckpointError, match="no such file on the server") as error:
        fetched(server, tmp_path)
    assert error.value.subject == f"{server.url}/{ID}/{name}"
    assert not server.transfers


def test_a_page_is_not_needed(server, published, tmp_path):
    del server.files[f"/{ID}/README.md"]
    assert files_below(fetched(server, tmp_path).folder).keys() == published.keys() - {"README.md"}


def test_a_misspelt_name(server, tmp_path):
    name = NAME.replace("gram", "gramm")
    with pytest.raises(CheckpointError, match=f"none of the files .*did you mean {NAME}"):
        open_checkpoint(name, cache=tmp_path, paddle_endpoint=server.url)


def test_a_server_without_any_of_it_says_what_to_bring(server, tmp_path):
    server.files = {}
    with pytest.raises(CheckpointError, match=r"none of the files .*bring into one folder"):
        fetched(server, tmp_path)
    with pytest.raises(CheckpointError, match=r"none of the files of a model there$"):
        open_checkpoint(f"{server.url}/some/model", cache=tmp_path)


def test_a_page_in_place_of_settings(server, tmp_path):
    for path in server.files:
        server.files[path] = b"<html>Log in</html>"
    with pytest.raises(CheckpointError, match="expected a JSON file") as error:
        fetched(server, tmp_path)
    assert error.value.subject == f"{server.url}/{ID}/model_index.json"
    assert len(server.transfers) == 1  # before the weights
    assert find_local(find_source(NAME), tmp_path) is None


def test_a_network_that_fails_meanwhile(server, published, tmp_path):
    server.files[f"/{ID}/{NOTES}"] = published[NOTES] * 20
    server.headers[f"/{ID}/{NOTES}"] = {"Transfer-Encoding": "chunked"}  # which it does not do
    message = r"no connection .*MB have arrived, try again to continue; without a network: bring"
    with pytest.raises(CheckpointError, match=message):
        fetched(server, tmp_path)


def test_a_file_that_ends_too_early(server, published, tmp_path):
    size = len(published[NOTES])
    server.headers[f"/{ID}/{NOTES}"] = {"Content-Length": str(size + 7)}
    with pytest.raises(CheckpointError, match=f"{size + 7:,} bytes, got {size:,}"):
        fetched(server, tmp_path)
    assert find_local(find_source(NAME), tmp_path) is None


def test_a_file_of_another_size_than_announced(server, published, tmp_path):
    source = find_source(NAME)
    listed = single_files.list_files(source, source.at(server.url))
    server.files[f"/{ID}/{NOTES}"] += b"more"
    with (
        pytest.raises(CheckpointError, match=r"as the server said before, got .* has changed"),
        transfer.Meter("downloading", None) as meter,
    ):
        single_files.fetch_files(listed, tmp_path / "model", meter)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("with_page", [True, False])
def test_a_server_without_requests_for_headers(server, published, tmp_path, with_page):
    server.heads = False
    if not with_page:
        del server.files[f"/{ID}/README.md"], published["README.md"]
    assert files_below(fetched(server, tmp_path).folder) == published


def test_a_file_too_large(server, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "MAX_BYTES", 20_000)
    with pytest.raises(CheckpointError, match="at most 20,000 bytes"):
        fetched(server, tmp_path)


def test_a_server_that_says_no_sizes(server, published, tmp_path, monkeypatch):
    server.headers = {path: {"Content-Length": ""} for path in server.files}
    monkeypatch.setattr(transfer, "MAX_BYTES", 20_000)
    with pytest.raises(CheckpointError, match="at most 20,000 bytes"):
        fetched(server, tmp_path)
    monkeypatch.undo()
    download = fetched(server, tmp_path)
    assert files_below(download.folder) == published
    assert {file.checked for file in download.files} == {None}


def test_a_full_disk_is_told_before(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=1000))
    with pytest.raises(OutputError, match=r"MB of free space, got 0\.0 MB"):
        fetched(server, tmp_path)
    assert not server.transfers


def test_what_has_arrived_needs_no_space(server, published, tmp_path, monkeypatch):
    break_off(server, tmp_path)
    left = sum(map(len, published.values())) - arrived_bytes(find_source(NAME), tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=left))
    assert files_below(fetched(server, tmp_path).folder) == published


def test_no_connection_says_what_to_bring_and_where(tmp_path):
    with pytest.raises(CheckpointError) as error:
        open_checkpoint(NAME, cache=tmp_path, paddle_endpoint=NO_SERVER)
    message = str(error.value)
    for part in (
        "decoder/model_state.pdparams (955 MB)",
        "melgan/model.onnx (60.5 MB)",
        find_source(NAME).address,
        f"spectrodiff fetch {NAME} --from PATH",
        str(find_source(NAME).place(tmp_path)),
    ):
        assert part in message
    assert "README" not in message
    assert "\n" not in message


def test_progress_counts_all_files_in_megabytes(caplog):
    caplog.set_level("INFO")
    with transfer.Meter("downloading a model", 4_200_000) as meter:
        for size in (1_500_000, 700_000, 2_000_000):
            meter.add(size)
    assert [record.getMessage() for record in caplog.records] == [
        "downloading a model: 1 of 4 MB",
        "downloading a model: 2 of 4 MB",
        "downloading a model: 4 of 4 MB",
    ]
