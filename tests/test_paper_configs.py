"""The files in configs/paper/ are the paper's table 1: each is built, and its header read."""

import re
from pathlib import Path

import gin
import pytest

from spectrodiff.commands import evaluate as evaluation
from spectrodiff.commands import train
from spectrodiff.diffusion.sampler import Sampler
from spectrodiff.diffusion.sampling import PAPER_SAMPLING
from spectrodiff.music.tokenization import RELEASED_TOKENIZATION, Tokenization
from spectrodiff.report import paper

FOLDER = Path(train.CONFIGS) / "paper"
ROWS = {
    "small_autoregressive": paper.SMALL_AUTOREGRESSIVE,
    "small_no_context": paper.SMALL_NO_CONTEXT,
    "small_context": paper.SMALL_CONTEXT,
    "base_context": paper.BASE_CONTEXT,
    "ground_truth_encoded": paper.ENCODED,
    "ground_truth_raw": paper.RAW,
}
MODELS = [name for name in ROWS if not name.startswith("ground_truth")]


@pytest.fixture(autouse=True)
def forgetful():
    yield
    gin.clear_config()


def evaluated(name):
    flags = evaluation.parse_flags(["--gin_file", f"paper/{name}.gin", "--out", "anywhere"])
    return evaluation.configure(flags)


def test_there_is_a_file_for_every_row():
    assert {path.stem for path in FOLDER.glob("*")} == set(ROWS)
    assert set(ROWS.values()) == set(paper.MEAN)


@pytest.mark.parametrize("name", MODELS)
def test_training_is_that_of_the_model(name):
    settings = train.configure([f"paper/{name}.gin"], [])
    # test_configs.py builds the network and the optimizer of these settings.
    ours = train.configure([f"{name}.gin"], ["Tokenization.program_map = 'full'"])
    assert settings == ours
    assert settings.tokenization == Tokenization(program_map="full")
    assert settings.data.piece_frames == 2000
    assert (settings.network.size, settings.training.task) == {
        "small_autoregressive": ("small", "autoregress"),
        "base_context": ("base", "denoise"),
    }.get(name, ("small", "denoise"))


@pytest.mark.parametrize("name", ROWS)
def test_evaluation_is_the_papers(name):
    settings = evaluated(name)
    corpora = [paper.find_corpus(*dataset.split(":")) for dataset in settings.datasets]
    assert sorted(corpus.title for corpus in corpora) == sorted(
        corpus.title for corpus in paper.CORPORA.values()
    )
    assert (settings.protocol, settings.max_minutes, settings.songs) == ("released", 10.0, None)
    assert (settings.vggish, settings.trill, settings.transcriber) == (
        "weights/vggish",
        "weights/trill",
        "weights/mt3",
    )
    rows = settings.with_model_defaults(PAPER_SAMPLING, RELEASED_TOKENIZATION).wanted_rows()
    # The report sets each beside the row of the paper that it repeats.
    assert paper.find_row(rows[0].name, f"runs/{name}", settings.title) == ROWS[name]
    if name in MODELS:
        assert [row.source for row in rows] == ["model", "encoded", "raw"]
        assert settings.program_map == "full"  # ports of the released weights bring no map
        assert Sampler(rows[0].sampler, rows[0].steps, rows[0].variance) == Sampler()
        assert rows[0].guidance == 2.0
    else:
        assert [row.source for row in rows] == [name.removeprefix("ground_truth_")]


@pytest.mark.parametrize("name", ROWS)
def test_headers_give_the_commands_and_the_numbers_to_expect(name):
    header = (FOLDER / f"{name}.gin").read_text().split("\n\n")[0]
    assert f'"{ROWS[name]}"' in header
    programs = re.findall(r"python (\w+)\.py --gin_file configs/paper/(\w+)\.gin", header)
    assert programs == [(program, name) for program in ("train", "eval")[name not in MODELS :]]
    assert "Hardware:" in header
    assert "Differs:" in header
    columns = [*paper.COLUMNS]
    means = re.search(r"means over six corpora\n# +(.*)", header)[1].split()
    assert numbers(columns, means) == paper.MEAN[ROWS[name]]
    found = re.findall(r"^# +(\w+(?: v3)?) +(\d+) ((?: +[\d.]+){5})$", header, re.MULTILINE)
    assert len(found) == 6
    for corpus, (title, songs, scores) in zip(
        sorted(paper.CORPORA.values(), key=lambda corpus: corpus.title),
        sorted(found),
        strict=True,
    ):
        assert corpus.title.rsplit(" ", 1)[0] == title
        assert corpus.songs == int(songs)
        assert numbers(columns, scores.split()) == corpus.rows[ROWS[name]]


def numbers(columns, values):
    return {
        column: float(value) for column, value in zip(columns, values, strict=False) if value != "-"
    }
