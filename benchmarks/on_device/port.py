"""Measurement of the decoder of the PyTorch port in diffusers, in another process.

The process answers each line of JSON with a line of JSON. It is started with the run, so that its
imports are done when it is needed; until then it uses no memory of the device.
"""

import contextlib
import dataclasses
import json
import queue
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

PADDED = 2048  # note tokens in the port
SERIES = 5  # number of timed series of steps


def serve() -> None:
    """Imports the port, prints a greeting, and answers requests until the input ends."""
    try:
        import diffusers
        import torch
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else device
    versions = {"torch": torch.__version__, "diffusers": diffusers.__version__}
    print(json.dumps({"device": name, "versions": versions}), flush=True)
    for line in sys.stdin:
        try:
            answer = measure(json.loads(line), device)
        except Exception as error:
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        print(json.dumps(answer), flush=True)


def measure(asked: dict[str, Any], device: str) -> dict[str, Any]:
    """Measures the seconds of a guided step, which is two evaluations of the decoder."""
    import torch
    from diffusers import T5FilmDecoder

    # Like JAX's default for float32 on GPUs.
    torch.set_float32_matmul_precision("high")
    dtype, batch = getattr(torch, asked["precision"]), asked["batch"]
    decoder = T5FilmDecoder(max_decoder_noise_time=20000.0, **asked["sizes"]).eval()
    decoder = decoder.to(device, dtype)
    width, frames = asked["sizes"]["d_model"], asked["sizes"]["targets_length"]

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=device).to(dtype)

    note_mask = torch.zeros(batch, PADDED, device=device, dtype=dtype)
    note_mask[:, : asked["note_tokens"]] = 1
    context = asked["context_frames"]
    encodings = [
        (random(batch, PADDED, width), note_mask),
        (random(batch, context, width), torch.ones(batch, context, device=device, dtype=dtype)),
    ]
    noisy = random(batch, frames, asked["sizes"]["input_dims"])
    noise_time = torch.full((batch,), 0.5, device=device)
    run = torch.compile(decoder) if asked["compiled"] else decoder

    def steps(count: int) -> float:
        synchronize()
        start = time.perf_counter()
        for _ in range(2 * count):
            run(
                encodings_and_masks=encodings,
                decoder_input_tokens=noisy,
                decoder_noise_time=noise_time,
            )
        synchronize()
        return (time.perf_counter() - start) / count

    def synchronize() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    with torch.no_grad():
        steps(1)
        count = max(1, int(asked["seconds"] / SERIES / steps(1)))
        seconds = statistics.median(steps(count) for _ in range(SERIES))
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return {"seconds": seconds, "repeats": SERIES * count, "peak_bytes": peak}


class PortProcess:
    """Process of the port; it ends with this process, because its input does.

    Args:
        python: of an environment with torch and diffusers.
    """

    def __init__(self, python: str) -> None:
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._hello: dict[str, Any] | None = None
        try:
            # -P: torch must not import the modules in this folder.
            self._process = subprocess.Popen(
                [python, "-P", str(Path(__file__).resolve())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            self._hello = {"error": f"{python}: {error.strerror}"}
            return
        threading.Thread(target=self._read, daemon=True).start()

    def hello(self, timeout: float) -> dict[str, Any]:
        """Returns the greeting of the process after its imports, or `error` if they failed."""
        if self._hello is None:
            self._hello = self._next(timeout)
        return self._hello

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Returns a measurement, or `error` if it failed or took too long."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._next(timeout)

    def stop(self) -> None:
        """Ends the process."""
        if hasattr(self, "_process"):
            self._process.kill()
            self._process.wait()

    def _next(self, timeout: float) -> dict[str, Any]:
        try:
            return self._answers.get(timeout=timeout)
        except queue.Empty:
            self.stop()  # a late answer would be taken for the next one
            return {"error": f"no answer within {timeout:.0f} s"}

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                answer = json.loads(line)
                if isinstance(answer, dict):
                    self._answers.put(answer)
        self._answers.put({"error": "the process has ended"})


def sizes_of(config: Any) -> dict[str, int]:
    """Returns the arguments of the port for the sizes of a network."""
    names = {
        "input_dims": "mel_bins",
        "targets_length": "target_frames",
        "d_model": "width",
        "num_layers": "decoder_layers",
        "num_heads": "heads",
        "d_kv": "head_width",
        "d_ff": "mlp_width",
    }
    return {theirs: dataclasses.asdict(config)[ours] for theirs, ours in names.items()}


if __name__ == "__main__":
    serve()
