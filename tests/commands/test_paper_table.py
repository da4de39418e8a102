"""One command per row of the paper's table, with stand-ins for corpora and weights."""

import json

import gin
import pytest

from spectrodiff.commands import evaluate, program
from spectrodiff.report import paper
from tests.support import stand_ins
from tests.support.checkpoint_writers import golden_params, write_t5x

CORPORA = {
    "maestro": stand_ins.maestro_test,
    "slakh": stand_ins.slakh,
    "cerberus4": stand_ins.slakh,
    "guitarset": stand_ins.guitarset,
    "musicnet": stand_ins.musicnet,
    "urmp": stand_ins.urmp,
}
# The other models differ from this one in the network only, and take as long.
ROWS = {
    "base_context": ("context_concat_encodings", paper.BASE_CONTEXT),
    "ground_truth_encoded": (None, paper.ENCODED),
    "ground_truth_raw": (None, paper.RAW),
}


@pytest.fixture(scope="module")
def home(tmp_path_factory, golden):
    """Folder with the six prepared corpora and the weights of the metrics."""
    home = tmp_path_factory.mktemp("home")
    for corpus, write in CORPORA.items():
        write(home / f"{corpus}-source")
        flags = ["--source", str(home / f"{corpus}-source"), "--data_dir", str(home / "data")]
        assert program.run(program.main, ["prepare", corpus, *flags]) == 0
    stand_ins.write_weights(home / "weights", golden)
    return home


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_table(home, golden, name, monkeypatch, capsys):
    monkeypatch.setenv("SPECTRODIFF_CACHE", str(home / "cache"))
    find = evaluate.find_devices
    monkeypatch.setattr(evaluate, "find_devices", lambda kind: find(kind)[:1])
    monkeypatch.setattr(stand_ins.LOAD_TRILL, lambda source: stand_ins.Trill())
    # Random weights never end a segment by themselves.
    monkeypatch.setattr("spectrodiff.checkpoints.layouts.mt3.MAX_TOKENS", 24)
    weights = home / "weights"
    settings = [f"VGGISH = '{weights}/vggish.npz'", f"TRILL = '{weights}/trill'"]
    settings += [f"MT3 = '{weights}/mt3'", "Evaluation.steps = 1"]
    settings += ["Evaluation.inverter = 'griffin-lim'", "Evaluation.replicates = 3"]
    network, row = ROWS[name]
    flags = ["--gin_file", f"configs/paper/{name}.gin", "--data_dir", str(home / "data")]
    flags += ["--out", str(home / name)]
    if network is not None:
        run = home / f"run-{name}"
        write_t5x(run, golden_params(golden, network))
        flags += ["--model", str(run)]
    try:
        evaluate.main(flags + [word for one in settings for word in ("--gin_bindings", one)])
    finally:
        gin.clear_config()
    results = json.loads((home / name / "scores.json").read_text())
    assert (results["missing"], len(results["corpora"])) == ([], 6)
    assert results["settings"]["protocol"] == "released"
    ours, theirs, differences = first_rows(capsys.readouterr().out)
    published = list(paper.MEAN[row].values())
    assert theirs[: len(published)] == published
    for values in zip(ours, theirs, differences, strict=True):
        # Rounded, each by itself.
        assert values[2] == pytest.approx(values[0] - values[1], abs=0.011)
    if row == paper.RAW:
        assert ours[:4] == [0, 0, 0, 0]


def first_rows(markdown):
    """Numbers of the first row of a report's first table, of the paper's row and of differences."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")][2:5]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    names = [row[0] for row in cells]
    assert names[1].startswith("Paper")
    assert names[2] == "Difference"
    return [[float(cell.replace("−", "-")) for cell in row[1:] if cell != "–"] for row in cells]
