import dataclasses
import functools
import math
import os

import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.names import port_sources, t5x_sources
from spectrodiff.checkpoints.tree import (
    StoredArray,
    assemble,
    assemble_tree,
    expected_shapes,
    flatten,
    nest,
)
from spectrodiff.core.errors import CheckpointError
from spectrodiff.models.config import SIZES, ModelConfig

CONFIG = ModelConfig(
    width=4,
    heads=1,
    head_width=3,
    mlp_width=5,
    encoder_layers=2,
    decoder_layers=3,
    vocabulary_size=7,
    note_tokens=6,
    target_frames=8,
    context_frames=9,
    mel_bins=2,
)


def number_of_parameters(config: ModelConfig) -> int:
    return sum(math.prod(shape) for shape in expected_shapes(config).values())


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        # The paper's and the release's parameter counts.
        (dataclasses.replace(SIZES["small"], context_frames=0), 85),
        (SIZES["small"], 104),
        (SIZES["base"], 412),
    ],
)
def test_number_of_parameters(config, millions):
    assert round(number_of_parameters(config) / 1e6) == millions


def test_number_of_parameters_by_hand():
    attention = 4 * (4 * 3)
    encoder = 2 * (4 + attention + 4 + 3 * (4 * 5)) + 4  # layers, final norm
    notes = 7 * 4 + 6 * 4 + encoder  # embedding, positions
    context = 2 * 4 + 9 * 4 + encoder  # projection of the frames, positions
    film = 16 * 8
    layer = 3 * 4 + 2 * film + 2 * attention + 3 * (4 * 5)
    decoder = 2 * 4 + 8 * 4 + 4 * 16 + 16 * 16 + 3 * layer + 4 + 4 * 2
    assert number_of_parameters(CONFIG) == notes + context + decoder
    # One more cross-attention per decoder layer.
    summed = dataclasses.replace(CONFIG, cross_attention="sum")
    assert number_of_parameters(summed) == notes + context + decoder + 3 * attention
    alone = dataclasses.replace(CONFIG, context_frames=0)
    assert number_of_parameters(alone) == notes + decoder


@pytest.mark.parametrize("sources", [t5x_sources, port_sources])
def test_every_parameter_has_a_name_in_every_layout(sources):
    table = sources(CONFIG)
    assert table.keys() == expected_shapes(CONFIG).keys()
    entries = [entry for source in table.values() for entry in np.atleast_1d(source)]
    assert len(set(entries)) == len(entries)


def test_flatten_and_nest():
    nested = {"a": {"b": {"c": 1}, "d": 2}, "e": 3}
    flat = {"a/b/c": 1, "a/d": 2, "e": 3}
    assert flatten(nested) == flat
    assert nest(flat) == nested


def stored_arrays(transposed: bool) -> dict[str, StoredArray]:
    """An entry for every parameter of CONFIG, each filled with its own numbers."""
    stored, sources = {}, t5x_sources(CONFIG)
    for index, (name, shape) in enumerate(expected_shapes(CONFIG).items()):
        values = index + np.arange(math.prod(shape), dtype=np.float64).reshape(shape) / 1000
        source = sources[name]
        parts = [(source, values)] if isinstance(source, str) else zip(source, values, strict=True)
        for entry, part in parts:
            part = part.T if transposed and name.endswith("kernel") else part
            stored[entry] = StoredArray(part.shape, lambda part=part: part)
    return stored


@pytest.mark.parametrize("transposed", [False, True])
def test_assemble_stacks_layers(tmp_path, transposed):
    stored = stored_arrays(transposed)
    params = assemble(tmp_path, CONFIG, t5x_sources(CONFIG), stored, transposed=transposed)
    for index, (name, shape) in enumerate(expected_shapes(CONFIG).items()):
        values = flatten(params)[name]
        assert values.dtype == np.float32
        expected = index + np.arange(math.prod(shape)).reshape(shape) / 1000
        np.testing.assert_array_equal(values, expected.astype(np.float32))


def test_assemble_reads_one_entry_at_a_time(tmp_path):
    alive, most = 0, 0

    class Counted(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= self.base is None

    def counted(values):
        def read():
            nonlocal alive, most
            array = np.ndarray.__new__(Counted, values.shape)
            array[...] = values
            alive += 1
            most = max(most, alive)
            return array

        return StoredArray(values.shape, read)

    stored = {name: counted(array.read()) for name, array in stored_arrays(False).items()}
    assemble(tmp_path, CONFIG, t5x_sources(CONFIG), stored)
    assert most <= 2  # the next is read before the last is let go


def test_missing_entries_are_named(tmp_path):
    stored = stored_arrays(False)
    for layer in range(3):
        del stored[f"decoder/layers_{layer}/mlp/wo/kernel"]
    del stored["decoder/spec_out_dense/kernel"]
    with pytest.raises(CheckpointError, match=r"wo/kernel.*\(4 in all\)") as error:
        assemble(tmp_path, CONFIG, t5x_sources(CONFIG), stored)
    assert error.value.subject == str(tmp_path)


def test_entries_left_over_are_named(tmp_path):
    stored = stored_arrays(False)
    stored["decoder/logits/bias\n"] = stored["decoder/spec_out_dense/kernel"]
    with pytest.raises(CheckpointError, match="also 'decoder/logits/bias") as error:
        assemble(tmp_path, CONFIG, t5x_sources(CONFIG), stored)
    assert "\n" not in str(error.value)


def test_a_wrong_shape_is_named_in_the_order_of_the_file(tmp_path):
    stored = stored_arrays(True)
    name = "decoder/spec_out_dense/kernel"
    stored[name] = StoredArray((4, 2), lambda: np.zeros((4, 2)))
    with pytest.raises(CheckpointError, match=r"spec_out.*\(2, 4\), got shape \(4, 2\)$"):
        assemble(tmp_path, CONFIG, t5x_sources(CONFIG), stored, transposed=True)
    # A transposed file that is read as if it were not: every kernel that is not square is wrong.
    with pytest.raises(CheckpointError, match="more of another shape"):
        assemble(tmp_path, CONFIG, t5x_sources(CONFIG), stored)


def test_nothing_is_read_when_a_shape_is_wrong(tmp_path):
    stored = {
        name: StoredArray(array.shape, lambda: pytest.fail("read"))
        for name, array in stored_arrays(False).items()
    }
    stored["decoder/spec_out_dense/kernel"] = StoredArray((1,), lambda: np.zeros(1))
    with pytest.raises(CheckpointError):
        assemble(tmp_path, CONFIG, t5x_sources(CONFIG), stored)


def test_whole_numbers_are_no_weights(tmp_path):
    stored = stored_arrays(False)
    stored["decoder/decoder_norm/scale"] = StoredArray((4,), lambda: np.zeros(4, np.int32))
    with pytest.raises(CheckpointError, match="int32"):
        assemble(tmp_path, CONFIG, t5x_sources(CONFIG), stored)


@pytest.mark.parametrize("name", ["SC_PHYS_PAGES", None])
def test_a_model_larger_than_memory(tmp_path, monkeypatch, name):
    if name is None:
        # A system that does not say how much memory it has.
        monkeypatch.setattr(os, "sysconf", lambda name: -1)
    stored = {"kernel": StoredArray((1 << 25, 1 << 25), lambda: np.zeros((1, 1)))}
    with pytest.raises(CheckpointError, match="fits in memory, got 1,125,899,906,842,624 float32"):
        assemble_tree(tmp_path, {"kernel": (1 << 25, 1 << 25)}, {"kernel": "kernel"}, stored)


def test_memory_is_compared_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__)
    names = {"kernel": "kernel"}
    for rows, fits in ((10, True), (11, False)):
        read = functools.partial(np.ones, (rows, 1024)) if fits else lambda: pytest.fail("read")
        arguments = {"kernel": (rows, 1024)}, names, {"kernel": StoredArray((rows, 1024), read)}
        if fits:
            assert assemble_tree(tmp_path, *arguments)["kernel"].sum() == 10 * 1024
        else:
            with pytest.raises(CheckpointError, match="11,264 float32 parameters"):
                assemble_tree(tmp_path, *arguments)
