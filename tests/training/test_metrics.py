import json
import logging

import jax.numpy as jnp
import numpy as np
import pytest

from spectrodiff.audio.pictures import write_spectrogram
from spectrodiff.training import metrics
from spectrodiff.training.metrics import (
    DivergedError,
    MetricsWriter,
    PendingMetrics,
    Speedometer,
)
from tests.support.tensorboard import read_events


def test_means_over_the_steps_since_the_last_report():
    pending = PendingMetrics()
    for step, loss in enumerate([1.0, 2.0, 6.0], start=1):
        pending.add(step, {"loss": jnp.float32(loss)})
    pending.check()
    assert pending.take() == {"loss": 3.0}
    assert pending.take() == {}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_step_that_is_not_finite_is_named(bad):
    pending = PendingMetrics()
    for step in range(1, 8):
        norm = bad if step in (5, 6) else 1.0
        pending.add(step, {"loss": jnp.float32(1.0), "grad_norm": jnp.float32(norm)})
    with pytest.raises(DivergedError, match=f"step 5: expected a finite grad_norm, got {bad}"):
        pending.check()


def test_rows_after_the_restored_step_are_removed(tmp_path):
    with MetricsWriter(tmp_path, 0) as writer:
        for step in (1, 2, 3):
            writer.scalars(step, {"loss": step / 2})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')  # killed here
    with MetricsWriter(tmp_path, 2) as writer:
        writer.scalars(3, {"loss": 9.0})
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": 1.0},
        {"step": 3, "loss": 9.0},
    ]


def test_tensorboard_gets_scalars_pictures_and_audio(tmp_path):
    picture = tmp_path / "a.png"
    write_spectrogram(picture, np.zeros((20, 128), np.float32))
    with MetricsWriter(tmp_path, 0) as writer:
        writer.scalars(7, {"loss": 0.25})
        writer.picture(7, "preview", picture)
        writer.audio(7, "preview", np.zeros(320, np.float32))
    (file,) = (tmp_path / "tensorboard").iterdir()
    values = [value for event in read_events(file) for value in event.summary.value]
    by_kind = {value.WhichOneof("value"): value for value in values}
    assert by_kind["simple_value"].simple_value == 0.25
    assert by_kind["image"].image.encoded_image_string.startswith(b"\x89PNG")
    assert by_kind["audio"].audio.sample_rate == 16_000


def test_a_disabled_writer_writes_nothing(tmp_path):
    with MetricsWriter(tmp_path, 0, enabled=False) as writer:
        writer.scalars(1, {"loss": 1.0})
        writer.audio(1, "a", np.zeros(8, np.float32))
    assert not list(tmp_path.iterdir())


def test_speed_and_time_left(monkeypatch, caplog):
    now = [100.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now[0])
    speed = Speedometer(10, 110, 4, segment_seconds=5.0, enabled=True)
    with speed.paused():
        now[0] += 1000.0
    now[0] += 8.0
    with caplog.at_level(logging.INFO, "spectrodiff"):
        values = speed.report(30, {"loss": 0.5})
    # 20 steps of 4 examples in 8 s; 30 steps of 4 examples of 5 s; 80 steps at 2.5 per second.
    wanted = {"loss": 0.5, "examples_per_second": 10.0, "audio_hours": 600 / 3600}
    assert values == pytest.approx(wanted)
    assert caplog.messages == [
        "step 30 of 110: loss 0.5000, 10 examples/s, 0.167 h of audio, 0:00:32 left"
    ]
