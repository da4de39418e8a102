import os
import pickle

import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.paddle_file import read_paddle_file
from spectrodiff.core.errors import CheckpointError

KERNEL = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def paddle_file(tmp_path):
    def write(state, protocol=4):
        path = tmp_path / "model_state.pdparams"
        path.write_bytes(pickle.dumps(state, protocol))
        return path

    return write


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_state_dict(paddle_file, protocol):
    table = {"a.weight": "linear_0.w_0"}
    path = paddle_file({"a.weight": KERNEL, "StructuredToParameterName@@": table}, protocol)
    arrays = read_paddle_file(path)
    assert list(arrays) == ["a.weight"]
    assert arrays["a.weight"].shape == (2, 3)
    np.testing.assert_array_equal(arrays["a.weight"].read(), KERNEL)


def test_tensors_written_with_their_names(paddle_file):
    arrays = read_paddle_file(paddle_file({"a": ("linear_0.w_0", KERNEL)}))
    np.testing.assert_array_equal(arrays["a"].read(), KERNEL)


@pytest.mark.parametrize("protocol", [2, 3])
def test_an_array_in_pieces(paddle_file, protocol):
    # As Paddle writes arrays of more than a gigabyte under the older protocols.
    state = {
        "b": np.float32([7]),
        "a@@.0": KERNEL.flatten()[:4],
        "a@@.1": KERNEL.flatten()[4:],
        "UnpackBigParamInfor@@": {"a": {"OriginShape": (2, 3), "slices": ["a@@.0", "a@@.1"]}},
    }
    arrays = read_paddle_file(paddle_file(state, protocol))
    assert arrays.keys() == {"a", "b"}
    assert arrays["a"].shape == (2, 3)
    np.testing.assert_array_equal(arrays["a"].read(), KERNEL)


@pytest.mark.parametrize(
    "table",
    [
        {"a": {"OriginShape": (2, 3), "slices": ["a@@.0"]}},  # four elements of six
        {"a": {"OriginShape": (2, 3), "slices": ["a@@.0", "a@@.2"]}},
        {"a": {"OriginShape": (2, 3), "slices": ["a@@.0", "a@@.0"]}},
        {"a": {"OriginShape": (2, -3), "slices": ["a@@.0", "a@@.1"]}},
        {"a": {"OriginShape": 6, "slices": ["a@@.0", "a@@.1"]}},
        {"a": {"OriginShape": (2, 3), "slices": ["a@@.0", "text"]}},
        {"a": {"OriginShape": (2, 3), "slices": ["a@@.0", "doubles"]}},
        {"a": {"OriginShape": (2, 3), "slices": ["rows"]}},
        {"a": {"OriginShape": (0,), "slices": []}},
        {"a": {"slices": ["a@@.0", "a@@.1"]}},
        {"a": [1]},
        [1],
    ],
)
def test_pieces_that_do_not_fit(paddle_file, table):
    state = {"a@@.0": KERNEL.flatten()[:4], "a@@.1": KERNEL.flatten()[4:], "text": "x"}
    state |= {"doubles": np.zeros(2), "rows": np.zeros((6, 1000), np.float32)}
    path = paddle_file({**state, "UnpackBigParamInfor@@": table})
    with pytest.raises(CheckpointError, match="pieces that do not match"):
        read_paddle_file(path)


@pytest.mark.parametrize("state", [[KERNEL], {"a": 1}, {"a": ("name", 1)}, {"a": {"b": KERNEL}}])
def test_what_is_no_state_dict(paddle_file, state):
    with pytest.raises(CheckpointError, match="array"):
        read_paddle_file(paddle_file(state))


def test_hostile_file(paddle_file, tmp_path):
    class Touch:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'canary'}",)

    for protocol in range(6):
        with pytest.raises(CheckpointError):
            read_paddle_file(paddle_file({"a": KERNEL, "b": Touch()}, protocol))
    assert not (tmp_path / "canary").exists()


def test_unreadable_files(tmp_path):
    (tmp_path / "empty.pdparams").touch()
    for name in ("empty.pdparams", "missing.pdparams", "."):
        with pytest.raises(CheckpointError):
            read_paddle_file(tmp_path / name)
