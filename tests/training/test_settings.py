import dataclasses

import numpy as np
import pytest

from spectrodiff.core.errors import ConfigError
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.training.settings import Data, Network, Optimization, Training
from spectrodiff.training.tasks.denoise import Diffusion


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Training(steps="many"), r"Training.steps: expected a whole number, got 'many'"),
        (lambda: Training(steps=True), r"Training.steps: expected a whole number, got True"),
        (lambda: Training(steps=2.0), r"Training.steps: expected a whole number, got 2.0"),
        (lambda: Training(steps=0), r"Training.steps: expected a whole number >= 1, got 0"),
        (lambda: Training(remat=1), r"Training.remat: expected True or False, got 1"),
        (
            lambda: Training(precision="float16"),
            r"Training.precision: expected one of 'float32', 'bfloat16', got 'float16'",
        ),
        (
            lambda: Training(loggers=("wand",)),
            r"Training.loggers: expected a list, each one of 'tensorboard', 'wandb', 'trackio'",
        ),
        (
            lambda: Training(loggers=("wandb", "wandb")),
            r"Training.loggers: expected each logger once, got \('wandb', 'wandb'\)",
        ),
        (lambda: Training(keep_every="x"), r"Training.keep_every: expected a whole number or None"),
        (lambda: Training(keep_every=0), r"Training.keep_every: expected .*>= 1.*, got 0"),
        (lambda: Optimization(learning_rate="fast"), r"learning_rate: expected a number, got 'fas"),
        (lambda: Optimization(learning_rate=-1), r"learning_rate: expected a number > 0, got -1.0"),
        (lambda: Optimization(schedule="rsqrt"), r"warmup_steps: expected .* > 0 for the rsqrt"),
        (lambda: Optimization(weight_decay=0.1), r"weight_decay: expected 0 for Adafactor"),
        (lambda: Diffusion(drop_conditioning=1.0), r"expected a probability in \[0, 1\), got 1.0"),
        (
            lambda: Diffusion(prediction="noise"),
            r"expected one of 'eps', 'x0', 'v', 'x0_and_eps', got 'noise'",
        ),
        (lambda: Network(size="huge"), r"Network.size: expected one of tiny, small, base"),
        (lambda: Network(dropout=2.0).config(), r"dropout: expected a rate in \[0, 1\), got 2.0"),
        (lambda: Data(corpora="maestro"), r"Data.corpora: expected a list, each text in quotes"),
        (lambda: Data(corpora=("a", 1)), r"Data.corpora: expected a list, each text in quotes"),
        (lambda: Data(), r"Data.corpora: expected at least one corpus"),
    ],
)
def test_impossible_settings_are_refused_by_name(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_whole_numbers_and_lists_are_converted_to_the_annotated_types():
    assert type(Optimization(learning_rate=1).learning_rate) is float
    assert Data(corpora=["a", "b"], weights=[1, 2.5]).weights == (1.0, 2.5)
    assert Data(corpora=["a", "b"]).corpora == ("a", "b")
    assert Optimization(clip_norm=None).clip_norm is None


def test_numbers_of_numpy_are_numbers():
    steps = Training(steps=np.int64(7)).steps
    assert (steps, type(steps)) == (7, int)
    assert Training(remat=np.True_).remat is True
    assert Data(corpora=["a"], weights=[np.float32(0.5)]).weights == (0.5,)
    for value in (np.float64(2.0), np.True_, np.timedelta64(7, "ns")):
        with pytest.raises(ConfigError, match=r"Training.steps: expected a whole number"):
            Training(steps=value)


def test_a_network_is_a_size_with_changes():
    config = Network(size="small", context_frames=0).config(Tokenization(velocity_bins=127))
    assert (config.width, config.context_frames, config.vocabulary_size) == (512, 0, 1664)
    assert dataclasses.replace(config, vocabulary_size=1536) == dataclasses.replace(
        Network(size="small").config(), context_frames=0
    )


def test_batches_divide_over_devices_and_micro_batches():
    Training(batch_size=48, micro_batches=3).check_devices(8)
    with pytest.raises(ConfigError, match="a multiple of 8, for 8 devices, got 12"):
        Training(batch_size=12).check_devices(8)
    with pytest.raises(ConfigError, match="of 24, for 8 devices in 3 micro-batches, got 16"):
        Training(batch_size=16, micro_batches=3).check_devices(8)
