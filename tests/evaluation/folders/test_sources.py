import numpy as np
import pytest

from spectrodiff.core.errors import AudioError
from spectrodiff.evaluation.folders.sources import (
    is_audio,
    open_source,
    read_statistics,
    read_vectors,
)
from tests.support.limits import Limited


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def test_audio_comes_first_and_names_tell_files_apart(tmp_path):
    touch(tmp_path, "b.WAV", "a/x.mp3", "a/y.flac", "a/y.wav", "c.caf")
    touch(tmp_path, "z.npy", "notes.txt", ".hidden.wav")
    source = open_source(tmp_path)
    assert not source.embedded
    assert list(source.files) == ["a/x", "a/y.flac", "a/y.wav", "b", "c"]
    assert source.files["b"] == tmp_path / "b.WAV"
    assert is_audio(tmp_path)


def test_embeddings(tmp_path):
    touch(tmp_path, "z.npy", "a/b.npy", "readme.md")
    source = open_source(tmp_path)
    assert source.embedded
    assert list(source.files) == ["a/b", "z"]
    assert not is_audio(tmp_path)
    assert not is_audio(tmp_path / "nowhere")


def test_copies_that_fadtk_leaves_are_not_counted(tmp_path):
    touch(tmp_path, "a.wav", "convert/48000/a.wav", "embeddings/clap/a.npy", "x/convert/b.wav")
    assert list(open_source(tmp_path).files) == ["a", "x/convert/b"]


def test_nothing_to_compare(tmp_path):
    touch(tmp_path, "folder/notes.txt")
    for name, got in (
        ("folder", "a folder with neither"),
        ("nowhere", "nothing there"),
        ("folder/notes.txt", "another file"),
    ):
        with pytest.raises(AudioError, match=f"{name}: expected a folder of audio .*, got {got}"):
            open_source(tmp_path / name)


def test_stored_vectors(tmp_path):
    path = tmp_path / "a.npy"
    vectors = np.arange(6, dtype=np.float16).reshape(2, 3)
    np.save(path, vectors)
    found = read_vectors(path)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, vectors)
    for wrong, message in (
        (np.zeros(3), r"got float64 of shape \(3,\)"),
        (np.zeros((0, 3)), r"of shape \(0, 3\)"),
        (np.zeros((2, 3), int), "got int64"),
        (np.array([[np.nan, 1]]), "NaN or infinity"),
        (np.array([[{}]]), "a stored array"),  # a pickle, which could do anything
    ):
        np.save(path, wrong)
        with pytest.raises(AudioError, match=f"a.npy: expected .*{message}"):
            read_vectors(path)


def test_stored_statistics(tmp_path):
    path = tmp_path / "a.npz"
    mean, covariance = np.array([1.0, 2.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    np.savez(path, mu=mean, cov=covariance.astype(np.float16))
    found = open_source(path)
    np.testing.assert_array_equal(found.mean, mean)
    np.testing.assert_array_equal(found.covariance, covariance)
    # Of several embeddings, the one that is asked for.
    arrays = {"MERT-v1-95M-4.mu": mean, "MERT-v1-95M-4.cov": covariance}
    np.savez(path, **arrays)
    np.testing.assert_array_equal(read_statistics(path, "clap").mean, mean)
    np.savez(path, **arrays, **{"clap.mu": mean + 1, "clap.cov": covariance})
    np.testing.assert_array_equal(read_statistics(path, "clap").mean, mean + 1)
    with pytest.raises(AudioError, match=r"mu and cov of one embedding, got MERT-v1-95M-4\.mu, "):
        read_statistics(path)
    # Of more than 1024 dimensions only variances count.
    np.savez(path, mu=np.zeros(1025), cov=np.diag(np.arange(1025.0)))
    np.testing.assert_array_equal(read_statistics(path).covariance, np.arange(1025.0))


def test_statistics_of_more_dimensions_than_any(tmp_path):
    # Small files, since zeros are.
    path = tmp_path / "a.npz"
    np.savez_compressed(path, mu=np.zeros(5_000), cov=np.zeros((5_000, 5_000), np.float16))
    with (
        Limited(read_statistics.__module__, memory_bytes=40 << 20) as child,
        pytest.raises(AudioError, match="at most 4096 dims"),
    ):
        child.run(read_statistics, path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(2)}, "got a"),
        ({"mu": np.zeros(5_000), "cov": np.zeros(())}, r"shapes \(5000,\) and \(\)"),
        ({f"{i}.mu": np.zeros(2) for i in range(999)}, r"of one embedding, got 0\.mu.{1,200}$"),
        ({"mu": np.zeros(2)}, r"shapes \(2,\) and \(\)"),
        ({"mu": np.zeros(2), "cov": np.zeros((3, 3))}, r"shapes \(2,\) and \(3, 3\)"),
        ({"mu": np.full(2, np.inf), "cov": np.eye(2)}, "NaN or infinity"),
        ({"mu": np.zeros(2), "cov": np.array([[1.0, 1.0], [0.0, 1.0]])}, "symmetric"),
    ],
)
def test_damaged_statistics(tmp_path, arrays, message):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(AudioError, match=rf"a\.npz: .*{message}"):
        read_statistics(path)
    path.write_bytes(b"nonsense")
    with pytest.raises(AudioError, match="a file of statistics"):
        read_statistics(path)
