"""Training on full disks."""

import hashlib
import json
from pathlib import Path

from tests.campaigns.disks.writer import Materials, Writer, command
from tests.support import tiny

STEPS = 4
SETTINGS = f"""
{tiny.NETWORK_GIN}
Network.dropout = 0.1
Training.steps = {STEPS}
Training.batch_size = 4
Training.log_every = 1
Training.evaluate_every = 2
Training.evaluation_examples = 2
Training.previews = 0
Training.save_every = 1
Training.keep = {STEPS}
Data.corpora = ['pairs/own']
Data.workers = 0
Sampling.sampler = 'dpmpp'
Sampling.steps = 2
"""


def train(out: Path, materials: Materials) -> None:
    config = materials.home / "tiny.gin"
    if not config.exists():
        config.write_text(SETTINGS)
    command("train", "--gin_file", config, "--data_dir", materials.data, "--run_dir", out / "run")


def checkpoints(out: Path) -> dict[str, bytes]:
    """Returns checksums of the parameters of all steps.

    Raises:
        AssertionError: if the metrics have half a row.
    """
    import numpy as np

    from spectrodiff.checkpoints.resolve import open_checkpoint
    from spectrodiff.checkpoints.run_folder import steps_of
    from spectrodiff.checkpoints.tree import flatten

    run = out / "run"
    metrics = run / "metrics.jsonl"
    text = metrics.read_text() if metrics.exists() else ""
    rows = [json.loads(line)["step"] for line in text.splitlines()]
    assert rows == sorted(rows), "metrics are not in order"
    assert not text or text.endswith("\n"), "half a row"
    found = {}
    for step in steps_of(run / "checkpoints"):
        digest = hashlib.sha256()
        arrays = flatten(open_checkpoint(str(run / "checkpoints" / str(step))).params)
        for name, values in sorted(arrays.items()):
            digest.update(name.encode() + np.asarray(values).tobytes())
        found[f"step {step}"] = digest.digest()
    return found


TRAINING = {
    "train": Writer(
        train, read=checkpoints, optional=tuple(f"step {step}" for step in range(STEPS))
    )
}
