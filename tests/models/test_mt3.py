import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.checkpoints.layouts.mt3 import import_mt3
from spectrodiff.models import mt3
from spectrodiff.models.config import ModelConfig
from spectrodiff.models.definition import define
from spectrodiff.models.mt3 import Mt3, decode_greedily
from tests.support.checkpoint_writers import golden_params, write_t5x

# The reference rows whose targets are not padding: what follows is masked there and not here.
LENGTHS = (12, 9)


@pytest.fixture(scope="module")
def reference(golden):
    return dict(np.load(golden / "network_mt3.npz"))


@pytest.fixture(scope="module")
def network(golden, tmp_path_factory):
    folder = write_t5x(tmp_path_factory.mktemp("mt3"), golden_params(golden, "mt3"))
    return import_mt3(folder, head_width=8)


def apply(config, function):
    """function(network, *inputs) as a jitted function of the parameters and the inputs."""
    definition = define(Mt3, config)
    return jax.jit(lambda params, *inputs: function(definition.merge(params), *inputs))


def shifted(tokens):
    return np.pad(tokens[:, :-1], [(0, 0), (1, 0)])


@pytest.fixture(scope="module")
def forward(network):
    return apply(network[0], lambda model, *inputs: model(*inputs))


def greedy_without_cache(forward, params, log_mel, max_tokens):
    """Each token from the logits of all those before it, rows apart, with nothing remembered."""
    tokens = np.zeros((len(log_mel), max_tokens), np.int32)
    for row in range(len(log_mel)):
        for step in range(max_tokens):
            logits = forward(params, log_mel[row : row + 1], shifted(tokens[row : row + 1]))
            tokens[row, step] = np.asarray(logits)[0, step].argmax()
            if tokens[row, step] == 1:
                break
    return tokens


def with_ends(params):
    """The same network, which ends a row where it wrote 1087: after 9 tokens in the first row."""
    params = jax.tree.map(np.copy, params)
    kernel = params["decoder"]["output"]["kernel"]
    kernel[:, [1, 1087]] = kernel[:, [1087, 1]]
    return params


def test_sizes_come_from_the_shapes(network):
    config, params = network
    assert config == ModelConfig(
        width=32,
        heads=2,
        head_width=8,
        mlp_width=48,
        encoder_layers=2,
        decoder_layers=3,
        vocabulary_size=1536,
        note_tokens=1024,
        target_frames=256,
        context_frames=0,
        mel_bins=512,
    )
    assert params["decoder"]["layers"]["cross_attention"]["out"]["kernel"].shape == (3, 16, 32)


def test_published_sizes():
    assert (mt3.MT3.width, mt3.MT3.heads, mt3.MT3.mlp_width, mt3.MT3.mel_bins) == (
        512,
        6,
        1024,
        512,
    )
    assert (mt3.MT3.note_tokens, mt3.MT3.target_frames, mt3.MT3.vocabulary_size) == (
        1024,
        256,
        1536,
    )


def test_logits_are_those_of_the_released_network(network, forward, reference):
    _, params = network
    logits = forward(params, reference["spectrogram"], shifted(reference["targets"]))
    assert logits.dtype == jnp.float32
    for row, length in enumerate(LENGTHS):
        np.testing.assert_allclose(
            logits[row, :length], reference["logits"][row, :length], atol=1e-4
        )


def test_greedy_tokens_are_those_of_the_released_decoder(network, reference):
    config, params = network
    decode = apply(config, functools.partial(decode_greedily, max_tokens=12))
    np.testing.assert_array_equal(decode(params, reference["spectrogram"]), reference["greedy"])


@pytest.mark.parametrize("first_capacity", [4, 7, 128])
def test_cached_decoding_is_that_without_cache(
    network, forward, reference, monkeypatch, first_capacity
):
    # 20 tokens with capacities of 4, 8, 16 and 20, of 7, 14 and 20, or of 20 at once.
    monkeypatch.setattr(mt3, "FIRST_CAPACITY", first_capacity)
    config, params = network
    params, spectrogram = with_ends(params), reference["spectrogram"]
    expected = greedy_without_cache(forward, params, spectrogram, 20)
    decode = apply(config, functools.partial(decode_greedily, max_tokens=20))
    np.testing.assert_array_equal(decode(params, spectrogram), expected)
    assert expected[0].tolist().index(1) == 8
    assert 1 not in expected[1]


def test_a_row_does_not_depend_on_its_neighbors(network, reference):
    config, params = network
    params = with_ends(params)
    decode = apply(config, functools.partial(decode_greedily, max_tokens=12))
    together = np.asarray(decode(params, reference["spectrogram"]))
    for row in range(2):
        alone = decode(params, reference["spectrogram"][row : row + 1])
        np.testing.assert_array_equal(alone[0], together[row])


def test_decoding_stops_when_all_rows_have_ended(network, reference):
    config, params = network
    steps = []

    def decode(model, log_mel):
        step = model.decoder.step

        def ends_at_2(tokens, cross, cache, number):
            jax.debug.callback(lambda number: steps.append(int(number)), number)
            logits, cache = step(tokens, cross, cache, number)
            return logits.at[:, 1].add(1e6 * (number == 2)), cache

        model.decoder.step = ends_at_2
        return decode_greedily(model, log_mel, max_tokens=20)

    tokens = np.asarray(apply(config, decode)(params, reference["spectrogram"]))
    jax.effects_barrier()
    np.testing.assert_array_equal(tokens[:, :2], reference["greedy"][:, :2])
    np.testing.assert_array_equal(tokens[:, 2:], [[1] + [0] * 17] * 2)
    assert sorted(steps) == [0, 1, 2]


def test_tokens_are_conditioned_on_what_came_before_and_on_the_sound(network, forward, reference):
    _, params = network
    tokens, spectrogram = shifted(reference["targets"]), reference["spectrogram"]
    before = np.asarray(forward(params, spectrogram, tokens))
    changed = tokens.copy()
    changed[:, 5] = 700
    after = np.asarray(forward(params, spectrogram, changed))
    np.testing.assert_array_equal(after[:, :5], before[:, :5])
    assert np.abs(after[:, 5:] - before[:, 5:]).max(axis=2).min() > 1e-3
    other = np.asarray(forward(params, spectrogram[::-1], tokens))
    assert np.abs(other - before).max(axis=2).min() > 1e-3
