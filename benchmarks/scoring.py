"""Time of scoring on one core; FAD compared with the package `frechet_audio_distance`.

    python -m venv /tmp/fad
    /tmp/fad/bin/pip install torch scipy resampy soundfile tqdm librosa
    /tmp/fad/bin/pip install --no-deps torchlibrosa frechet_audio_distance
    python benchmarks/scoring.py --package_python /tmp/fad/bin/python

Both compute the distance from the same audio with the same random weights of VGGish, and from the
same embeddings of two hours. The package downloads its VGGish at run time; here it uses the same
layers in PyTorch, with the published front end in NumPy. It divides covariances by n - 1, we divide
by n, which explains the small difference of the distances. Both processes run on one core, in
turns; the table has the best times.
"""

import argparse
import functools
import importlib
import json
import os
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import numpy as np
from worker import Worker

SAMPLE_RATE = 16_000
SONG_SECONDS, NUM_SONGS = 30, 4
HOUR_FRAMES = 3_750  # of VGGish
CHANNELS = (64, 128, 256, 256, 512, 512)
POOLED = (0, 1, 3, 5)
ROUNDS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--package_python", help="Python with frechet_audio_distance")
    parser.add_argument("--role", choices=["ours", "package"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.role:
        serve(arguments.role, arguments.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder))
        pythons = {"ours": sys.executable, "package": arguments.package_python}
        workers = {role: worker(python, role, folder) for role, python in pythons.items() if python}
        print("| task | ours, s | package, s | ours, result | package, result |")
        print("|---|---:|---:|---:|---:|")
        minutes = 2 * NUM_SONGS * SONG_SECONDS / 60
        report(workers, "audio", f"VGGish FAD of {minutes:g} min of audio")
        report(workers, "embeddings", "FAD of the embeddings of two hours")
        workers.pop("package", None)
        report(workers, "built_in", "log-mel statistics of an hour")
        report(workers, "transcription", "transcription scores of an hour, 36,000 notes")


def report(workers: dict[str, Worker], task: str, title: str) -> None:
    answers = {role: [] for role in workers}
    for _ in range(ROUNDS):
        for role, worker in workers.items():
            answers[role].append(worker.ask(task))
    cells = []
    for key in ("seconds", "result"):
        for role in ("ours", "package"):
            best = min(answers.get(role, []), key=lambda answer: answer["seconds"], default=None)
            cells.append("" if best is None else f"{best[key]:.5g}")
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


def worker(python: str, role: str, folder: str) -> Worker:
    """Starts a process that runs `serve` with one thread."""
    command = [python, str(Path(__file__).resolve()), "--role", role, "--folder", folder]
    return Worker(command, dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))


def serve(role: str, folder: Path) -> None:
    """Prints time and result of the task that each line of input names, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    make_task = {"ours": our_task, "package": package_task}[role]
    tasks: dict[str, Callable[[], float]] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in tasks:
            tasks[name] = make_task(name, folder)
            tasks[name]()  # compiles
        start = time.perf_counter()
        result = tasks[name]()
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "result": float(result)}), flush=True)


def write_inputs(folder: Path) -> None:
    """Writes random weights with the names of TensorFlow's checkpoint, audio, and embeddings."""
    rng = np.random.default_rng(0)
    weights, inputs = {}, 1
    names = ["conv1", "conv2", "conv3/conv3_1", "conv3/conv3_2", "conv4/conv4_1", "conv4/conv4_2"]
    for name, outputs in zip(names, CHANNELS, strict=True):
        weights[name] = rng.standard_normal((3, 3, inputs, outputs), np.float32)
        weights[name] *= np.float32((2 / (9 * inputs)) ** 0.5)
        inputs = outputs
    inputs *= 6 * 4
    for name, outputs in zip(["fc1/fc1_1", "fc1/fc1_2", "fc2"], (4096, 4096, 128), strict=True):
        weights[name] = rng.standard_normal((inputs, outputs), np.float32)
        weights[name] *= np.float32((2 / inputs) ** 0.5)
        inputs = outputs
    arrays = {f"vggish/{name}/weights": values for name, values in weights.items()}
    arrays |= {
        f"vggish/{name}/biases": np.zeros(values.shape[-1], np.float32)
        for name, values in weights.items()
    }
    np.savez(folder / "vggish.npz", **arrays)
    seconds = np.arange(SONG_SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    for kind, level in (("prediction", 0.1), ("target", 0.05)):
        songs = [
            level * rng.standard_normal(len(seconds))
            + 0.1 * np.sin(2 * np.pi * 220 * (song + 1) * seconds) * np.sin(seconds)
            for song in range(NUM_SONGS)
        ]
        np.save(folder / f"{kind}_audio.npy", np.array(songs, np.float32))
        mixing = rng.standard_normal((128, 128)) / 10
        frames = rng.standard_normal((HOUR_FRAMES, 128)) @ mixing + level
        np.save(folder / f"{kind}_frames.npy", frames.astype(np.float32))


def our_task(name: str, folder: Path) -> Callable[[], float]:
    return {
        "audio": our_audio,
        "embeddings": our_embeddings,
        "built_in": our_built_in,
        "transcription": our_transcription,
    }[name](folder)


def our_audio(folder: Path) -> Callable[[], float]:
    from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance, merge_all
    from spectrodiff.evaluation.metrics.embeddings.embedding import embed, load_vggish

    vggish = load_vggish(folder / "vggish.npz")
    sides = [np.load(folder / f"{kind}_audio.npy") for kind in ("prediction", "target")]

    def run() -> float:
        return frechet_distance(
            *(merge_all(Statistics.of(embed(vggish, song, "song")) for song in s) for s in sides)
        )

    return run


def our_embeddings(folder: Path) -> Callable[[], float]:
    from spectrodiff.evaluation.metrics.distances import Statistics, frechet_distance

    sides = [np.load(folder / f"{kind}_frames.npy") for kind in ("prediction", "target")]
    return lambda: frechet_distance(*map(Statistics.of, sides))


def our_built_in(folder: Path) -> Callable[[], float]:
    from spectrodiff.evaluation.metrics.embeddings.log_mel_statistics import LogMelStatistics

    audio = np.tile(np.load(folder / "target_audio.npy").ravel(), 3600 // 30 // NUM_SONGS)
    return lambda: len(LogMelStatistics()(audio))


def our_transcription(folder: Path) -> Callable[[], float]:
    from spectrodiff.evaluation.metrics.transcription.scores import score_transcription
    from spectrodiff.music.notes import Notes

    rng = np.random.default_rng(0)

    def song(onset: np.ndarray) -> Notes:
        return Notes(
            onset_seconds=onset,
            offset_seconds=onset + rng.uniform(0.1, 1, len(onset)),
            pitch=pitch,
            velocity=np.full(len(onset), 100),
            program=program,
            is_drum=program == 0,
        )

    onset = rng.uniform(1, 600, 6_000)
    pitch, program = rng.integers(30, 100, 6_000), rng.choice([0, 24, 32, 40], 6_000)
    reference = song(onset)
    estimate = song(onset + rng.normal(0, 0.03, 6_000))

    def run() -> float:
        scores = [score_transcription(reference, estimate) for _ in range(6)]
        return scores[0]["full"].all.f1

    return run


def package_task(name: str, folder: Path) -> Callable[[], float]:
    for module in ("laion_clap", "encodec"):  # for other embeddings, but always imported
        try:
            importlib.import_module(module)
        except ImportError:
            sys.modules[module] = types.SimpleNamespace(EncodecModel=None)
    from frechet_audio_distance import FrechetAudioDistance

    package = FrechetAudioDistance.__new__(FrechetAudioDistance)
    package.model_name, package.verbose = "vggish", False

    def distance(sides: list[np.ndarray]) -> float:
        (mean, covariance), (other_mean, other) = map(package.calculate_embd_statistics, sides)
        return package.calculate_frechet_distance(mean, covariance, other_mean, other)

    if name == "embeddings":
        frames = [np.load(folder / f"{kind}_frames.npy") for kind in ("prediction", "target")]
        return lambda: distance(frames)
    package.model = torch_vggish(folder / "vggish.npz")
    sides = [list(np.load(folder / f"{kind}_audio.npy")) for kind in ("prediction", "target")]
    return lambda: distance([package.get_embeddings(side, SAMPLE_RATE) for side in sides])


def torch_vggish(path: Path):
    """Returns VGGish in PyTorch, with the function `forward` that the package calls."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    arrays = {name: torch.from_numpy(values) for name, values in np.load(path).items()}
    names = [name.removesuffix("/weights") for name in arrays if name.endswith("/weights")]
    layers: list[nn.Module] = []
    for i, name in enumerate(names[:6]):
        kernel = arrays[f"{name}/weights"].permute(3, 2, 0, 1).contiguous()
        layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        layer.weight.data, layer.bias.data = kernel, arrays[f"{name}/biases"]
        layers += [layer, nn.ReLU(inplace=True)] + [nn.MaxPool2d(2, 2)] * (i in POOLED)
    features, dense = nn.Sequential(*layers), []
    for name in names[6:]:
        kernel = arrays[f"{name}/weights"].T.contiguous()
        layer = nn.Linear(kernel.shape[1], kernel.shape[0])
        layer.weight.data, layer.bias.data = kernel, arrays[f"{name}/biases"]
        dense += [layer, nn.ReLU(inplace=True)]
    embeddings = nn.Sequential(*dense[:-1])

    def forward(audio: np.ndarray, _sample_rate: int) -> np.ndarray:
        with torch.no_grad():
            x = torch.from_numpy(numpy_patches(audio))[:, None]
            return embeddings(features(x).permute(0, 2, 3, 1).flatten(1))

    return types.SimpleNamespace(forward=forward)


def numpy_patches(audio: np.ndarray) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(audio.astype(np.float64), 400)[::160]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    mel = np.abs(np.fft.rfft(frames * window, 512)) @ mel_matrix()
    log_mel = np.log(mel + 0.01).astype(np.float32)
    return log_mel[: len(log_mel) // 96 * 96].reshape(-1, 96, 64)


@functools.cache
def mel_matrix() -> np.ndarray:
    def mel(hz):
        return 1127 * np.log(1 + np.asarray(hz) / 700)

    edges = np.linspace(mel(125), mel(7500), 66)
    bins = mel(np.linspace(0, 8000, 257))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


if __name__ == "__main__":
    main()
