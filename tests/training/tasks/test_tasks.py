import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.audio.features import scale
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.training.examples import read_examples
from spectrodiff.training.settings import Training
from spectrodiff.training.task import TaskSettings
from spectrodiff.training.tasks.autoregress import Autoregression
from spectrodiff.training.tasks.denoise import Diffusion, disturb, example_noise, hide, time_grid
from spectrodiff.training.tasks.shared import SynthesizerTask
from tests.support import tiny
from tests.support.reference import build


@pytest.fixture(scope="module")
def examples():
    mesh = make_mesh(jax.devices()[:1])
    read = jax.jit(lambda batch: read_examples(batch, tiny.NETWORK.config(), mesh))
    return read(tiny.batch(6))


@pytest.fixture(scope="module")
def params():
    task = tiny.make_task(tiny.NETWORK, Diffusion(), Training())
    return jax.tree.map(np.asarray, task.init_params(0))


def keys_of(*numbers):
    return jax.vmap(lambda n: jax.random.fold_in(jax.random.key(0), n))(jnp.array(numbers))


@pytest.mark.parametrize("prediction", ["eps", "x0", "v"])
def test_scores_equal_the_loss_written_out_for_each_time(examples, params, prediction):
    settings = Diffusion(prediction=prediction, evaluation_times=4)
    task = tiny.make_task(tiny.NETWORK, settings, Training())
    keys = keys_of(0, 1, 2, 3, 4, 5)
    scores = jax.jit(task.scores)(params, examples, keys)
    network = build(tiny.NETWORK.config(), params)
    x0 = np.asarray(scale(examples.log_mel))
    wanted = []
    for index, time in enumerate([0.125, 0.375, 0.625, 0.875]):
        # In the cosine schedule, alpha and sigma are cosine and sine of an angle that is linear in
        # time, from atan(e^-10) to atan(e^10).
        low, high = np.arctan(np.exp(-10.0)), np.arctan(np.exp(10.0))
        angle = (high - low) * time + low
        alpha, sigma = np.cos(angle), np.sin(angle)
        eps = np.asarray(example_noise(keys, index, x0.shape[1:]))
        z = (alpha * x0 + sigma * eps).astype(np.float32)
        inputs = examples.tokens, examples.context, examples.context_mask, z
        output = np.asarray(network(*inputs, jnp.full(6, time)))
        # eps = (z - alpha x0) / sigma; v = alpha eps - sigma x0, so eps = sigma z + alpha v.
        eps_hat = {
            "eps": output,
            "x0": (z - alpha * output) / sigma,
            "v": sigma * z + alpha * output,
        }[prediction]
        wanted.append(np.abs(eps_hat - eps).mean(axis=(1, 2)))
        np.testing.assert_allclose(scores[f"loss_t{time:.3f}"], wanted[-1], rtol=2e-3)
    np.testing.assert_allclose(scores["loss"], np.mean(wanted, axis=0), rtol=2e-3)


def test_scores_of_an_example_do_not_depend_on_its_batch(examples, params):
    task = tiny.make_task(tiny.NETWORK, Diffusion(evaluation_times=2), Training())
    score = jax.jit(task.scores)
    together = score(params, examples, keys_of(0, 1, 2, 3, 4, 5))
    pick = np.array([4, 1])
    apart = score(params, jax.tree.map(lambda leaf: leaf[pick], examples), keys_of(4, 1))
    for name, values in apart.items():
        np.testing.assert_allclose(values, together[name][pick], rtol=1e-5)
    # Another key gives other noise.
    other = score(params, jax.tree.map(lambda leaf: leaf[pick], examples), keys_of(9, 1))
    assert abs(other["loss"][0] / apart["loss"][0] - 1) > 1e-4


def test_gap_compares_own_notes_with_other_notes(examples, params):
    task = tiny.make_task(tiny.NETWORK, Diffusion(), Training())
    gap, keys = jax.jit(task.notes_gap), keys_of(0, 1, 2, 3, 4, 5)
    same = gap(params, examples, examples.tokens, keys)
    np.testing.assert_array_equal(same["notes_gap"], 0.0)
    other = gap(params, examples, jnp.roll(examples.tokens, -1, axis=0), keys)
    assert np.abs(other["notes_gap"]).min() > 0
    np.testing.assert_array_equal(other["x0_error_own_notes"], same["x0_error_own_notes"])
    np.testing.assert_allclose(
        other["notes_gap"], other["x0_error_other_notes"] - other["x0_error_own_notes"], rtol=1e-5
    )


def test_hidden_conditioning(examples):
    many = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * 500), examples)
    settings = Diffusion(drop_conditioning=0.2, drop_context=0.25)
    hidden = jax.jit(lambda many, key: hide(many, settings, key))(many, jax.random.key(1))
    no_notes = ~np.asarray(hidden.tokens > 0).any(axis=1)
    had_context = np.asarray(many.context_mask).any(axis=1)
    no_context = ~np.asarray(hidden.context_mask).any(axis=1)[had_context]
    # Three standard deviations of a rate of 3000 examples are below 0.03.
    assert abs(no_notes.mean() - 0.2) < 0.03
    assert abs(no_context.mean() - (0.2 + 0.8 * 0.25)) < 0.03
    # The context is hidden with the notes, and hidden frames are zero.
    assert no_context[no_notes[had_context]].all()
    assert not np.asarray(hidden.context)[~np.asarray(hidden.context_mask)].any()
    # Everything else is unchanged.
    np.testing.assert_array_equal(hidden.tokens[~no_notes], many.tokens[~no_notes])
    np.testing.assert_array_equal(hidden.log_mel, many.log_mel)


def test_disturbed_context(examples):
    middle = jnp.zeros_like(examples.context)  # far from both ends of the scale
    valid = 6
    mask = jnp.zeros_like(examples.context_mask).at[:, :valid].set(True)
    many = examples._replace(context=middle, context_mask=mask)
    many = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * 500), many)
    disturbed = jax.jit(lambda many, key: disturb(many, 0.1, key))(many, jax.random.key(1))
    assert not np.asarray(disturbed.context)[:, valid:].any()
    context = np.asarray(disturbed.context)[:, :valid]
    offset, noise = context.mean(axis=(1, 2)), context.std(axis=(1, 2))
    # Standard deviations are uniform up to 0.1, which has a mean of 0.05 and a mean square of
    # 0.01 / 3; offset and noise share them.
    assert noise.mean() == pytest.approx(0.05, rel=0.05)
    assert noise.max() < 0.115  # of 768 values each
    assert offset.mean() == pytest.approx(0, abs=0.006)
    assert (offset**2).mean() == pytest.approx(0.01 / 3, rel=0.2)
    assert np.corrcoef(np.abs(offset), noise)[0, 1] > 0.4
    # At level 0, the mean over 768 values is that of the noise alone.
    level = np.asarray(disturb(many, 0.1, jax.random.key(1), 0.0).context)[:, :valid]
    assert (level.mean(axis=(1, 2)) ** 2).mean() == pytest.approx(0.01 / 3 / 768, rel=0.2)
    np.testing.assert_allclose(level.std(axis=(1, 2)), noise, rtol=1e-5)
    # Features stay in their range, and everything else is unchanged.
    loud = examples._replace(context=jnp.where(mask[..., None], 1.0, 0.0), context_mask=mask)
    assert np.abs(disturb(loud, 0.1, jax.random.key(2)).context).max() == 1.0
    np.testing.assert_array_equal(disturbed.log_mel, many.log_mel)
    np.testing.assert_array_equal(disturbed.tokens, many.tokens)


def test_the_training_loss_depends_on_its_key(examples, params):
    dropping = dataclasses.replace(tiny.NETWORK, dropout=0.1)
    task = tiny.make_task(dropping, Diffusion(), Training())
    loss = jax.jit(lambda *inputs: task.loss(*inputs)["loss"])
    first, again, other = (loss(params, examples, jax.random.key(n, impl="rbg")) for n in (0, 0, 1))
    assert first == again
    assert first != other


def times_of_examples(task, examples, params):
    """The times of 500 copies of the examples, as the loss draws them."""
    times = []

    class Spy(type(task)):
        def _denoise(self, params, examples, x0, eps, time, dropout_key=None):
            times.append(time)
            return (jnp.zeros(len(time)),)

    many = jax.tree.map(lambda leaf: jnp.concatenate([leaf] * 500), examples)
    Spy(config=task.config, settings=task.settings).loss(params, many, jax.random.key(0))
    return times[0]


def test_times_are_powers_of_uniform_numbers(examples, params):
    """The mean of u ** p is 1 / (1 + p)."""
    task = tiny.make_task(tiny.NETWORK, Diffusion(time_power=0.5), Training())
    times = times_of_examples(task, examples, params)
    assert abs(np.mean(times) - 1 / 1.5) < 0.02
    np.testing.assert_allclose(time_grid(4), [0.125, 0.375, 0.625, 0.875])


def test_discrete_times(examples, params):
    """Times are i / n for i = 0..n - 1, each as often as any other."""
    task = tiny.make_task(tiny.NETWORK, Diffusion(discrete_times=4))
    times = times_of_examples(task, examples, params)
    values, counts = np.unique(times, return_counts=True)
    np.testing.assert_array_equal(values, [0, 0.25, 0.5, 0.75])
    # Of 3000 examples, 750 each; the standard deviation is 24.
    assert np.abs(counts - 750).max() < 90


@pytest.mark.parametrize("positions", ["sinusoid", "random_trained"])
def test_aligned_attention_needs_its_positions(positions):
    network = dataclasses.replace(tiny.NETWORK, positions=positions, initialization="aligned")
    with pytest.raises(ConfigError, match=r"positions: expected 'random_phase' for an aligned"):
        tiny.make_task(network)


def test_a_schedule_without_a_meaning():
    with pytest.raises(ConfigError, match="schedule: expected 'cosine', 'linear' or"):
        Diffusion(schedule="square")


def test_a_task_has_to_have_all_methods():
    class Incomplete(SynthesizerTask):
        pass

    with pytest.raises(TypeError, match=r"init_params.*loss.*scores.*segment_model"):
        Incomplete(config=tiny.NETWORK.config())

    class Nothing(TaskSettings):
        pass

    with pytest.raises(TypeError, match=r"description.*make"):
        Nothing()


def test_autoregressive_baseline(examples):
    network = dataclasses.replace(tiny.NETWORK, context_frames=0)
    task = tiny.make_task(network, Autoregression())
    params = task.init_params(0)
    keys = keys_of(0, 1, 2, 3, 4, 5)
    loss = jax.jit(task.scores)(params, examples, keys)["loss"]
    gap = jax.jit(task.notes_gap)(params, examples, examples.tokens, keys)
    np.testing.assert_array_equal(gap["notes_gap"], 0.0)
    # Without dropout the training loss is the mean of the scores.
    trained = jax.jit(task.loss)(params, examples, jax.random.key(0))["loss"]
    np.testing.assert_allclose(trained, loss.mean(), rtol=1e-6)
