"""Distillation against written-out steps of the teacher, and of a teacher known in closed form."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spectrodiff
from spectrodiff.audio.features import scale
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.errors import ConfigError
from spectrodiff.core.parallel import make_mesh
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.diffusion.schedule import CosineSchedule
from spectrodiff.models.definition import init_params
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.synthesis.segments.model import SegmentBatch
from spectrodiff.training.examples import read_examples
from spectrodiff.training.run_folder import open_run
from spectrodiff.training.settings import Data, Optimization, Training
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks.denoise import example_noise
from spectrodiff.training.tasks.distill import TEACHER, Distillation
from tests.support import tiny
from tests.support.reference import build

STUDENT = Sampling("ddim", steps=2, guidance=1.0)
# Signal and noise scale of the cosine schedule are cosine and sine of an angle, linear in time.
LOW, HIGH = np.arctan(np.exp(-10.0)), np.arctan(np.exp(10.0))


def scales(time):
    angle = LOW + (HIGH - LOW) * time
    return np.float32(np.cos(angle)), np.float32(np.sin(angle))


def save_teacher(
    folder,
    *,
    network=tiny.NETWORK,
    config=None,
    prediction="v",
    guidance=1.0,
    sampling=None,
    params=None,
):
    config = config or network.config()
    params = init_params(Denoiser, config, 3) if params is None else params
    model = Checkpoint(
        config,
        jax.tree.map(np.asarray, params),
        prediction,
        sampling=sampling or Sampling("dpmpp", steps=8, guidance=guidance),
    )
    save_model(model, folder, "float32")
    return model


def make_task(folder, *, network=tiny.NETWORK, sampling=STUDENT, training=tiny.TRAINING, **changes):
    settings = Distillation(teacher=str(folder), **changes)
    return tiny.make_task(network, settings, training, sampling=sampling)


@pytest.fixture(scope="module")
def examples():
    mesh = make_mesh(jax.devices()[:1])
    read = jax.jit(lambda batch: read_examples(batch, tiny.NETWORK.config(), mesh))
    return read(tiny.batch(4))


def keys_of(count):
    return jax.vmap(lambda n: jax.random.fold_in(jax.random.key(0), n))(jnp.arange(count))


def guided_x0(model, guidance, examples, z, time):
    """The teacher's estimate, from two plain calls of its network."""
    network, count = build(model.config, model.params), len(z)
    alpha, sigma = scales(time)

    def output(tokens, mask):
        return np.asarray(network(tokens, examples.context, mask, z, jnp.full(count, time)))

    conditional = output(examples.tokens, examples.context_mask)
    unconditional = output(np.zeros_like(examples.tokens), np.zeros_like(examples.context_mask))
    guided = unconditional + guidance * (conditional - unconditional)
    if model.prediction == "eps":
        return np.clip((z - sigma * guided) / alpha, -1, 1)
    return np.clip(alpha * z - sigma * guided, -1, 1)


def ddim(z, x0, begin, end):
    if end == 0:
        return x0
    (alpha_t, sigma_t), (alpha_s, sigma_s) = scales(begin), scales(end)
    return alpha_s * x0 + sigma_s * (z - alpha_t * x0) / sigma_t


@pytest.mark.parametrize(("prediction", "guidance", "latest"), [("v", 2.0, 0.5), ("eps", 1.5, 1.0)])
def test_scores_equal_the_teachers_steps_written_out(
    tmp_path, examples, prediction, guidance, latest
):
    model = save_teacher(tmp_path / "teacher", prediction=prediction, guidance=3.0)
    # Away from t = 1, where eps tells nothing of x0.
    sampling = dataclasses.replace(STUDENT, start=0.8)
    guided = {"guidance": guidance, "guidance_times": (0.0, latest)}
    task = make_task(tmp_path / "teacher", sampling=sampling, substeps=3, **guided)
    keys = keys_of(4)
    params = task.init_params(0)
    scores = jax.jit(task.scores)(params | task.frozen, examples, keys)
    x0 = np.asarray(scale(examples.log_mel))
    # The student's network is the teacher's, whose output it takes for v.
    network = build(model.config, model.params)
    losses = []
    for number, (begin, end) in enumerate(((0.8, 0.4), (0.4, 0.0))):
        alpha, sigma = scales(begin)
        z = alpha * x0 + sigma * np.asarray(example_noise(keys, number, x0.shape[1:]))
        arrival = z
        for t, s in itertools.pairwise(np.linspace(begin, end, 4)):
            weight = guidance if t <= latest else 1.0
            arrival = ddim(arrival, guided_x0(model, weight, examples, arrival, t), t, s)
        alpha_s, sigma_s = scales(end)
        target = arrival
        if end:
            ratio = sigma_s / sigma
            target = (arrival - ratio * z) / (alpha_s - ratio * alpha)
        inputs = examples.tokens, examples.context, examples.context_mask, z
        output = np.asarray(network(*inputs, jnp.full(4, begin)))
        v = (alpha * z - target) / sigma  # since x0 = alpha z - sigma v
        losses.append(np.abs(output - v).mean(axis=(1, 2)))
        np.testing.assert_allclose(scores[f"loss_t{begin:.3f}"], losses[-1], rtol=2e-3)
    np.testing.assert_allclose(scores["loss"], np.mean(losses, axis=0), rtol=2e-3)


def test_the_loss_has_no_gradient_through_the_target(tmp_path, examples):
    """In consistency training the student is in its own target, which is a constant."""
    save_teacher(tmp_path / "teacher")
    task = make_task(tmp_path / "teacher", substeps=4, taught=1)
    params = task.init_params(0)

    def loss(params, teacher):
        return task.loss(params | {TEACHER: teacher}, examples, jax.random.key(1))["loss"]

    gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))(params, task.frozen[TEACHER])
    assert all(np.all(leaf == 0) for leaf in jax.tree.leaves(gradient[1]))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(gradient[0]))


def test_a_student_as_good_as_its_teacher_has_no_loss(tmp_path, examples):
    """With one substep and no guidance the target is the teacher's own estimate."""
    params = init_params(Denoiser, tiny.NETWORK.config(), 3)
    # Small outputs: estimates within [-1, 1] are not clipped for z of length below 1.
    params["decoder"]["output"]["kernel"] *= 0.0
    save_teacher(tmp_path / "teacher", params=params)
    task = make_task(
        tmp_path / "teacher", substeps=1, sampling=dataclasses.replace(STUDENT, steps=1)
    )
    scores = jax.jit(task.scores)(task.init_params(0) | task.frozen, examples, keys_of(4))
    np.testing.assert_allclose(scores["loss"], 0, atol=1e-6)
    np.testing.assert_allclose(scores["sample_x0_error"], 0, atol=1e-6)


def closed_form(noise, substeps):
    """Sample of a teacher whose v is 0, the exact denoiser of unit Gaussian data, from noise.

    Without clipping, z stays on a circle and shrinks by a cosine in every step.
    """
    z = noise
    for t, s in itertools.pairwise(np.linspace(1.0, 0.0, substeps + 1)):
        z = ddim(z, np.clip(scales(t)[0] * z, -1, 1), t, s)
    return z


def test_a_teacher_that_is_known_in_closed_form_is_distilled(tmp_path):
    network = dataclasses.replace(
        tiny.NETWORK, width=160, heads=1, head_width=8, mlp_width=16, context_frames=0
    )
    params = init_params(Denoiser, network.config(), 3)
    params["decoder"]["output"]["kernel"] = np.zeros((160, 128), np.float32)
    save_teacher(tmp_path / "teacher", network=network, params=params)
    sampling = dataclasses.replace(STUDENT, steps=1)
    training = Training(task="distill", batch_size=16, steps=250)
    task = make_task(
        tmp_path / "teacher",
        network=network,
        sampling=sampling,
        training=training,
        substeps=4,
        loss_norm="l2",
    )
    trainer = tiny.Trainer(
        network=network,
        training=training,
        optimization=Optimization("adamw", learning_rate=1e-3, schedule="cosine"),
        task=task,
    )
    batch = SegmentBatch(
        tiny.batch(8, network=network)["tokens"],
        jnp.zeros((8, 0, 128)),
        np.zeros((8, 0), bool),
        keys_of(8),
    )
    # Noise of a segment is that of number 0 of its key.
    noise = np.asarray(example_noise(batch.keys, 0, (8, 128)))
    wanted = closed_form(noise, 4)

    def error():
        answer = task.segment_model(trainer.host().params, trainer.mesh)(batch)
        return np.abs(np.asarray(answer) - wanted).mean()

    before = error()
    np.testing.assert_allclose(before, np.abs(wanted).mean(), rtol=1e-3)  # the student says 0
    for step in range(training.steps):
        trainer.take(tiny.batch(16, seed=step, network=network))
    after = error()
    assert after < 0.25 * before, (before, after)


def test_the_student_is_an_ordinary_model(tmp_path):
    """It renders with its own few steps and no guidance, without being told."""
    network = tiny.NETWORK
    save_teacher(tmp_path / "teacher", guidance=2.0)
    settings = Distillation(teacher=str(tmp_path / "teacher"))
    run = RunSettings(
        network, settings, Optimization(), Training(task="distill"), Data(("none",)),
        sampling=STUDENT,
    )  # fmt: skip
    description = settings.description(run)
    assert description["sampling"]["steps"] == 2
    assert description["sampling"]["guidance"] == 1.0
    task = run.make_task()
    save_model(
        Checkpoint(task.config, task.init_params(0), "v", sampling=run.sampling),
        tmp_path / "student",
        "float32",
    )
    student = spectrodiff.load(tmp_path / "student")
    assert student.sampling.evaluations == 2


def test_a_teacher_of_eps_gives_its_half_to_a_student_of_both(tmp_path, examples):
    """The student starts with the teacher's eps where there is signal, and x0 = 0 where not."""
    model = save_teacher(tmp_path / "teacher", prediction="eps")
    task = make_task(tmp_path / "teacher", prediction="x0_and_eps")
    params = task.init_params(0)
    network = build(task.config, params)
    z = np.asarray(scale(examples.log_mel))
    inputs = examples.tokens, examples.context, examples.context_mask, z, jnp.full(4, 0.3)
    output = np.asarray(network(*inputs))
    np.testing.assert_array_equal(output[..., :128], 0)
    eps = np.asarray(build(model.config, model.params)(*inputs))
    np.testing.assert_allclose(output[..., 128:], eps, atol=1e-6)


@pytest.mark.parametrize(("prediction", "half"), [("x0", slice(128)), ("eps", slice(128, 256))])
def test_a_teacher_of_both_gives_one_half_to_a_student_of_it(tmp_path, prediction, half):
    config = dataclasses.replace(tiny.NETWORK.config(), estimates=2)
    params = init_params(Denoiser, config, 3)
    save_teacher(tmp_path / "teacher", config=config, prediction="x0_and_eps", params=params)
    task = make_task(tmp_path / "teacher", prediction=prediction)
    kernel = task.init_params(0)["decoder"]["output"]["kernel"]
    np.testing.assert_array_equal(kernel, params["decoder"]["output"]["kernel"][:, half])
    with pytest.raises(ConfigError) as raised:
        make_task(tmp_path / "teacher", prediction="v")
    assert raised.value.subject == "Distillation.prediction"


def test_a_teacher_that_is_used_without_context_teaches_without_it(tmp_path, examples):
    """Whatever the context is, the target is the same."""
    sampling = Sampling("dpmpp", steps=8, guidance=1.5, mask_context=True, context_guidance=2.0)
    save_teacher(tmp_path / "teacher", sampling=sampling)
    task = make_task(tmp_path / "teacher")
    step = jax.tree.map(lambda column: column[0], STUDENT.solver().table(CosineSchedule()))
    step = jax.tree.map(lambda value: jnp.full((4, 1, 1), value), step)
    z = scale(examples.log_mel)
    none = jnp.zeros_like(examples.context_mask)

    @jax.jit
    def teach(params, mask):
        return task.teacher.denoiser(params, examples._replace(context_mask=mask))(z, step)

    given, hidden = (teach(task.frozen[TEACHER], mask) for mask in (examples.context_mask, none))
    np.testing.assert_array_equal(given, hidden)
    without = examples._replace(context_mask=none)
    plain = guided_x0(task.teacher.checkpoint, 1.5, without, np.asarray(z), 1.0)
    np.testing.assert_allclose(given, plain, atol=1e-5)


def test_every_step_has_a_loss_of_its_own(tmp_path, examples):
    """Steps of equal log-SNR lie close together near t = 0 and t = 1."""
    save_teacher(tmp_path / "teacher")
    task = make_task(tmp_path / "teacher", sampling=Sampling("ddim", 8, 1.0, spacing="logsnr"))
    scores = jax.jit(task.scores)(task.init_params(0) | task.frozen, examples, keys_of(4))
    losses = [values for name, values in scores.items() if name.startswith("loss_t")]
    np.testing.assert_allclose(np.mean(losses, axis=0), scores["loss"], rtol=1e-5)
    assert len(losses) == 8


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"network": dataclasses.replace(tiny.NETWORK, mlp_width=64)}, "Network.mlp_width"),
        ({"schedule": "linear"}, "Distillation.schedule"),
        ({"sampling": Sampling("ddim", 2, guidance=2.0)}, "Sampling.guidance"),
        ({"sampling": Sampling("dpmpp", 2, guidance=1.0)}, "Sampling.sampler"),
        ({"substeps": 3, "taught": 2}, "Distillation.taught"),
        ({"solver": "ddpm"}, "Distillation.solver"),
        ({"disturb_context": -1.0}, "Distillation.disturb_context"),
        ({"sampling": Sampling("ddim", 2, 1.0, context_guidance=1.5)}, "Sampling.context_guidance"),
        ({"prediction": "x0_and_eps"}, "Distillation.prediction"),
        ({"guidance": float("nan")}, "Distillation.guidance"),
        ({"guidance_times": (0.5, 0.2)}, "Distillation.guidance_times"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(tmp_path, changes, subject):
    save_teacher(tmp_path / "teacher")
    with pytest.raises(ConfigError) as raised:
        make_task(tmp_path / "teacher", **changes)
    assert raised.value.subject == subject


def test_a_teacher_has_to_be_a_diffusion_model(tmp_path):
    with pytest.raises(ConfigError, match=r"Distillation.teacher: expected a model"):
        tiny.make_task(tiny.NETWORK, Distillation(), sampling=STUDENT)


def test_the_steps_of_a_run_may_not_change(tmp_path):
    """They are what a student is trained for; for other models they may."""
    save_teacher(tmp_path / "teacher")
    now = RunSettings(
        tiny.NETWORK,
        Distillation(teacher=str(tmp_path / "teacher")),
        Optimization(),
        Training(task="distill"),
        Data(corpora=("pairs/own",)),
        sampling=STUDENT,
    )
    checkpoints = open_run(tmp_path / "run", now, write=True)
    (checkpoints / "50").mkdir(parents=True)
    open_run(tmp_path / "run", now, write=False)
    other = now._replace(sampling=dataclasses.replace(STUDENT, steps=4))
    with pytest.raises(ConfigError, match=r"Sampling.steps: expected 2, as in the run"):
        open_run(tmp_path / "run", other, write=False)


@pytest.mark.parametrize("taught", [None, 1])
def test_a_step_is_the_same_on_any_number_of_devices(tmp_path, taught):
    """Examples of a batch have leaps of their own, wherever they are computed."""
    save_teacher(tmp_path / "teacher", guidance=2.0)
    task = make_task(tmp_path / "teacher", taught=taught)
    alone, shared = (tiny.Trainer(task=task, devices=count) for count in (1, 4))
    batch = tiny.batch(8)
    ours, theirs = alone.take(batch), shared.take(batch)
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)
