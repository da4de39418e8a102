"""Communication and memory of compiled training steps, with copied and with split parameters.

Everything is read from compiled programs; nothing is run.
"""

import json
import math
import re

import jax
import pytest

from spectrodiff.training.settings import Network, Optimization, Training
from tests.support import tiny

# Most of the memory is parameters. Dropout, whose random numbers must not be communicated, as well.
NETWORK = Network(
    size="tiny",
    width=64,
    heads=2,
    head_width=32,
    mlp_width=1024,
    encoder_layers=2,
    decoder_layers=2,
    note_tokens=64,
    target_frames=8,
    context_frames=0,
    dropout=0.1,
)

# Two loops, one in the other, and a branch.
PROGRAM = """HloModule made_up

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%inner (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %reduced = f32[8]{0} all-reduce(%p), replica_groups={{0,1}}, to_apply=%add
}

%outer (q: f32[8]) -> f32[8] {
  %q = f32[8]{0} parameter(0)
  %half = bf16[4]{0} convert(%q)
  %whole = bf16[8]{0} all-gather(%half), dimensions={0}
  ROOT %loop = f32[8]{0} while(%q), condition=%any, body=%inner, LENGTH(5)
}

%any (r: f32[8]) -> pred[] {
  %r = f32[8]{0} parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (x: f32[8]) -> f32[8] {
  %x = f32[8]{0} parameter(0)
  %loop = f32[8]{0} while(%x), condition=%any, body=%outer, LENGTH(3)
  %part = f32[2]{0} reduce-scatter(%loop), dimensions={0}, to_apply=%add
  %moved = (f32[2]{0}, pred[3,2]{1,0}) collective-permute(%part)
  ROOT %chosen = f32[8]{0} conditional(%x, %x), branch_computations={%any, %inner}
}
"""
PROGRAM = re.sub(r"LENGTH\((\d)\)", r'backend_config={"known_trip_count":{"n":"\1"}}', PROGRAM)


def test_bytes_of_a_program_by_hand(benchmark):
    count = benchmark("counting").collective_bytes
    assert count(PROGRAM) == {
        "all-reduce": 3 * 5 * 8 * 4 + 8 * 4,
        "all-gather": 3 * 8 * 2,
        "reduce-scatter": 8 * 4,
        "collective-permute": 2 * 4 + 6,
    }
    with pytest.raises(ValueError, match="unknown length"):
        count(PROGRAM.replace('"n":"5"', ""))
    with pytest.raises(ValueError, match="all-gather-start"):
        count(PROGRAM.replace("all-gather(", "all-gather-start("))


@pytest.fixture(scope="module")
def compiled(benchmark):
    """Measures a compiled step, once for each of its settings."""
    module, rows = benchmark("collectives"), {}

    def row(devices, batch, *, split):
        if (devices, batch, split) not in rows:
            training, optimization = Training(batch_size=batch), Optimization()
            step = module.compile_step(NETWORK, training, optimization, devices, 16, split=split)
            rows[devices, batch, split] = module.measure(step, devices, split=split)
        return rows[devices, batch, split]

    return row


def parameter_bytes():
    """Bytes of the trained parameters: all of them, and those that are split."""
    shapes = jax.eval_shape(lambda: tiny.make_task(NETWORK).init_params(0))
    leaves = [
        (path[-1].key, 4 * math.prod(leaf.shape))
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
    ]
    trained = sum(size for name, size in leaves if name != "positions")
    return trained, sum(size for name, size in leaves if name in ("kernel", "embedding"))


@pytest.mark.parametrize("split", [False, True])
def test_communication_does_not_grow_with_the_batch(compiled, split):
    few, many = (compiled(8, batch, split=split).collective_bytes for batch in (8, 32))
    assert few == many
    trained, kernels = parameter_bytes()
    # Each gradient is reduced once. The rest is losses and the optimizer's means.
    assert trained <= few["all-reduce"] <= 1.01 * trained
    if not split:
        assert set(few) == {"all-reduce"}
        return
    # Parameters are gathered in the forward pass, and those of layers in the backward pass, too.
    assert set(few) == {"all-reduce", "all-gather"}
    assert kernels < few["all-gather"] <= 2.01 * kernels


def test_memory_falls_with_the_number_of_devices(compiled):
    """The number of examples per device stays the same."""
    two, eight = (compiled(devices, devices, split=True) for devices in (2, 8))
    copied = compiled(8, 8, split=False)
    trained, _ = parameter_bytes()
    assert copied.argument_bytes > trained
    # All but norm scales and the batch, less than 5 %, is divided.
    for row in (two, eight):
        whole = row.devices * row.argument_bytes
        assert copied.argument_bytes < whole < 1.05 * copied.argument_bytes
    # Gradients are split, and no pass keeps the gathered parameters of all layers.
    assert two.temporary_bytes - eight.temporary_bytes > trained / 4
    assert copied.temporary_bytes - eight.temporary_bytes > trained / 2


def test_results_are_written(benchmark, tmp_path, capsys):
    script = benchmark("collectives")
    settings = "--size tiny --layers 1 --width 32 --batch_size 2 --note_tokens 16 --devices 2"
    script.main([*settings.split(), "--out", str(tmp_path / "out")])
    results = json.loads((tmp_path / "out" / "collectives.json").read_text())
    rows = results["rows"]
    assert [(row["devices"], row["split"]) for row in rows] == [(2, False), (2, True)]
    assert set(rows[0]["collective_bytes"]) == {"all-reduce"}
    assert set(rows[1]["collective_bytes"]) == {"all-reduce", "all-gather"}
    assert rows[1]["argument_bytes"] < rows[0]["argument_bytes"]
    table = (tmp_path / "out" / "collectives.md").read_text().splitlines()
    assert table[0].startswith("tiny, layers per stack: 1, batch size: 2, note tokens: 16")
    reduced = rows[0]["collective_bytes"]["all-reduce"] / 1e6
    memory = [rows[0][f"{kind}_bytes"] / 1e6 for kind in ("argument", "temporary")]
    cells = [f"all-reduce {reduced:.1f}", *(f"{size:.1f}" for size in [*memory, sum(memory)])]
    assert table[4] == f"| 2 | copied | {' | '.join(cells)} |"
    assert table[4] in capsys.readouterr().out
