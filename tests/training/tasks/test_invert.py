"""Training of inverters: losses, scores, resuming, initial weights, data."""

import dataclasses
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from spectrodiff.audio.features import log_mel
from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.checkpoints.resolve import open_checkpoint
from spectrodiff.core.constants import MAX_LOG_MEL, MIN_LOG_MEL
from spectrodiff.core.errors import CheckpointError, ConfigError
from spectrodiff.core.parallel import make_mesh, to_devices
from spectrodiff.inverter.files import load_inverter, save_inverter
from spectrodiff.inverter.losses import advance_distance, multi_scale_distance
from spectrodiff.inverter.networks.generators import generate, read_heads
from spectrodiff.inverter.networks.recurrent import to_audio, unrolled
from spectrodiff.inverter.trained import trained_inverter
from spectrodiff.training.checkpointing import Checkpoints
from spectrodiff.training.evaluation import Evaluator
from spectrodiff.training.examples import read_examples
from spectrodiff.training.metrics import DivergedError, PendingMetrics
from spectrodiff.training.preview import write_previews
from spectrodiff.training.run_folder import open_run
from spectrodiff.training.settings import Data, Network, Optimization, Training
from spectrodiff.training.start import initial_params
from spectrodiff.training.state import abstract_state
from spectrodiff.training.step import step_key
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks import invert as inversion_task
from spectrodiff.training.tasks import predicted_features
from spectrodiff.training.tasks.denoise import Diffusion
from spectrodiff.training.tasks.invert import LOSSES, OPTIONAL_LOSSES, Inversion
from spectrodiff.training.tasks.predicted_features import Denoised
from tests.support import tiny

FRAMES = 8
SCALES = {512: 64, 128: 16}
ALONE = Inversion("tiny", window_frames=FRAMES, mel_l1=3.0, spectral=0.5, log_mel_l1=0.7)
ADVERSARIAL = dataclasses.replace(
    ALONE,
    adversarial=0.1,
    feature_match=0.2,
    stft_windows=(512,),
    wave_factors=(4,),
    stft_width=2,
    wave_width=2,
)
ADAM = Optimization(optimizer="adamw", learning_rate=2e-3, ema_decay=0.9)
TRAINING = Training(batch_size=4)


def settings(inversion=ADVERSARIAL, corpora=("songs",)):
    return RunSettings(Network(), inversion, ADAM, TRAINING, Data(corpora=corpora, workers=0))


def task_of(inversion):
    return tiny.make_task(task=inversion, training=Training())


def batch(size, seed=0):
    """A batch of tones of random pitch and loudness."""
    rng = np.random.default_rng(seed)
    time = np.arange((FRAMES + 16) * 320) / 16_000
    hertz, loud = rng.uniform(100, 2000, (2, size, 1)) / [[[1]], [[4000]]]
    return {
        "tokens": np.ones((size, 8), np.int32),
        "audio": (32767 * loud * np.sin(2 * np.pi * hertz * time)).astype(np.int16),
        "context_frames": np.zeros(size, np.int32),
    }


def trainer(inversion=ADVERSARIAL, params=None, devices=1):
    return tiny.Trainer(
        devices=devices,
        task=task_of(inversion),
        optimization=ADAM,
        training=TRAINING,
        params=params,
    )


@pytest.fixture(scope="module", autouse=True)
def two_resolutions():
    """Reduces the resolutions of the losses to two, which compile faster."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inversion_task, "SCALES", SCALES)
        patched.setattr(inversion_task, "TRAINING_SCALES", {8192: 320} | SCALES)
        yield


@pytest.fixture(scope="module")
def adversarial():
    """A trainer whose step is compiled once."""
    return trainer()


@pytest.fixture(scope="module")
def run(adversarial, tmp_path_factory):
    """A run of four steps, saved after the first two: its folder, metrics and states."""
    folder = tmp_path_factory.mktemp("runs") / "inverter"
    metrics, states = [], []
    with Checkpoints(open_run(folder, settings(), write=True), keep=4) as checkpoints:
        for step in range(1, 5):
            metrics.append(adversarial.take(batch(4, seed=step)))
            states.append(adversarial.host())
            if step <= 2:
                checkpoints.save(step, adversarial.state, {"batches": step})
    return folder, metrics, states


def test_the_loss_is_the_weighted_sum_of_its_parts(run):
    for values in run[1]:
        assert set(values) == {
            "loss",
            "grad_norm",
            "mel_l1",
            "spectral",
            "log_mel_l1",
            "adversarial",
            "feature_match",
            "discriminator_stft_512",
            "discriminator_wave_4",
        }
        weighted = sum(getattr(ADVERSARIAL, name) * values[name] for name in LOSSES)
        discriminators = values["discriminator_stft_512"] + values["discriminator_wave_4"]
        assert values["loss"] == pytest.approx(weighted + discriminators, rel=1e-5)


def test_resuming_is_exact(adversarial, run):
    """Generator, discriminators, optimizer state and running averages are restored."""
    folder, metrics, states = run
    with Checkpoints(folder / "checkpoints", keep=4) as checkpoints:
        abstract = abstract_state(adversarial.task, adversarial.optimizer, adversarial.layout)
        adversarial.state = checkpoints.restore(abstract).state
    tiny.assert_trees(adversarial.host(), states[1])
    assert [adversarial.take(batch(4, seed=step)) for step in (3, 4)] == metrics[2:]
    tiny.assert_trees(adversarial.host(), states[-1])


def test_a_run_is_an_inverter(run):
    folder, _, states = run
    # The running average, without the discriminators.
    tiny.assert_trees(load_inverter(folder).params, states[1].ema["generator"])
    early = load_inverter(folder / "checkpoints" / "1")
    tiny.assert_trees(early.params, states[0].ema["generator"])
    with pytest.raises(CheckpointError, match="got a run that trains an inverter"):
        open_checkpoint(folder)


def test_an_inverter_run_may_have_any_name_and_a_damaged_checkpoint(run, tmp_path, caplog):
    folder, _, states = run
    copy = shutil.copytree(folder, tmp_path / "20240501")
    tiny.assert_trees(load_inverter(copy).params, states[1].ema["generator"])
    (copy / "checkpoints" / "2" / "ema" / "manifest.ocdbt").write_bytes(b"")
    tiny.assert_trees(load_inverter(copy).params, states[0].ema["generator"])
    assert "step 1 is read instead" in caplog.text


def test_scores_are_distances_of_clean_features(adversarial, run):
    examples, params = batch(3, seed=9), run[2][-1].params
    evaluation = Evaluator(
        adversarial.task,
        examples,
        batch_size=4,
        mesh=adversarial.mesh,
        shardings=adversarial.shardings,
    )
    scores = evaluation(params)
    assert set(scores) == {"loss", "mel_l1", "spectral", "log_mel_l1"}
    recorded = examples["audio"].astype(np.float32) / 32768
    features = np.asarray(log_mel(recorded))[:, :FRAMES]
    invert = jax.jit(lambda params, features: generate(ADVERSARIAL.config(), params, features))
    audio = invert(params["generator"], features)
    distance = multi_scale_distance(audio, jnp.asarray(recorded[:, : FRAMES * 320]), SCALES)
    assert scores["mel_l1"] == pytest.approx(float(distance.mel_l1.mean()), rel=1e-3)
    assert scores["spectral"] == pytest.approx(float(distance.spectral.mean()), rel=1e-3)
    error = np.abs(np.asarray(log_mel(audio)) - features)[:, :-1].mean()
    assert scores["log_mel_l1"] == pytest.approx(error, rel=1e-3)
    weighted = 3.0 * scores["mel_l1"] + 0.5 * scores["spectral"] + 0.7 * scores["log_mel_l1"]
    assert scores["loss"] == pytest.approx(weighted, rel=1e-5)


def test_training_starts_at_a_random_place_of_the_period():
    """The loss equals that of one of 64 starts of the oscillators, chosen by the key."""
    task = task_of(dataclasses.replace(ALONE, disturbed=0.0))
    params, mesh = task.init_params(0), make_mesh(jax.devices()[:1])
    examples = jax.tree.map(jnp.asarray, read_examples(batch(1), task.sizes, mesh))
    every = np.repeat(np.asarray(examples.log_mel), 64, axis=0)
    starts = jnp.arange(64)
    audio = jax.jit(generate, static_argnums=0)(
        ALONE.config(), params["generator"], every, start=starts
    )
    recorded = np.repeat(np.asarray(examples.audio, np.float32) / 32768, 64, axis=0)
    wanted = np.asarray(multi_scale_distance(audio, jnp.asarray(recorded), SCALES).spectral)
    assert len(np.unique(wanted)) == 64
    loss = jax.jit(lambda key: task.loss(params, examples, key)["spectral"])
    drawn = [float(loss(jax.random.key(number))) for number in range(6)]
    places = [np.abs(wanted - value).argmin() for value in drawn]
    np.testing.assert_allclose(wanted[places], drawn, rtol=1e-5)
    assert len(set(places)) > 3


def test_further_losses_and_margins():
    """Losses with weight are computed, and audio in the margins is left out."""
    settings = Inversion(
        "recurrent_tiny",
        window_frames=16,
        margin_frames=4,
        disturbed=0.0,
        phase_advance=0.3,
        head_advance=2.0,
        head_magnitude=0.7,
    )
    task, mesh = task_of(settings), make_mesh(jax.devices()[:1])
    params = task.init_params(0)
    time = np.arange(32 * 320) / 16_000
    tone = (8000 * np.sin(2 * np.pi * 300 * time)).astype(np.int16)
    made = {"tokens": np.ones((1, 8), np.int32), "context_frames": np.zeros(1, np.int32)}
    examples = read_examples(made | {"audio": tone[None]}, task.sizes, mesh)
    loss = jax.jit(task.loss)
    values = jax.device_get(loss(params, examples, jax.random.key(0)))
    names = ("mel_l1", "spectral", "log_mel_l1", *OPTIONAL_LOSSES)
    assert set(values) == {"loss", *names}
    weighted = sum(getattr(settings, name) * values[name] for name in names)
    assert values["loss"] == pytest.approx(weighted, rel=1e-5)
    # Other audio in the margins, with the same features: only the losses of the heads use it.
    other = np.asarray(examples.audio).copy()
    other[:, : 3 * 320] = 0
    changed = jax.device_get(
        loss(params, examples._replace(audio=jnp.asarray(other)), jax.random.key(0))
    )
    for name in names[:4]:
        assert changed[name] == values[name]
    assert changed["head_magnitude"] != values["head_magnitude"]

    @jax.jit
    def inverted(params):
        return to_audio(unrolled(read_heads(settings.config(), params, examples.log_mel)))

    audio = np.asarray(inverted(params["generator"]))[:, 4 * 320 : -4 * 320]
    recorded = np.asarray(examples.audio, np.float32)[:, 4 * 320 : -4 * 320] / 32768
    distance = jax.jit(advance_distance, static_argnums=2)
    wanted = distance(audio, recorded, (2048, 1024, 512))
    assert values["phase_advance"] == pytest.approx(float(wanted[0]), rel=1e-3)


def test_previews_have_a_picture_and_audio(run, tmp_path):
    params = run[2][-1].ema
    (preview,) = write_previews(tmp_path, 4, task_of(ADVERSARIAL), params, batch(1), 1)
    assert preview.picture.is_file()
    assert soundfile.info(preview.sound).frames == FRAMES * 320


def test_an_inverter_learns(run, tmp_path):
    """Training without discriminators, from the generator of another run in a file."""
    path = tmp_path / "inverter.safetensors"
    stored = load_inverter(run[0])
    save_inverter(stored, path)
    params = initial_params(task_of(ALONE), 0, str(path))
    tiny.assert_trees(params["generator"], stored.params)
    learner = trainer(dataclasses.replace(ALONE, disturbed=0.0), params)
    values = [learner.take(batch(4))["loss"] for _ in range(40)]
    assert np.mean(values[-5:]) < 0.7 * values[0]
    shared = trainer(dataclasses.replace(ALONE, disturbed=0.0), params, devices=2)
    assert shared.take(batch(4))["loss"] == pytest.approx(values[0], rel=1e-4)
    wider = dataclasses.replace(ALONE, generator="frame_rate")
    with pytest.raises(CheckpointError, match=r"an inverter of \{"):
        initial_params(task_of(wider), 0, str(path))
    audio = trained_inverter(stored)(np.asarray(log_mel(batch(1)["audio"]))[0])
    assert np.isfinite(audio).all()


def test_a_discriminator_whose_loss_is_not_finite_is_named():
    pending = PendingMetrics()
    pending.add(7, {"loss": np.float32(1), "discriminator_stft_512": np.float32(np.nan)})
    with pytest.raises(DivergedError, match="step 7: expected a finite discriminator_stft_512"):
        pending.take()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generator": "huge"}, "one of tiny, frame_rate"),
        ({"margin_frames": 1}, "0 or more, and 8 frames left"),
        ({"head_advance": 1.0}, "a recurrent one, for head_advance"),
        ({"phase_advance": -1.0}, "Inversion.phase_advance: expected a number >= 0"),
        ({"window_frames": 7}, "a whole number >= 8"),
        ({"mel_l1": -1.0}, "Inversion.mel_l1: expected a number >= 0"),
        ({"noise": float("nan")}, "Inversion.noise: expected a number >= 0"),
        ({"disturbed": 1.5}, "a number from 0 to 1"),
        ({"stft_windows": (1000,)}, r"some of \[2048, 1024"),
        ({"stft_windows": (), "wave_factors": ()}, "some discriminators"),
        ({"wave_width": 0}, "a whole number >= 1"),
    ],
)
def test_impossible_settings(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(ADVERSARIAL, **changes)


@pytest.fixture(scope="module")
def denoiser():
    """An untrained denoiser of windows."""
    network = dataclasses.replace(tiny.NETWORK, target_frames=FRAMES)
    params = tiny.make_task(network, Diffusion(), Training()).init_params(0)
    return Checkpoint(network.config(), params)


@pytest.fixture(scope="module")
def with_denoiser(denoiser, tmp_path_factory):
    """Settings of training on nothing but what it predicts."""
    folder = tmp_path_factory.mktemp("denoiser") / "model"
    save_model(denoiser, folder)
    return dataclasses.replace(ALONE, denoiser=str(folder), denoised=1.0, disturbed=0.0)


def test_features_of_a_denoiser(denoiser, with_denoiser):
    """With almost no noise they equal the recorded features; with more, they differ."""
    mesh = make_mesh(jax.devices()[:1])
    window = task_of(ALONE).sizes
    examples = jax.jit(lambda batch: read_examples(batch, window, mesh))(batch(6))
    found = {}
    for time in (1e-6, 0.5):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(predicted_features, "MAX_TIME", time)
            draw = jax.jit(Denoised(denoiser))
            found[time] = np.asarray(draw(denoiser.params, examples, jax.random.key(0)))
    recorded = np.clip(examples.log_mel, MIN_LOG_MEL, MAX_LOG_MEL)
    np.testing.assert_allclose(found[1e-6], recorded, atol=1e-2)
    errors = np.abs(found[0.5] - recorded).mean(axis=(1, 2))
    # Each example has its own amount of noise, which an untrained network does not remove.
    assert errors.min() > 1e-2
    assert errors.max() > 2 * errors.min()

    task = task_of(with_denoiser)
    features = jax.jit(task._features)(task.frozen, examples, jax.random.key(1))
    assert (np.abs(np.asarray(features) - recorded).max(axis=(1, 2)) > 1e-2).all()
    with pytest.raises(ConfigError, match=r"Inversion.window_frames: expected 8, the frames"):
        task_of(dataclasses.replace(with_denoiser, window_frames=16))


def test_the_parameters_of_a_denoiser_are_arguments_of_the_step(denoiser, with_denoiser):
    """They are no constants of the program, not trained, and not part of the state."""
    learner = trainer(with_denoiser)
    arguments = learner.state, to_devices(batch(4), learner.mesh), learner.frozen
    text = learner.step.lower(*arguments).as_text()
    large = {leaf.shape for leaf in jax.tree.leaves(denoiser.params) if leaf.size > 1000}
    constants = re.findall(r"constant dense<[^>]{100,}> : tensor<([0-9x]+)xf32>", text)
    shapes = {tuple(map(int, shape.split("x"))) for shape in constants}
    assert (513, 128) in shapes  # the mel filters: the pattern finds constants
    assert not shapes & large
    assert set(learner.state.params) == {"generator"}

    # The same loss as with constants.
    key = step_key(TRAINING.seed, 0, TRAINING.random_bits)
    examples = read_examples(batch(4), learner.task.sizes, learner.mesh)
    params = learner.state.params | {"denoiser": denoiser.params}
    wanted = jax.jit(lambda examples: learner.task.loss(params, examples, key))(examples)
    metrics = learner.take(batch(4))
    for name, value in wanted.items():
        assert metrics[name] == pytest.approx(float(value), rel=1e-5)
    without = trainer(dataclasses.replace(with_denoiser, denoised=0.0)).take(batch(4))
    assert without["loss"] != pytest.approx(metrics["loss"], rel=1e-3)
