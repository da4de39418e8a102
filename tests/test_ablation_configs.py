"""The files in configs/ablations/: what each changes, and a training step of each kind."""

from pathlib import Path

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.checkpoints.tree import expected_shapes, nest
from spectrodiff.commands import train
from spectrodiff.core.parallel import make_mesh
from spectrodiff.training.examples import read_examples
from tests.support import tiny

FOLDER = Path(train.CONFIGS) / "ablations"
MORE = [Path(train.CONFIGS) / name for name in ("base_autoregressive.gin", "large_context.gin")]
# Settings that differ from those of the small model with context.
CHANGES = {
    "predict_x0": {"prediction": "x0", "loss_target": "x0"},
    "predict_v": {"prediction": "v"},
    "predict_x0_and_eps": {"prediction": "x0_and_eps"},
    "loss_x0_and_eps": {"prediction": "v", "loss_target": "x0_and_eps"},
    "loss_max_x0_eps": {"prediction": "v", "loss_target": "max_x0_eps"},
    "loss_l2": {"loss_norm": "l2"},
    "linear_schedule": {"schedule": "linear:1e-4:0.02:1000"},
    "discrete_times": {"discrete_times": 1000},
    "no_guidance": {"drop_conditioning": 0.0, "guidance": 1.0},
    "sum_cross_attention": {"cross_attention": "sum"},
    "positions_sinusoid": {"positions": "sinusoid"},
    "positions_trained": {"positions": "random_phase_trained"},
    "positions_random": {"positions": "random_trained"},
    "context_from_start": {"context_positions": "from_start"},
    "onsets_only": {"ties": False, "onsets_only": True},
    "no_ties": {"ties": False},
    "velocities": {"velocity_bins": 127},
    "families": {"program_map": "midi_class"},
    "one_instrument": {"program_map": "flat"},
    "piano": {
        "context_frames": 0,
        "target_frames": 512,
        "velocity_bins": 127,
        "ties": False,
        "program_map": "flat",
        "steps": 400_000,
        "corpora": ("maestro/v3",),
    },
}


@pytest.fixture(autouse=True)
def forgetful():
    yield
    gin.clear_config()


def test_every_file_is_listed():
    assert {path.stem for path in FOLDER.glob("*")} == set(CHANGES)


@pytest.mark.parametrize("name", CHANGES)
def test_changes(name):
    usual = train.configure(["small_context.gin"], [])
    gin.clear_config()
    settings = train.configure([f"ablations/{name}.gin"], [])
    found = {
        field: getattr(part, field)
        for part, other in zip(settings, usual, strict=True)
        for field in part.__dataclass_fields__
        if getattr(part, field) != getattr(other, field)
    }
    assert found == CHANGES[name]


@pytest.mark.parametrize("path", [*sorted(FOLDER.glob("*")), *MORE], ids=lambda path: path.stem)
def test_headers_give_the_command(path):
    header = path.read_text().split("\n\n")[0]
    place = path.relative_to(Path(train.CONFIGS).parent).as_posix()
    assert f"python train.py --gin_file {place} " in header
    assert "# Reproduces:" in header
    assert "# Hardware:" in header


# Dropout takes longest to compile.
NETWORK = [*(line for line in tiny.NETWORK_GIN.splitlines() if line), "DROPOUT = 0.0"]


@pytest.fixture(scope="module")
def examples():
    network = train.configure(["small_context.gin"], NETWORK).network
    config, mesh = network.config(), make_mesh(jax.devices()[:1])
    read = jax.jit(lambda batch: read_examples(batch, config, mesh))
    return read(tiny.batch(4, network=network))


def training_step(name):
    """Parameters of a tiny network of a config, and a step that returns the loss before it."""
    task = train.configure([f"ablations/{name}.gin"], NETWORK).make_task()
    rng = np.random.default_rng(0)
    shapes = expected_shapes(task.config).items()
    params = nest({name: 0.3 * rng.normal(size=shape).astype(np.float32) for name, shape in shapes})

    def step(params, examples):
        def loss_of(params):
            return task.loss(params, examples, jax.random.key(1))["loss"]

        loss, grads = jax.value_and_grad(loss_of)(params)
        norm = jnp.sqrt(sum((grad**2).sum() for grad in jax.tree.leaves(grads)))
        return loss, jax.tree.map(lambda array, grad: array - 0.01 * grad / norm, params, grads)

    return params, step


@pytest.mark.parametrize("name", CHANGES)
def test_a_step_can_be_traced(name, examples):
    params, step = training_step(name)
    loss, after = jax.eval_shape(step, params, examples)
    assert loss.shape == ()
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, after)


@pytest.mark.parametrize("name", ["predict_x0_and_eps", "positions_trained"])
def test_a_step_lowers_the_loss(name, examples):
    params, step = training_step(name)
    step = jax.jit(step)
    before, params = step(params, examples)
    after, _ = step(params, examples)
    assert after < before
