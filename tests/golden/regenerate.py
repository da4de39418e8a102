"""Computes the golden files again, with the plain NumPy code of tests/support/plain.

    python -m tests.golden.regenerate                   compares all that can be computed
    python -m tests.golden.regenerate log_mel.npz       the same for some files
    python -m tests.golden.regenerate --write log_mel.npz

Inputs and weights are read from the files and stay as they are; outputs are computed from them.
README.md beside this file says where each file comes from.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.plain import diffusion, features, inverter, metrics, networks, tokens

GOLDEN = Path(__file__).parent
Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Close:
    """Largest difference from a stored array, and largest mean difference, that is accepted."""

    atol: float = 0.0
    rtol: float = 0.0
    mean: float = np.inf

    def accepts(self, ours: np.ndarray, stored: np.ndarray) -> bool:
        difference = np.abs(ours - stored)
        near = np.all(difference <= self.atol + self.rtol * np.abs(stored))
        return bool(near and np.sum(difference) <= self.mean * max(difference.size, 1))


@dataclasses.dataclass(frozen=True)
class CloseSound:
    """Log-mel features: logs to 0.005 where there is sound, magnitudes to `quiet` elsewhere."""

    quiet: float

    def accepts(self, ours: np.ndarray, stored: np.ndarray) -> bool:
        loud = stored > -6.9
        return Close(5e-3).accepts(ours[loud], stored[loud]) and Close(self.quiet).accepts(
            np.exp(ours[~loud]), np.exp(stored[~loud])
        )


@dataclasses.dataclass(frozen=True)
class CloseByTime:
    """Outputs of a denoiser for three examples, at times 0.03, 0.5 and 0.999.

    At the later ones a rounding step of the time turns the fastest sinusoids of its embedding.
    """

    def accepts(self, ours: np.ndarray, stored: np.ndarray) -> bool:
        limits = (2e-5, 5e-4, 5e-4)
        return all(
            Close(limit).accepts(a, b) for limit, a, b in zip(limits, ours, stored, strict=True)
        )


EXACT = Close()
Outputs = dict[str, tuple[Any, Any]]  # name to (value, rule of comparison)


def log_mel(stored: Arrays) -> Outputs:
    return {
        "log_mel": (features.rendering_log_mel(stored["audio"]), CloseSound(1e-4)),
        "mel_weights": (features.rendering_matrix(), Close(3e-5)),
    }


def mt3_log_mel(stored: Arrays) -> Outputs:
    with np.load(GOLDEN / "log_mel.npz") as arrays:
        frames = features.transcription_log_mel(arrays["audio"])
    return {"every_4th_frame": (frames[:, ::4], CloseSound(5e-3))}


def dataset_tokens(stored: Arrays) -> Outputs:
    outputs: Outputs = {}
    for key in stored:
        song, bins, ties, trim = (part.split("=")[-1] for part in key.split("|"))
        notes, seconds = tokens.read_song(GOLDEN / "midi" / f"{song}.mid")
        notes = tokens.trimmed(notes) if trim == "1" else notes
        rows = tokens.segment_rows(notes, seconds, bins=int(bins), ties=ties == "1")
        outputs[key] = tokens.padded(rows), EXACT
    return outputs


def rendering_tokens(stored: Arrays) -> Outputs:
    outputs: Outputs = {}
    for song in stored:
        notes, seconds = tokens.read_song(GOLDEN / "midi" / f"{song}.mid")
        notes = [tokens.slakh_program(note) for note in notes]
        rows = tokens.segment_rows(notes, seconds, bins=1, ties=True)
        outputs[song] = tokens.padded(rows, 2048), EXACT
    return outputs


def decoded_notes(stored: dict) -> dict:
    cases = {}
    for key, case in stored.items():
        decoder = tokens.Decoder()
        decoder.song(case["rows"])
        cases[key] = {
            "rows": case["rows"],
            "notes": [list(note) for note in decoder.notes],
            "invalid": decoder.invalid,
            "dropped": decoder.dropped,
        }
    return cases


def transcription_scores(stored: list) -> list:
    return [
        {**case, "scores": metrics.transcription_scores(case["ref"], case["est"])}
        for case in stored
    ]


def embedding_metrics(stored: Arrays) -> Outputs:
    pair = lambda name: (stored[f"{name}_a"], stored[f"{name}_b"])  # noqa: E731
    outputs: Outputs = {}
    for name in ("small", "vggish_like"):
        frechet = metrics.frechet_distance(*pair(name))
        outputs[f"{name}_frechet"] = frechet, Close(rtol=1e-9)
        distance = metrics.mean_distance(*pair(name))
        outputs[f"{name}_mean_distance"] = distance, Close(rtol=1e-12)
    frechet = metrics.frechet_distance(*pair("wide"), diagonal=True)
    outputs["wide_frechet_diagonal"] = frechet, Close(rtol=1e-9)
    return outputs


def denoiser(stored: Arrays) -> Outputs:
    decoder, sources = networks.Params(stored)["decoder"], networks.sources_of(stored)
    noisy = stored["noisy"].astype(np.float64)
    outputs: Outputs = {
        "output": (networks.denoise(decoder, noisy, stored["time"], sources), CloseByTime())
    }
    if "context" in stored:
        alone = networks.denoise(decoder, noisy, stored["time"], [])
        outputs["output_unconditional"] = alone, CloseByTime()
        notes, context = networks.encodings(stored)
        # Encodings of padding are never used, and other programs leave other numbers there.
        for name, encoded, valid in (
            ("tokens_encoded", notes, stored["tokens"] > 0),
            ("context_encoded", context, stored["context_mask"]),
        ):
            outputs[name] = np.where(valid[..., None], encoded, stored[name]), Close(1e-5)
    return outputs


def autoregressive(stored: Arrays) -> Outputs:
    targets = stored["targets"].astype(np.float64)
    forced = networks.predict_frames(stored, targets)
    frames = np.zeros_like(targets)
    for place in range(frames.shape[1]):
        frames[:, place] = networks.predict_frames(stored, frames)[:, place]
    return {
        "output_teacher_forced": (forced, Close(2e-5)),
        "output_free_running": (frames, Close(5e-5)),
        "loss_sum": (np.square(forced - targets).mean(axis=2).sum(), Close(rtol=1e-5)),
    }


def mt3(stored: Arrays) -> Outputs:
    # The reference masks padding of the targets, where plain code goes on.
    valid = stored["targets"] > 0
    logits = networks.transcribe(stored, stored["targets"])
    greedy = np.zeros_like(stored["greedy"])
    for place in range(greedy.shape[1]):
        greedy[:, place] = networks.transcribe(stored, greedy)[:, place].argmax(axis=-1)
    return {
        "logits": (np.where(valid[..., None], logits, stored["logits"]), Close(1e-4)),
        "greedy": (greedy, EXACT),
    }


def diffusion_process(stored: Arrays) -> Outputs:
    x0, eps, t, s = (stored[key].astype(np.float64) for key in ("x0", "eps", "t", "s"))
    alpha, sigma = diffusion.alpha_sigma(t)
    z = alpha * x0 + sigma * eps
    outputs: Outputs = {
        # The reference is float32; near t = 1 its tangent turns rounding into 0.001.
        "cosine_logsnr": (diffusion.cosine_logsnr(stored["time"]), Close(2e-3)),
        "linear_logsnr": (diffusion.linear_logsnr(stored["time"]), Close(2e-3)),
        "z": (z, Close(1e-6)),
        "ddim_step": (diffusion.ddim_step(z, x0, t, s), Close(2e-6)),
    }
    for prediction in ("eps", "x0", "v"):
        said = diffusion.x0_of(prediction, stored["model_output"], z, alpha, sigma)
        noise = diffusion.eps_of(said, z, alpha, sigma)
        outputs[f"from_{prediction}_x0"] = said, Close(1e-4)
        outputs[f"from_{prediction}_eps"] = noise, Close(1e-4)
        for target in ("eps", "x0", "max_x0_eps", "x0_and_eps"):
            for norm in ("l1", "l2"):
                loss = diffusion.loss(target, norm, said - x0, noise - eps)
                outputs[f"loss_{prediction}_{target}_{norm}"] = loss, Close(rtol=2e-5)
    for variance in ("small", "large", "medium:0.3"):
        mean, deviation = diffusion.ancestral_step(z, x0, t, s, variance)
        outputs[f"reverse_{variance}_mean"] = mean, Close(2e-6)
        outputs[f"reverse_{variance}_std"] = deviation, Close(rtol=2e-6)
    return outputs | sampling_runs(stored)


def sampling_runs(stored: Arrays) -> Outputs:
    with np.load(GOLDEN / "network_context_concat_encodings.npz") as arrays:
        network = dict(arrays)
    decoder, sources = networks.Params(network)["decoder"], networks.sources_of(network)
    steps, outputs = int(stored["sample_steps"]), {}
    for sampler in ("ddpm", "ddim"):
        for weight in (1.0, 2.0, 5.0):

            def predict(z: np.ndarray, time: np.ndarray, weight: float = weight) -> np.ndarray:
                both = (networks.denoise(decoder, z, time, these) for these in (sources, []))
                conditional, unconditional = both
                return weight * conditional + (1 - weight) * unconditional

            start, noises = stored["sample_init"], stored["sample_noise"]
            run = diffusion.sample(predict, sampler, steps, start, noises)
            # At t = 1 the noise is divided by alpha = 5e-5, and with it the reference's rounding.
            outputs[f"sample_{sampler}_w{weight}"] = run, Close(0.02, mean=5e-4)
    return outputs


def inverted(stored: Arrays) -> Outputs:
    graph = GOLDEN / "checkpoints" / "diffusers" / "melgan" / "model.onnx"
    return {"audio": (inverter.invert(str(graph), stored["input_features"]), Close(1e-4))}


COMPUTED: dict[str, Callable[[Any], Any]] = {
    "log_mel.npz": log_mel,
    "mt3_log_mel.npz": mt3_log_mel,
    "tokens_dataset.npz": dataset_tokens,
    "tokens_full_programs_to_slakh.npz": rendering_tokens,
    "decoded_notes.json": decoded_notes,
    "transcription_scores.json": transcription_scores,
    "embedding_metrics.npz": embedding_metrics,
    "network_context_concat_encodings.npz": denoiser,
    "network_context_sum_cross_attends.npz": denoiser,
    "network_no_context.npz": denoiser,
    "network_autoregressive.npz": autoregressive,
    "network_mt3.npz": mt3,
    "diffusion.npz": diffusion_process,
    "checkpoints/melgan_io.npz": inverted,
}
# Inputs of the others, and models as programs that are not here have written them.
GIVEN = (
    "port_outputs.npz",
    "midi/",
    "checkpoints/t5x/",
    "checkpoints/diffusers/",
    "checkpoints/paddle/",
)


def regenerate(path: Path, compute: Callable[[Any], Any], *, write: bool = False) -> list[str]:
    """Computes a file's outputs and compares them with what is stored.

    Args:
        write: whether to replace the outputs in the file.

    Returns:
        One line for each output that differs.
    """
    if path.suffix == ".json":
        return _regenerate_json(path, compute, write)
    with np.load(path) as arrays:
        stored = dict(arrays)
    problems = []
    for name, (value, rule) in compute(stored).items():
        before, value = stored[name], np.asarray(value)
        if value.shape != before.shape:
            problems.append(f"{name}: shape {value.shape}, stored {before.shape}")
        elif not rule.accepts(value, before):
            difference = np.abs(value - before.astype(np.float64))
            problems.append(f"{name}: differs by up to {difference.max():.3g}, expected {rule}")
        stored[name] = value.astype(before.dtype)
    if write:
        np.savez_compressed(path, **stored)
    return problems


def _regenerate_json(path: Path, compute: Callable[[Any], Any], write: bool) -> list[str]:
    stored = json.loads(path.read_text())
    ours = compute(stored)
    if write:
        path.write_text(json.dumps(ours))
    return _differences(json.loads(json.dumps(ours)), stored, "")


def _differences(ours: Any, stored: Any, place: str) -> list[str]:
    """Places at which two JSON values differ, numbers by more than 1e-12."""
    if isinstance(ours, dict) and isinstance(stored, dict) and list(ours) == list(stored):
        pairs = [(ours[key], stored[key], f"{place}/{key}") for key in ours]
    elif isinstance(ours, list) and isinstance(stored, list) and len(ours) == len(stored):
        pairs = [(*both, f"{place}/{i}") for i, both in enumerate(zip(ours, stored, strict=True))]
    else:
        number = isinstance(ours, float) and isinstance(stored, int | float)
        same = abs(ours - stored) < 1e-12 if number else ours == stored
        return [] if same else [f"{place}: {ours}, stored {stored}"]
    return [line for pair in pairs for line in _differences(*pair)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="names below tests/golden; all if none is given")
    parser.add_argument("--write", action="store_true", help="replace the outputs in the files")
    options = parser.parse_args(arguments)
    if unknown := set(options.files) - COMPUTED.keys():
        parser.error(f"expected some of {', '.join(COMPUTED)}, got {', '.join(sorted(unknown))}")
    differ = False
    for name in options.files or COMPUTED:
        problems = regenerate(GOLDEN / name, COMPUTED[name], write=options.write)
        print(f"{name}: {'differs' if problems else 'as stored'}")
        for line in problems:
            print(f"  {line}")
        differ = differ or bool(problems)
    return int(differ and not options.write)


if __name__ == "__main__":
    sys.exit(main())
