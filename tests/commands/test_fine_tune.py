"""Fine-tuning by the train command: the settings of the network are those of a model."""

import dataclasses

import gin
import pytest

from spectrodiff.checkpoints.layouts.store import save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.commands import train
from spectrodiff.commands.prepare import main as prepare
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.models.definition import init_params
from spectrodiff.models.denoiser import Denoiser
from spectrodiff.music.tokenization import Tokenization
from tests.support import tiny
from tests.support.corpora import write_notes, write_tone


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with recordings of a harpsichord, and a student of two steps without one."""
    home = tmp_path_factory.mktemp("home")
    for number in range(2):
        write_tone(home / "pairs" / f"{number}.wav", 1.5, hertz=220 * (number + 1))
        notes = [(0.1 * i, 0.1 * i + 0.09, 40 + 7 * number + i) for i in range(12)]
        write_notes(home / "pairs" / f"{number}.mid", *notes, program=6)
    prepare(["pairs", "--source", str(home / "pairs"), "--data_dir", str(home / "data")])
    tokenization = Tokenization(programs=(0, 73), drums=(), trim_overlaps=True)
    config = dataclasses.replace(tiny.NETWORK.config(tokenization), mlp_width=24)
    sampling = Sampling(sampler="ddim", steps=2, guidance=1.0)
    params = init_params(Denoiser, config, 0)
    model = Checkpoint(config, params, "v", "cosine", tokenization, sampling)
    save_model(model, home / "model", "float32")
    yield home
    gin.clear_config()


def test_an_instrument_that_the_model_does_not_know(home):
    """The network's settings are the model's by then; otherwise it would be another network."""
    flags = ["--gin_file", "fine_tune.gin", "--data_dir", home / "data", "--run_dir", home / "own"]
    flags += ["--init_from", home / "model"]
    with pytest.raises(ConfigError) as refused:
        train.main([*map(str, flags)])
    expected = "Tokenization.programs: expected the instruments of pairs/own, harpsichord among"
    assert str(refused.value).startswith(expected)
    assert "or set (0, 4, 73), got (0, 73)" in str(refused.value)
    assert not (home / "own").exists()
