"""T5X checkpoints that would take more memory or time than their weights, were they trusted."""

import gzip
import json
import os
import zlib

import msgpack
import numpy as np
import pytest
import tensorstore

from spectrodiff.checkpoints.folders import read_folder
from spectrodiff.checkpoints.layouts.t5x import read_t5x_arrays
from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.errors import CheckpointError
from tests.support.checkpoint_writers import copy_writable, write_msgpack, write_zarr, zarr_spec
from tests.support.limits import Limited

ARRAY = "checkpoint_500000/target.decoder.spec_out_dense.kernel"
SHAPE = [32, 128]


@pytest.fixture(scope="module")
def limited():
    with Limited("spectrodiff.checkpoints.folders", "tensorstore", "msgpack", "gin") as child:
        yield child


@pytest.fixture
def run(golden, tmp_path):
    """The golden T5X run, to be damaged."""
    return copy_writable(golden / "checkpoints/t5x", tmp_path / "run")


def describe(run, **changes):
    path = run / ARRAY / ".zarray"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def gap(path, size):
    """Makes a file of zeros that takes no place."""
    path.write_bytes(b"")
    os.truncate(path, size)


def gzip_bomb(megabytes):
    """A gzip stream of zeros, a thousandth as long."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    middle = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return start + middle * (megabytes - 1)


def large_chunks(run):
    describe(run, chunks=[1 << 20, 1 << 20])


def chunks_without_end(run):
    describe(run, chunks=[32, 1 << 40])


def a_chunk_of_gigabytes(run):
    for name in ("0.0", "1.0"):
        (run / ARRAY / name).write_bytes(gzip_bomb(5000))


def a_raw_chunk_of_gigabytes(run):
    describe(run, compressor=None)
    gap(run / ARRAY / "0.0", 5 << 30)


def a_large_description(run):
    with (run / ARRAY / ".zarray").open("a") as file:
        file.write(" " * (1 << 20))


def a_description_without_end(run):
    gap(run / ARRAY / ".zarray", 20 << 30)


def another_array_of_gigabytes(run):
    describe(run, shape=[1 << 16, 1 << 16], chunks=[1 << 12, 1 << 12])


def a_state_without_end(run):
    gap(run / "checkpoint_500000/checkpoint", 100 << 30)


def a_chunk_that_is_a_pipe(run):
    path = run / ARRAY / "0.0"
    path.unlink()
    os.mkfifo(path)


DAMAGES = {
    large_chunks: r"chunks of shape \(1048576, 1048576\) in an array of shape \(32, 128\)",
    chunks_without_end: "an invalid array shape",
    a_chunk_of_gigabytes: "a chunk that unpacks to more than its size",
    a_raw_chunk_of_gigabytes: "a chunk of another size than 8192 bytes",
    a_large_description: "more than",
    a_description_without_end: "more than",
    another_array_of_gigabytes: r"shape \(32, 128\), got shape \(65536, 65536\)",
    a_state_without_end: "training state",
    a_chunk_that_is_a_pipe: "pipe",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_memory_and_time_follow_from_the_network(limited, run, damage):
    damage(run)
    with pytest.raises(CheckpointError, match=DAMAGES[damage]):
        limited.run(read_folder, run)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunks": [1, 1], "shape": [1024, 1024]}, "more than 4096 chunks"),
        ({"chunks": [32]}, "chunks of shape"),
        ({"chunks": [0, 128]}, "chunks of shape"),
        ({"shape": [1.5, 2]}, "an invalid array shape"),
        ({"dtype": "|O"}, "dtype = "),
        ({"dtype": [["a", "<f4"]]}, "dtype = "),
        ({"compressor": {"id": "blosc", "clevel": 5}}, "compressor = 'blosc'"),
        ({"compressor": [1]}, "compressor = "),
        ({"filters": [{"id": "delta"}]}, "filters = "),
        ({"order": "F"}, "order = 'F'"),
        ({"zarr_format": 3}, "zarr_format = 3"),
        ({"dimension_separator": "../"}, "dimension_separator = "),
    ],
)
def test_unusual_arrays_are_refused(run, changes, message):
    describe(run, **changes)
    with pytest.raises(CheckpointError, match=message) as error:
        read_folder(run)
    assert error.value.subject.endswith(ARRAY)


def test_chunks_end_where_they_say(run):
    path = run / ARRAY / "0.0"
    whole = path.read_bytes()
    for damaged in (whole + b"\0", whole + whole, gzip.compress(gzip.decompress(whole)[:-4])):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="another size than 8192 bytes"):
            read_folder(run)


@pytest.mark.parametrize("separator", [".", "/"])
@pytest.mark.parametrize("packer", ["gzip", "zlib", None])
def test_arrays_of_other_writers(tmp_path, packer, separator):
    values = np.arange(5 * 7, dtype=np.float32).reshape(5, 7)
    metadata = {
        "shape": [5, 7],
        "chunks": [2, 3],
        "dtype": "<f4",
        "compressor": packer and {"id": packer},
        "dimension_separator": separator,
    }
    store = {"driver": "file", "path": str(tmp_path / "a")}
    spec = {"driver": "zarr", "kvstore": store, "metadata": metadata}
    tensorstore.open(spec, create=True).result().write(values).result()
    write_msgpack(tmp_path / "checkpoint", {"a": zarr_spec("a", (5, 7))})
    np.testing.assert_array_equal(read_t5x_arrays(tmp_path)["a"].read(), values)


def test_an_array_without_axes(tmp_path):
    store = {"driver": "file", "path": str(tmp_path / "a")}
    metadata = {"shape": [], "chunks": [], "dtype": "<f4", "compressor": {"id": "gzip"}}
    spec = {"driver": "zarr", "kvstore": store, "metadata": metadata}
    tensorstore.open(spec, create=True).result().write(np.float32(7)).result()
    write_msgpack(tmp_path / "checkpoint", {"a": zarr_spec("a", ())})
    assert read_t5x_arrays(tmp_path)["a"].read() == 7


def state(target):
    """A training state up to its parameters, which follow."""
    return msgpack.packb({"optimizer": {"target": 0}})[:-1] + target


def test_the_layers_of_a_file_are_bounded(limited, run):
    path = run / "config.gin"
    text = path.read_text()
    for line in ("num_encoder_layers = 2", "num_decoder_layers = 3"):
        assert line in text
        name = line.split()[0]
        path.write_text(text.replace(line, f"{name} = 1000000000"))
        with pytest.raises(CheckpointError, match=r"config\.gin: expected .*layers a whole number"):
            limited.run(read_folder, run)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xdd" + (24_000_000).to_bytes(4) + b"\x80" * 24_000_000, "too many values"),
        (b"\xdf\xff\xff\xff\xff", "incomplete"),
        (b"\xdb\xff\xff\xff\xff", "a text of 4294967295 bytes"),
        (b"\xc6\xff\xff\xff\xff", "incomplete"),
        (b"\x91" * 1000 + b"\x90", "nested too deeply"),
        (b"\x81\xa1a" * 40 + b"\xdd\x7f\xff\xff\xff", "incomplete"),
        (b"\x81\x90\x01", "a list as a name"),
        (b"\xc1", "an unknown type"),
        (b"\xc7\x04\x01\x93\x90\xa1a", "a value of the wrong size|incomplete"),
    ],
    ids=lambda value: value[:20].hex() if isinstance(value, bytes) else value,
)
def test_states_of_many_values(limited, tmp_path, content, message):
    (tmp_path / "checkpoint").write_bytes(state(content))
    with pytest.raises(
        CheckpointError, match=f"checkpoint: expected a complete msgpack.*({message})"
    ):
        limited.run(read_t5x_arrays, tmp_path)


def test_an_array_named_again_and_again(limited, tmp_path):
    write_zarr(tmp_path / "a", np.ones((2, 2), np.float32))
    spec = {"driver": "zarr", "path": "a"}
    write_msgpack(tmp_path / "checkpoint", {f"n{i}": spec for i in range(1_000_000)})
    with pytest.raises(CheckpointError, match="too many values"):
        limited.run(read_t5x_arrays, tmp_path)


def test_long_names_of_many_arrays(limited, tmp_path):
    array = msgpack.ExtType(1, msgpack.packb([[0], "float32", b""]))
    target = {str(i): array for i in range(20_000)}
    for _ in range(44):
        target = {"a" * 4096: target}
    write_msgpack(tmp_path / "checkpoint", target)
    with pytest.raises(CheckpointError, match=r"names of parameters, got a{100}\.\.\.$"):
        limited.run(read_t5x_arrays, tmp_path)


def test_much_text(limited, tmp_path):
    write_msgpack(tmp_path / "checkpoint", {"a": ["b" * 4096] * 60_000})
    with pytest.raises(CheckpointError, match="too much text"):
        limited.run(read_t5x_arrays, tmp_path)


def values_of(run):
    return {name: array.tobytes() for name, array in flatten(read_folder(run).params).items()}


def test_what_is_whole_is_read_within_the_limits(limited, run):
    assert limited.run(values_of, run) == values_of(run)
