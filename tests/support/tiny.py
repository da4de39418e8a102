"""The smallest things that can be trained, for tests."""

import jax
import numpy as np

from spectrodiff.core.parallel import make_mesh, replicated, shardings_of, to_devices
from spectrodiff.training.optimizers import learning_rate, make_optimizer
from spectrodiff.training.settings import Data, Network, Optimization, Training
from spectrodiff.training.start import initial_params
from spectrodiff.training.state import Placement, place_state
from spectrodiff.training.step import make_train_step
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks.denoise import Diffusion

NETWORK = Network(
    size="tiny",
    width=32,
    heads=2,
    head_width=8,
    mlp_width=48,
    encoder_layers=1,
    decoder_layers=1,
    note_tokens=64,
    target_frames=8,
    context_frames=8,
    dropout=0.0,  # whose compilation takes longest; tests that need it say so
)
# Another, in the words of a config, for programs.
NETWORK_GIN = """
Network.size = 'tiny'
Network.width = 16
Network.heads = 2
Network.head_width = 8
Network.mlp_width = 16
Network.encoder_layers = 1
Network.decoder_layers = 1
Network.note_tokens = 64
Network.target_frames = 16
Network.context_frames = 16
"""
# Environment of programs: compilation takes most of their time, and nothing depends on how well it
# optimizes.
QUICK_TO_COMPILE = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
HOP = 320
TRAINING, OPTIMIZATION, DIFFUSION = Training(batch_size=8), Optimization(), Diffusion()


def make_task(network=NETWORK, task=DIFFUSION, training=TRAINING, **settings):
    """The task of a run that is never written to a folder."""
    data = Data(corpora=("none",))
    return RunSettings(network, task, OPTIMIZATION, training, data, **settings).make_task()


def batch(size, *, seed=0, network=NETWORK):
    """Examples with different numbers of notes and context frames."""
    rng, config = np.random.default_rng(seed), network.config()
    tokens = np.zeros((size, 24), np.int32)
    for row in tokens:
        count = rng.integers(4, 24)
        row[:count] = rng.integers(3, 1000, count)
    samples = (config.context_frames + config.target_frames + 16) * HOP
    return {
        "tokens": tokens,
        "audio": rng.integers(-8000, 8000, (size, samples), np.int16),
        "context_frames": rng.integers(0, config.context_frames + 1, size).astype(np.int32),
    }


class Trainer:
    """A state and what moves it, on some devices."""

    def __init__(
        self,
        *,
        devices=1,
        network=NETWORK,
        training=TRAINING,
        optimization=OPTIMIZATION,
        diffusion=DIFFUSION,
        task=None,
        params=None,
    ):
        self.mesh = make_mesh(jax.devices()[:devices])
        self.task = task or make_task(network, diffusion, training)
        self.rate = learning_rate(optimization, training.steps)
        self.optimizer = make_optimizer(optimization, self.rate)
        self.layout = Placement(
            self.mesh, split=training.shard_parameters, ema=optimization.ema_decay is not None
        )
        params = initial_params(self.task, training.seed) if params is None else params
        self.state = place_state(params, self.optimizer, self.layout)
        self.shardings = shardings_of(self.state)
        self.frozen = jax.device_put(self.task.frozen, replicated(self.mesh))
        self.step = make_train_step(
            self.task, self.optimizer, self.mesh, self.shardings, training, optimization
        )

    def take(self, examples):
        """One step; returns its metrics."""
        batch = to_devices(examples, self.mesh)
        self.state, metrics = self.step(self.state, batch, self.frozen)
        return {name: float(value) for name, value in metrics.items()}

    def host(self):
        return jax.tree.map(np.asarray, self.state)


def assert_trees(actual, wanted, **tolerance):
    """Equal trees, to the bit unless a tolerance is given."""
    assert jax.tree.structure(actual) == jax.tree.structure(wanted)
    compare = np.testing.assert_allclose if tolerance else np.testing.assert_array_equal
    for ours, theirs in zip(jax.tree.leaves(actual), jax.tree.leaves(wanted), strict=True):
        compare(np.asarray(ours), np.asarray(theirs), **tolerance)
