"""Renders tokens with ONNX Runtime and NumPy alone: `python render.py TOKENS.npy SONG.wav [SEED]`.

The tokens are whole numbers [segments, n]; the graphs and `settings.json` lie beside this file.
Without an `inverter.onnx` beside them, the log-mel features are written to SONG.npy.
"""

import io
import json
import sys
import wave
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnxruntime

# What is hidden from the decoder in the branches of guidance.
HIDDEN = ((), ("context_mask",), ("notes_mask", "context_mask"))


def generate(
    tokens: np.ndarray, noise: Callable[[int, int], np.ndarray], folder: Path
) -> np.ndarray:
    """Returns log-mel features [frames, M]; `noise(segment, number)` is unit noise [F, M]."""
    settings = json.loads((folder / "settings.json").read_text())
    C, M, overlap = (settings[name] for name in ("context_frames", "mel_bins", "overlap"))
    graphs = ("notes_encoder", "decoder", "context_encoder")[: 3 if C else 2]
    run = {name: onnxruntime.InferenceSession(folder / f"{name}.onnx").run for name in graphs}
    song = np.zeros((0, M), np.float32)
    for segment, row in enumerate(tokens):
        begin = max(len(song) - overlap, 0)  # of the segment, which shares the frames from there on
        row = row[None, : max(np.count_nonzero(row), 1)].astype(np.int32)  # padding comes last
        inputs = {"notes_encoding": run["notes_encoder"](None, {"tokens": row})[0]}
        masks = {"notes_mask": row > 0}
        if C:
            past = song[max(begin - C, 0) : begin]
            there = 0 if settings["mask_context"] else len(past)
            masks["context_mask"] = np.arange(C)[None] < there
            context = {"context": np.pad(past, ((0, C - len(past)), (0, 0)))[None]}
            context["context_mask"] = masks["context_mask"]
            inputs["context_encoding"] = run["context_encoder"](None, context)[0]
        z = noise(segment, 0)[None].astype(np.float32)
        before = np.zeros_like(z)
        for number, step in enumerate(settings["steps"], start=1):
            inputs |= {"noisy": z, "time": np.array([step["time"]], np.float32)}
            used = [pair for pair in zip(step["guidance"], HIDDEN, strict=True) if pair[0]]
            seen = [{n: m & (n not in hidden) for n, m in masks.items()} for _, hidden in used]
            outputs = [run["decoder"](None, inputs | each)[0] for each in seen]
            output = combine([weight for weight, _ in used], outputs)
            parts = (z, output[..., :M], output[..., M:])
            x0 = np.clip(combine(step["x0_from"], parts), -1, 1)
            x0[0, : len(song) - begin] = song[begin:]
            weights = [step[name] for name in ("z", "x0", "before", "noise")]
            z = combine(weights, (z, x0, before, noise(segment, number)[None]))
            before = x0
        song = np.concatenate([song, z[0, overlap:]])
    low, high = settings["log_mel_range"]
    return (song + 1) / 2 * np.float32(high - low) + np.float32(low)


def combine(weights: Iterable[float], values: Iterable[np.ndarray]) -> np.ndarray:
    """Returns the weighted sum of values in float32; those of weight 0 do not matter."""
    pairs = [(weight, value) for weight, value in zip(weights, values, strict=True) if weight]
    return np.sum([np.float32(w) * v.astype(np.float32) for w, v in pairs], axis=0)


def main() -> None:
    """Renders the tokens in the first file to the second, a WAV file of 16 bits.

    Without an inverter, the second is a .npy file of the features [frames, M].
    """
    folder, (source, out, *seed) = Path(__file__).parent, sys.argv[1:]
    settings = json.loads((folder / "settings.json").read_text())
    random, size = np.random.default_rng(int(*seed)), settings["target_frames"]
    noise = lambda *_: random.standard_normal((size, settings["mel_bins"]))  # noqa: E731
    audible = (folder / "inverter.onnx").is_file()
    if not audible:
        out = str(Path(out).with_suffix(".npy"))
        print(f"there is no inverter.onnx: log-mel features are written to {out}", file=sys.stderr)
    log_mel = generate(np.load(source), noise, folder)
    if not audible:
        encoded = io.BytesIO()
        np.save(encoded, log_mel)
        # By Python: NumPy does not report all errors of a full disk.
        Path(out).write_bytes(encoded.getvalue())
        return
    inverter = onnxruntime.InferenceSession(folder / "inverter.onnx")
    audio = inverter.run(None, {"input_features": log_mel[None]})[0].reshape(-1)
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, settings["sample_rate"], 0, "NONE", ""))
        file.writeframes((np.clip(audio, -1, 1) * 32767).round().astype("<i2").tobytes())


if __name__ == "__main__":
    main()
