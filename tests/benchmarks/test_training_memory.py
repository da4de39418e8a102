"""The count of the memory of training, at tiny sizes."""

import dataclasses
import json
import sys
from pathlib import Path

import jax.numpy as jnp
import pytest

from spectrodiff.models.config import SIZES

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TINY = dataclasses.replace(SIZES["tiny"], dropout=0.0)  # masks would have to be counted, too


@pytest.fixture(scope="module")
def training_memory():
    """Imports the benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import training_memory

        yield training_memory
    del sys.modules["training_memory"]


@pytest.mark.parametrize(("dtype", "item_bytes"), [(jnp.float32, 4), (jnp.bfloat16, 2)])
def test_an_encoder_layer_by_hand(training_memory, dtype, item_bytes):
    notes, width, heads, inner, hidden = 192, 64, 2, 2 * 32, 128
    # Inputs of both norms, and what they return.
    numbers = 4 * notes * width
    # Query, key, value; the output as attention keeps it, and as the matrix product after it does.
    numbers += 5 * notes * inner
    # Both inputs of the gate, and its output.
    numbers += 3 * notes * hidden
    # The logarithms of the sums are float32 in either type.
    expected = numbers * item_bytes + 4 * heads * notes

    def count(layers, *, remat=False):
        config = dataclasses.replace(TINY, context_frames=0, encoder_layers=layers)
        return training_memory.kept_bytes(config, dtype, remat, notes)

    one, two = count(1), count(2)
    assert two.example - one.example == expected
    # The compiler converts the matrices of all layers once, and they are kept.
    matrices = 4 * width * inner + 3 * width * hidden
    assert two.shared - one.shared == (matrices * item_bytes if dtype == jnp.bfloat16 else 0)
    # With remat, the input of the layer is all that is kept.
    more = count(2, remat=True).example - count(1, remat=True).example
    assert more == notes * width * item_bytes


def test_the_table_in_the_documentation_is_of_this_code(training_memory):
    rows = [training_memory.memory("base", "bfloat16", False, notes) for notes in (400, 2048)]
    line = training_memory.batch_table(rows).splitlines()[-1]
    assert line in (BENCHMARKS.parent / "docs" / "training.md").read_text()


def test_batches_fit(training_memory):
    row = training_memory.Memory(
        "tiny", "float32", False, 64, kept=500_000_000, working=100_000_000, state=2_000_000_000
    )
    # 75 % of 24 GB less the state are 16 GB: 26 examples of 0.6 GB.
    assert row.batch(24) == 26
    assert row.batch(2) == 0


def test_tables(training_memory, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(training_memory, "NOTES", (100,))
    monkeypatch.setattr(training_memory, "PRECISIONS", {"bfloat16": jnp.bfloat16})
    path = tmp_path / "new" / "memory.json"
    monkeypatch.setattr(sys, "argv", ["", "--sizes", "tiny", "--json", str(path)])
    training_memory.main()
    printed = capsys.readouterr().out
    assert "| tiny | bfloat16 | no |" in printed
    results = json.loads(path.read_text())
    kept, again = results["steps"]
    assert kept["note_tokens"] == 128
    assert again["kept"] < kept["kept"]
    assert again["working"] == 2 * kept["working"]
    state = results["state"]["tiny"]
    # Two moments and a counter per parameter; the position tables are not trained.
    assert state["adamw"] == pytest.approx(2 * state["gradients"], abs=100)
    tables = (2048 + 256 + 256) * 64 * 4
    assert state["parameters"] - state["gradients"] == tables
    assert state["adafactor"] < 0.7 * state["adamw"]
