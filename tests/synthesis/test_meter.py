from spectrodiff.synthesis import meter
from spectrodiff.synthesis.meter import Meter


def test_speed_does_not_count_the_first_batch(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(meter.time, "perf_counter", lambda: now[0])
    shown = []
    with Meter(6, steps=10, segment_seconds=5.0, enabled=False) as progress:
        monkeypatch.setattr(progress._progress, "advance", lambda _, note: shown.append(note))
        for batch_seconds in (60.0, 4.0, 4.0):  # two songs in a batch
            progress.steps_done(6)
            progress.steps_done(4)
            now[0] += batch_seconds
            progress.segment_done()
            progress.segment_done()
    # Two segments of 5 s in 4 s, then four in 8 s; after half of a batch, one is not yet counted.
    assert shown == ["", "", "1.25 s of audio per s", "2.50 s of audio per s",
                     "1.88 s of audio per s", "2.50 s of audio per s"]  # fmt: skip


def test_single_segments(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(meter.time, "perf_counter", lambda: now[0])
    shown = []
    with Meter(2, steps=1, segment_seconds=5.0, enabled=False) as progress:
        monkeypatch.setattr(progress._progress, "advance", lambda _, note: shown.append(note))
        for _ in range(2):
            progress.steps_done(1)
            now[0] += 2.0
            progress.segment_done()
    assert shown == ["", "2.50 s of audio per s"]
