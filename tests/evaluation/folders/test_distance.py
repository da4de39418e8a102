"""FAD of folders against NumPy's covariances and SciPy's matrix root."""

import numpy as np
import pytest
import scipy.linalg

from spectrodiff.audio.files import write_audio
from spectrodiff.core.errors import AudioError, ConfigError, OutputError
from spectrodiff.evaluation.folders import distance as module
from spectrodiff.evaluation.folders.distance import STORED, Side, folder_distance

DIMS = 4


class Rows:
    """Embedding whose vectors are tenths of seconds, reduced to their first samples."""

    name, sample_rate = "rows", 8_000

    def __init__(self):
        self.calls = 0

    def __call__(self, audio):
        self.calls += 1
        whole = audio[: len(audio) // 800 * 800]
        return whole.reshape(-1, 800)[:, :DIMS]


def rows_of(audio):
    """Frames of a recording of less than a second count with the zeros at its end."""
    padded = np.pad(audio, (0, max(8_000 - len(audio), 0)))
    return np.stack([padded[at : at + DIMS] for at in range(0, len(padded) - 799, 800)])


def frechet(a, b):
    """The definition, with covariances that are divided by N - 1."""
    s, t = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = scipy.linalg.sqrtm(s @ t).real
    return np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2) + np.trace(s + t - 2 * root)


def write(folder, seconds, scale=0.1, seed=0):
    """Writes noise in 16 bits, and returns it as it is read."""
    rng = np.random.default_rng(seed)
    audio = []
    for number, length in enumerate(seconds):
        samples = np.round(np.clip(rng.normal(0, scale, int(length * 8_000)), -1, 1) * 32_767)
        folder.mkdir(parents=True, exist_ok=True)
        write_audio(folder / f"s{number}.wav", samples / 32_768, 8_000)
        audio.append(samples / 32_768)
    return audio


@pytest.fixture
def folders(tmp_path):
    a = write(tmp_path / "a", [3, 0.5, 2.05])
    b = write(tmp_path / "b", [2, 4], scale=0.2, seed=1)
    return tmp_path, [rows_of(x) for x in a], [rows_of(x) for x in b]


def test_distance_of_two_folders(folders):
    root, ours, theirs = folders
    found = folder_distance(root / "a", root / "b", Rows(), per_file=True)
    target = np.concatenate(theirs)
    assert found.embedding == "rows"
    assert found.distance == pytest.approx(frechet(np.concatenate(ours), target), rel=1e-3)
    assert found.evaluated == Side(3, 60)
    assert found.reference == Side(2, 60)
    assert 0 <= found.interval.low < found.distance < found.interval.high
    assert found.per_file.keys() == {"s0", "s1", "s2"}
    for name, frames in zip(found.per_file, ours, strict=True):
        assert found.per_file[name] == pytest.approx(frechet(frames, target), rel=1e-3)
    same = folder_distance(root / "b", root / "b", Rows())
    assert same.distance == pytest.approx(0, abs=1e-9)


def test_extrapolation_of_folders(tmp_path):
    """Means differ by 0.15 on each of 48 axes; the rest of the distance is that of few frames."""
    rng, true = np.random.default_rng(0), 48 * 0.15**2
    for side, shift in (("x", 0.15), ("y", 0.0)):
        (tmp_path / side).mkdir()
        for number in range(5):
            np.save(tmp_path / side / f"{number}.npy", shift + rng.normal(size=(150, 48)))
    found = folder_distance(tmp_path / "x", tmp_path / "y", replicates=0)
    assert found.extrapolated == pytest.approx(true, abs=0.25 * (found.distance - true))
    assert found.interval is None
    same = folder_distance(tmp_path / "x", tmp_path / "x", replicates=0)
    assert same.extrapolated == pytest.approx(0, abs=1e-9)


def test_files_share_groups_and_the_distance_stays(folders, monkeypatch):
    root, *_ = folders
    every = folder_distance(root / "a", root / "b", Rows())
    monkeypatch.setattr(module, "MAX_GROUPS", 2)
    grouped = folder_distance(root / "a", root / "b", Rows())
    assert grouped.distance == pytest.approx(every.distance, rel=1e-9)
    assert grouped.evaluated == every.evaluated
    assert grouped.interval != every.interval


def test_audio_of_other_rates_and_channels_is_converted(tmp_path):
    import soundfile

    time = np.arange(24_000) / 24_000
    tone = 0.5 * np.sin(2 * np.pi * 300 * time)
    for name, channels in (("a", [tone, tone]), ("b", [1.5 * tone, 0.5 * tone])):
        (tmp_path / name).mkdir()
        soundfile.write(tmp_path / name / "t.wav", np.stack(channels, axis=1), 24_000, "FLOAT")

    class Level:
        name, sample_rate = "level", 8_000

        def __call__(self, audio):
            assert len(audio) == 8_000
            return np.array([[np.sqrt(np.mean(audio[1000:7000] ** 2))]])

    # The means of the channels are equal, so the levels are.
    assert folder_distance(tmp_path / "a", tmp_path / "b", Level()).distance < 1e-8
    (tmp_path / "c").mkdir()
    soundfile.write(tmp_path / "c/t.wav", np.zeros(24_000), 24_000, "FLOAT")
    found = folder_distance(tmp_path / "a", tmp_path / "c", Level())
    assert found.distance == pytest.approx(0.5**2 / 2, rel=1e-2)
    assert found.interval is None


def test_embeddings_are_cached_by_contents(folders):
    root, *_ = folders
    embedding = Rows()
    first = folder_distance(root / "a", root / "b", embedding, cache=root / "cache")
    assert embedding.calls == 5
    (root / "a/s0.wav").rename(root / "a/renamed.wav")
    again = folder_distance(root / "a", root / "b", embedding, cache=root / "cache")
    assert embedding.calls == 5
    assert again.distance == pytest.approx(first.distance, rel=1e-9)
    write(root / "a", [1], seed=7)
    folder_distance(root / "a", root / "b", embedding, cache=root / "cache")
    assert embedding.calls == 6
    folder_distance(root / "a", root / "b", embedding, cache=root / "cache", checksum="other")
    assert embedding.calls == 12
    assert len(list((root / "cache/rows").iterdir())) == 6
    # A cache that cannot be written to is found before anything is computed.
    with pytest.raises(OutputError, match=r"s1\.wav"):
        folder_distance(root / "a", root / "b", embedding, cache=root / "a/s1.wav")
    assert embedding.calls == 12


def test_stored_embeddings_and_statistics(folders):
    root, ours, theirs = folders
    for side, arrays in (("x", ours), ("y", theirs)):
        (root / side).mkdir()
        for number, frames in enumerate(arrays):
            np.save(root / side / f"{number}.npy", frames.astype(np.float32))
    expected = frechet(np.concatenate(ours), np.concatenate(theirs))
    stored = folder_distance(root / "x", root / "y")
    assert stored.embedding == STORED
    assert stored.distance == pytest.approx(expected, rel=1e-5)
    target = np.concatenate(theirs)
    np.savez(root / "y.npz", mu=target.mean(axis=0), cov=np.cov(target, rowvar=False))
    found = folder_distance(root / "x", root / "y.npz")
    assert found.distance == pytest.approx(expected, rel=1e-5)
    assert found.reference == Side(None, None)
    assert found.interval.low < found.distance < found.interval.high
    backwards = folder_distance(root / "y.npz", root / "x", replicates=10)
    assert backwards.distance == pytest.approx(expected, rel=1e-5)
    assert (backwards.interval, backwards.extrapolated) == (None, None)
    mixed = folder_distance(root / "a", root / "y", Rows())
    assert mixed.distance == pytest.approx(expected, rel=1e-3)


def test_damaged_files(folders, caplog):
    root, *_ = folders
    embedding = Rows()
    (root / "a/s9.wav").write_bytes(b"nonsense")
    with pytest.raises(AudioError, match=r"a/s9\.wav"):
        folder_distance(root / "a", root / "b", embedding)
    assert embedding.calls == 0  # said before any work
    found = folder_distance(root / "a", root / "b", embedding, skip_damaged=True)
    assert found.evaluated.files == 3
    assert len(found.damaged) == 1
    assert "s9.wav" in found.damaged[0]
    assert "left out" in caplog.text
    for path in (root / "a").iterdir():
        path.write_bytes(b"nonsense")
    with pytest.raises(AudioError, match="expected a file that can be read, got none"):
        folder_distance(root / "a", root / "b", embedding, skip_damaged=True)


def test_what_does_not_fit(folders):
    root, *_ = folders
    with pytest.raises(ConfigError, match=r"embedding: expected one, since .*a holds audio"):
        folder_distance(root / "a", root / "b")
    (root / "x").mkdir()
    np.save(root / "x/0.npy", np.zeros((5, 3), np.float32))
    with pytest.raises(ConfigError, match="expected none, since neither side is audio, got rows"):
        folder_distance(root / "x", root / "x", Rows())
    with pytest.raises(
        AudioError, match=r"expected vectors of \d dimensions, as on the other side, got \d"
    ):
        folder_distance(root / "a", root / "x", Rows())
