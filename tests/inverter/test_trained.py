import dataclasses
import itertools
import json
import struct

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.checkpoints.tree import flatten
from spectrodiff.core.errors import AudioError, CheckpointError, OutputError
from spectrodiff.inverter import InversionStream, invert
from spectrodiff.inverter.config import SIZES
from spectrodiff.inverter.files import StoredInverter, load_inverter, save_inverter
from spectrodiff.inverter.trained import TrainedInverter
from tests.support.inverters import KINDS, generate_compiled, random_features, random_inverter

SILENCE = np.log(1e-5)


@pytest.fixture(scope="module")
def stored():
    return {kind: random_inverter(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def inverters(stored):
    return {kind: TrainedInverter(*inverter) for kind, inverter in stored.items()}


@pytest.mark.parametrize("frames", [40, 600])  # a short window; one of 512 frames before it
@pytest.mark.parametrize("kind", KINDS)
def test_beyond_the_ends_is_silence(kind, frames, stored, inverters):
    """One pass of the generator over the song with silence around it, without any windows."""
    features = random_features(frames)
    before = 128  # two periods
    around = np.full((before, 128), SILENCE, np.float32)
    padded = jnp.asarray(np.concatenate([around, features, around]))
    whole = np.asarray(generate_compiled(*stored[kind], padded[None]))[0]
    audio = inverters[kind](features)
    assert audio.dtype == np.float32
    np.testing.assert_allclose(audio, whole[before * 320 : -before * 320], atol=1e-5)
    assert np.abs(audio).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_reach_is_the_distance_that_a_frame_has_an_effect_at(kind, inverters):
    inverter = inverters[kind]
    reach = inverter.reach_frames
    features, place = random_features(4 * reach), 2 * reach
    changed = features.copy()
    changed[place] = 1.0
    heard = np.flatnonzero(np.abs(inverter(changed) - inverter(features)) > 0) // 320 - place
    assert max(-heard.min(), heard.max()) == reach


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[256, 256, 256, 132], [7, 1, 90, 802], [900]])
def test_pieces_are_one_pass(kind, inverters, sizes):
    inverter, features = inverters[kind], random_features(900)
    whole = inverter(features)
    stream, starts = InversionStream(inverter), np.cumsum([0, *sizes])
    pieces = [stream.push(features[a:b]) for a, b in itertools.pairwise(starts)]
    np.testing.assert_allclose(np.concatenate([*pieces, stream.finish()]), whole, atol=1e-4)
    np.testing.assert_allclose(invert(inverter, features, max_frames=100), whole, atol=1e-4)


def test_pieces_that_begin_anywhere_are_not_one_pass(inverters):
    """Why pieces begin a multiple of the period apart."""
    inverter, features = inverters["tiny"], random_features(160)
    whole, later = inverter(features), inverter(features[32:])
    inside = slice(40 * 320, 60 * 320)
    assert np.abs(later[inside] - whole[32 * 320 :][inside]).max() > 1e-2
    later = inverter(features[64:])
    np.testing.assert_allclose(later[inside], whole[64 * 320 :][inside], atol=1e-5)


def test_bad_features(inverters):
    inverter = inverters["tiny"]
    with pytest.raises(AudioError, match="NaN or infinity in frame 1"):
        inverter(np.array([[0.0] * 128, [np.nan] * 128]))
    for shape in ((3, 64), (0, 128), (128,)):
        with pytest.raises(AudioError, match="frames of 128 mel bins"):
            inverter(np.zeros(shape))


@pytest.mark.parametrize("kind", KINDS)
def test_files_keep_everything(kind, stored, tmp_path):
    path = tmp_path / "inverter.safetensors"
    save_inverter(stored[kind], path)
    loaded = load_inverter(path)
    assert loaded.config == SIZES[kind]
    ours, theirs = flatten(loaded.params), flatten(stored[kind].params)
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name])
    half = tmp_path / "half.safetensors"
    save_inverter(stored[kind], half, "float16")
    assert half.stat().st_size < 0.6 * path.stat().st_size
    for name, values in flatten(load_inverter(half).params).items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, theirs[name], rtol=1e-3, atol=1e-6)


def test_saving_leaves_nothing_half_done(stored, tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"a file name ending in .safetensors, got '.bin'"):
        save_inverter(stored["tiny"], tmp_path / "inverter.bin")
    large = jax.tree.map(lambda leaf: leaf + 1e6, stored["tiny"].params)
    with pytest.raises(CheckpointError, match="values within the range of float16"):
        save_inverter(StoredInverter(SIZES["tiny"], large), tmp_path / "a.safetensors", "float16")

    def interrupted(path, *_, **__):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{save_inverter.__module__}.write_safetensors", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_inverter(stored["tiny"], tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def rewritten(path, target, change):
    """A copy of a safetensors file with another header."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    change(header)
    text = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
    return target


def sized(**changes):
    def change(header):
        sizes = json.loads(header["__metadata__"]["spectrodiff_inverter"])
        sizes.update(changes)
        header["__metadata__"]["spectrodiff_inverter"] = json.dumps(sizes)

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.pop("__metadata__"), "spectrodiff_inverter in its metadata"),
        (lambda header: header["__metadata__"].update(spectrodiff_inverter="{"), "JSON as"),
        (lambda header: header["__metadata__"].update(spectrodiff_inverter="[]"), "the sizes of"),
        (sized(kind="lstm"), r"one of frame_rate, recurrent, melgan, got 'lstm'"),
        (sized(width=-1), "a whole number from 1 to 16384, got -1"),
        (sized(width=10**9), "a whole number from 1 to 16384"),
        (sized(width=True), "a whole number from 1 to 16384, got True"),
        (sized(layers=257), "a whole number from 1 to 256, got 257"),
        (sized(kernel_frames=1 << 16), "a whole number from 1 to 255"),
        (sized(window_samples=640 * 65), "a whole number from 1 to 40960"),
        (sized(width=[0] * 9_999), r"got \[0, 0, .{1,30}\]$"),
        (sized(depth=3), "sizes of a frame_rate inverter"),
        (sized(**{"d" * 9_999: 3}), r"sizes of a frame_rate inverter.{1,250}$"),
        (sized(window_samples=1000), "a multiple of 640"),
        (sized(layers=3), "of shape"),
        (sized(width=48), "of shape"),
        (lambda header: header.update(extra=header.pop("norm/scale")), "no norm/scale"),
    ],
)
def test_files_that_do_not_fit_their_sizes(stored, tmp_path, change, message):
    path = tmp_path / "inverter.safetensors"
    save_inverter(stored["tiny"], path)
    with pytest.raises(CheckpointError, match=message):
        load_inverter(rewritten(path, tmp_path / "changed.safetensors", change))


def test_damaged_files(stored, tmp_path):
    path = tmp_path / "inverter.safetensors"
    save_inverter(stored["tiny"], path)
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="a complete safetensors file"):
            load_inverter(path)
    params = jax.tree.map(np.array, stored["tiny"].params)
    params["norm"]["scale"][3] = np.nan
    with pytest.raises(CheckpointError, match="expected finite values, got NaN or infinity"):
        save_inverter(StoredInverter(SIZES["tiny"], params), path)
    with pytest.raises(CheckpointError, match="no such file"):
        load_inverter(tmp_path / "nothing.safetensors")
    with pytest.raises(CheckpointError, match="a run folder"):
        load_inverter(tmp_path)


def test_sizes_are_written_down():
    assert dataclasses.asdict(SIZES["frame_rate"])["window_samples"] == 1280
