import dataclasses

import numpy as np
import pytest

from spectrodiff.core.errors import CorpusError
from spectrodiff.data.loading.examples import ExampleFormat
from spectrodiff.data.recordings import Recording
from spectrodiff.training.evaluation import Evaluator, choose_examples, example_seeds
from spectrodiff.training.settings import Training
from tests.support import tiny
from tests.support.corpora import table

# With matrices that are large enough to be split over devices.
WIDE = dataclasses.replace(tiny.NETWORK, mlp_width=128)
FORMAT = ExampleFormat(context_frames=8, target_frames=8, max_tokens=64)


def recording(seed, frames):
    rng = np.random.default_rng(seed)
    audio = rng.integers(-9000, 9000, frames * 320, np.int16)
    notes = dataclasses.replace(table((0.01, 0.1, 60 + seed)), total_seconds=frames / 50)
    return Recording(str(seed), audio, notes)


def test_examples_are_spread_over_corpora_and_recordings():
    long, short = [recording(n, 40) for n in range(4)], [recording(9, 16)]
    # Three examples of each corpus: those of recordings 0, 1 and 2 of four, and the three segments
    # of the one recording of the other corpus (17 frames; the last segment starts at frame 16).
    examples = choose_examples([long, short], FORMAT, 6)
    starts = [long[0], long[1], long[2], short[0], short[0], short[0]]
    assert len(examples["audio"]) == 6
    for row, (source, frame) in enumerate(zip(starts, [0, 0, 0, 0, 8, 16], strict=True)):
        padded = np.pad(source.audio, (8 * 320, 40 * 320))
        wanted = padded[frame * 320 :][: len(examples["audio"][row])]
        np.testing.assert_array_equal(examples["audio"][row], wanted)
    assert list(examples["context_frames"]) == [0, 0, 0, 0, 8, 8]
    with pytest.raises(CorpusError, match="expected recordings, got none"):
        choose_examples([[]], FORMAT, 4)


def test_scores_do_not_depend_on_batches_or_devices():
    examples = tiny.batch(6)
    found = []
    for devices, batch_size, split in ((1, 6, False), (1, 4, False), (8, 8, True)):
        training = Training(batch_size=8, shard_parameters=split)
        trainer = tiny.Trainer(devices=devices, training=training, network=WIDE)
        evaluate = Evaluator(
            trainer.task,
            examples,
            batch_size=batch_size,
            mesh=trainer.mesh,
            shardings=trainer.shardings,
        )
        found.append(evaluate(trainer.state.params))
        assert evaluate(trainer.state.params) == found[-1]
    assert {"loss", "notes_gap", "loss_t0.062"} <= found[0].keys()
    for scores in found[1:]:
        assert scores == pytest.approx(found[0], rel=1e-5, abs=1e-5)


def test_seeds_depend_on_the_content_alone():
    examples = tiny.batch(3)
    wider = {**examples, "tokens": np.pad(examples["tokens"], [(0, 0), (0, 9)])}
    np.testing.assert_array_equal(example_seeds(examples), example_seeds(wider))
    other = {**examples, "audio": examples["audio"].copy()}
    other["audio"][1, 7] += 1
    np.testing.assert_array_equal(
        example_seeds(examples) == example_seeds(other), [True, False, True]
    )
