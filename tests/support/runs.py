"""Settings of small training runs."""

from spectrodiff.training.settings import Data, Optimization, Training
from spectrodiff.training.task import RunSettings
from spectrodiff.training.tasks.denoise import Diffusion
from tests.support import tiny

ADAMW_EMA = Optimization(optimizer="adamw", learning_rate=1e-2, ema_decay=0.9)


def settings(network=tiny.NETWORK, **training):
    return RunSettings(
        network,
        Diffusion(prediction="v", schedule="linear"),
        ADAMW_EMA,
        Training(**{"batch_size": 8, **training}),
        Data(corpora=("pairs/own",)),
    )
