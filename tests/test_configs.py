"""Every shipped config is read and its network, optimizer and settings are built."""

import dataclasses
from pathlib import Path

import gin
import jax
import numpy as np
import pytest

from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.commands import evaluate as evaluation
from spectrodiff.commands import train
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampler import Sampler
from spectrodiff.diffusion.sampling import FEW_STEPS
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION
from spectrodiff.training.optimizers import learning_rate, make_optimizer, split_fixed
from spectrodiff.training.tasks import teacher as teachers

CONFIGS = Path(train.CONFIGS)
MODELS = sorted(
    path.relative_to(CONFIGS).as_posix()
    for pattern in ("*.gin", "ablations/*.gin", "mini/*.gin")
    for path in CONFIGS.glob(pattern)
)
STUDENTS = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.glob("students/*.gin")
    if path.name != "base.gin"
)
CORPORA = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.glob("corpora/*.gin"))
INVERTERS = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.glob("inverter/*.gin"))
EVALUATIONS = sorted(path.relative_to(CONFIGS).as_posix() for path in CONFIGS.glob("eval/*.gin"))

# Parameters in millions, from the paper's section 4.1 and the released weights.
MILLIONS = {
    "small_autoregressive.gin": 45,
    "small_no_context.gin": 85,
    "small_context.gin": 104,
    "base_context.gin": 412,
    # Of the released code, counted by hand: layers of 7.08 and 9.44 M, twelve of each; layers of
    # 12.85 M (two encoders) and 33.82 M, twenty-four of each; embeddings and projections.
    "base_autoregressive.gin": 199.6,
    "large_context.gin": 1453.9,
    "ablations/sum_cross_attention.gin": 110,
    # Of our own, which have to fit into a package.
    "mini/narrow.gin": 15.7,
    "mini/narrow_notes.gin": 15.7,
    "mini/full.gin": 20,
}


@pytest.fixture(autouse=True)
def forgetful():
    yield
    gin.clear_config()


@pytest.mark.parametrize("config", MODELS)
def test_models(config):
    settings = train.configure([str(CONFIGS / config)], [])
    task = settings.make_task()
    rate = learning_rate(settings.optimization, settings.training.steps)
    optimizer = make_optimizer(settings.optimization, rate)
    params = jax.eval_shape(lambda: task.init_params(0))
    state = jax.eval_shape(lambda params: optimizer.init(split_fixed(params)[0]), params)
    assert jax.tree.leaves(state)
    if config in MILLIONS:
        count = sum(np.prod(leaf.shape) for leaf in jax.tree.leaves(params)) / 1e6
        assert count == pytest.approx(MILLIONS[config], abs=1)


@pytest.mark.parametrize("config", STUDENTS)
def test_students(config, monkeypatch):
    """With a teacher that has the settings, but none of the weights, of its config."""
    settings = train.configure([str(CONFIGS / config)], [])
    teacher_config, steps = {
        "runs/mini": (
            "mini/narrow.gin",
            {"mini.gin": 2, "mini_four_steps.gin": 4, "mini_late.gin": 2},
        ),
        "runs/tiny": ("tiny.gin", {"tiny.gin": 4}),
        "base_with_context": ("base_context.gin", {"base_context.gin": 4}),
    }[settings.task.teacher]
    run = train.configure([teacher_config], [])
    description = run.task.description(run)
    teacher = Checkpoint(
        run.make_task().config, {}, run.task.prediction, "cosine", run.tokenization, run.sampling
    )
    monkeypatch.setattr(teachers, "open_checkpoint", lambda name: teacher)
    task = settings.make_task()
    assert settings.sampling.evaluations == steps[Path(config).name]
    assert task.teacher.checkpoint.sampling.guidance == description["sampling"]["guidance"] > 1
    assert settings.network.config().dropout == 0


@pytest.mark.parametrize("config", INVERTERS)
def test_inverters(config):
    settings = train.configure([config], [])
    if config == "inverter/base.gin":
        with pytest.raises(ConfigError, match=r"Inversion.generator: expected one of"):
            settings.make_task()
        return
    task = settings.make_task()
    params = jax.eval_shape(lambda: task.init_params(0))
    adversarial = config not in ("inverter/frame_rate_cpu.gin", "inverter/recurrent.gin")
    assert ("discriminators" in params) == adversarial == (settings.task.adversarial > 0)
    assert settings.example_format(task.sizes).target_frames == settings.task.window_frames
    optimization = settings.optimization
    assert optimization.optimizer == ("adamw" if adversarial else "muon")
    assert optimization.beta1 == 0.8


@pytest.mark.parametrize("config", CORPORA)
def test_corpora(config):
    settings = train.configure(["small_context.gin", config], [])
    assert all(settings.data.corpora)
    name = Path(config).stem
    if name != "mixture":
        assert settings.data.corpora[0].split("/")[0] == name.removesuffix("_em")
        # On its own it changes the corpora and nothing else.
        mixture = train.configure(["small_context.gin"], [])
        assert settings._replace(data=mixture.data) == mixture
        assert len(mixture.data.corpora) == 6


@pytest.mark.parametrize("config", EVALUATIONS)
def test_evaluations(config):
    flags = evaluation.parse_flags(["--gin_file", config, "--dataset", "any", "--out", "report"])
    settings = evaluation.configure(flags)
    wanted = settings.with_model_defaults(FEW_STEPS, RELEASED_TOKENIZATION).wanted_rows()
    for row in wanted:
        if row.source == "model":
            Sampler(row.sampler, row.steps, row.variance)
    # Each row is another: what the names of files come from, and what is drawn.
    rows = [dataclasses.replace(row, name="row", title=None) for row in wanted]
    assert len(set(rows)) == len(rows)


def test_the_recipe_is_the_papers():
    settings = train.configure(["small_context.gin"], [])
    training, optimization = settings.training, settings.optimization
    assert (training.batch_size, training.steps, training.precision) == (1024, 500_000, "float32")
    assert optimization.optimizer == "adafactor"
    assert (optimization.learning_rate, optimization.schedule) == (1e-3, "constant")
    assert (optimization.warmup_steps, optimization.clip_norm) == (0, None)
    diffusion = settings.task
    assert (diffusion.prediction, diffusion.loss_norm) == ("eps", "l1")
    assert (diffusion.drop_conditioning, diffusion.drop_context) == (0.1, 0.0)
    assert settings.network.config().dropout == 0.1


def test_macros_on_the_command_line():
    settings = train.configure(["base_context.gin"], ["BATCH_SIZE = 32", "PRECISION = 'bfloat16'"])
    assert (settings.training.batch_size, settings.training.precision) == (32, "bfloat16")


@pytest.mark.parametrize(
    ("binding", "message"),
    [
        ("Trainning.steps = 1", r"'Trainning' \(did you mean 'Training'\?\)"),
        ("Training.step = 1", r"a setting of Training, got 'step' \(did you mean 'steps'\?\)"),
        ("Training.steps = 'all'", r"Training.steps: expected a whole number, got 'all'"),
        ("BATCH_SIZE = 0.5", r"Training.batch_size: expected a whole number, got 0.5"),
        ("Network.size = 'big'", r"Network.size: expected one of tiny, small, base"),
    ],
)
def test_mistakes_are_said_before_any_work(binding, message):
    with pytest.raises(ConfigError, match=message):
        train.configure(["small_context.gin"], [binding])


def test_a_missing_config():
    with pytest.raises(ConfigError, match=r"smal.gin: expected a gin file, got no such file"):
        train.configure(["smal.gin"], [])


def test_an_inverter_without_its_task_is_refused():
    bindings = ["Inversion.generator = 'tiny'", "Data.corpora = ['any']"]
    with pytest.raises(ConfigError, match=r"Training.task: expected 'invert', as Inversion.gen"):
        train.configure([], bindings)
