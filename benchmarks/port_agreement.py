"""Outputs of exported models in the PyTorch port of diffusers, beside ours.

    PYTHONPATH=. python benchmarks/port_agreement.py --port_python PYTHON

(`denoising_step.py` says how to make that Python; the port's encoders need the versions
`diffusers==0.36.*` and `transformers==4.44.*`, its inverter also `onnxruntime`.) Models of three
sizes with random weights are exported by `save_diffusers`. The port opens each folder with
`SpectrogramDiffusionPipeline.from_pretrained`; both sides encode and denoise the same inputs in
float32, at three times, with no or all frames of the context, which is what the pipeline gives
them (where there are only some, the port counts positions from the oldest frame).
With onnxruntime, the pipeline also renders a segment to audio. The table has the largest absolute
differences. At later times a rounding step of the time, which both multiply by 20000, moves the
outputs by as much as they differ.

`--golden FILE` writes the port's outputs of the smallest model, every eighth frame, for the tests.
"""

import argparse
import dataclasses
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PARTS = ("notes", "context", "output")
GOLDEN_FRAMES = 8  # of which one is kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port_python", required=True, help="Python with torch and diffusers")
    parser.add_argument("--sizes", nargs="+", default=["least", "tiny", "small"])
    parser.add_argument("--golden", type=Path, help="file to write the outputs of `least` to")
    parser.add_argument("--role", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.role:
        in_the_port(Path(flags.role))
        return
    print("| size | notes | context | output at 0.03 | 0.5 | 0.999 | largest | audio samples |")
    print("|---|" + "---:|" * 7)
    for size in flags.sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            ours = export(size, folder)
            subprocess.run(
                [flags.port_python, __file__, "--port_python", "", "--role", name], check=True
            )
            theirs = dict(np.load(folder / "port.npz"))
        apart = {part: np.abs(ours[part] - theirs[part]) for part in PARTS}
        differences = [apart["notes"].max(), apart["context"].max(), *apart["output"].max((1, 2))]
        columns = [f"{difference:.1e}" for difference in differences]
        largest = np.abs(ours["output"]).max()
        print(f"| {size} | {' | '.join(columns)} | {largest:.2f} | {theirs['samples']} |")
        if size == "least" and flags.golden:
            kept = {part: theirs[part][:, ::GOLDEN_FRAMES] for part in PARTS}
            np.savez_compressed(flags.golden, **kept)


def export(size: str, folder: Path) -> dict[str, np.ndarray]:
    """Writes a model and its inputs to a folder; returns our outputs."""
    from spectrodiff.checkpoints.bundled import bundled_inverter
    from spectrodiff.checkpoints.layouts.diffusers_folder import save_diffusers
    from spectrodiff.inverter.files import load_inverter
    from spectrodiff.inverter.onnx_export import export_onnx
    from spectrodiff.models.config import SIZES
    from tests.support.made_models import PORT_SIZES, made_inputs, made_model, outputs_of

    config = PORT_SIZES if size == "least" else dataclasses.replace(SIZES[size], dropout=0.0)
    inverter = folder / "inverter.onnx"
    export_onnx(load_inverter(bundled_inverter()), inverter)
    checkpoint = made_model(config, inverter=inverter)
    save_diffusers(checkpoint, folder / "model")
    inputs = made_inputs(config, some=1.0)
    np.savez(folder / "inputs.npz", **inputs)
    return outputs_of(checkpoint, inputs)


def in_the_port(folder: Path) -> None:
    """Writes the port's outputs to the folder that has the model and its inputs."""
    import diffusers
    import diffusers.pipelines.deprecated.spectrogram_diffusion as home
    import torch
    from diffusers import SpectrogramDiffusionPipeline
    from diffusers.utils import is_onnx_available

    # Models name the former home of the pipeline's classes.
    diffusers.pipelines.spectrogram_diffusion = home
    inputs = {
        name: torch.from_numpy(values) for name, values in np.load(folder / "inputs.npz").items()
    }
    with_audio = is_onnx_available()
    absent = {} if with_audio else {"melgan": None}
    pipe = SpectrogramDiffusionPipeline.from_pretrained(folder / "model", **absent)
    pipe.set_progress_bar_config(disable=True)
    names = ("tokens", "context", "context_mask", "noisy", "time")
    parts = [each(pipe, *(inputs[name][i : i + 1] for name in names)) for i in range(3)]
    tokens = [inputs["tokens"][0].tolist()]
    kind = "np" if with_audio else "mel"
    rendered = pipe(tokens, num_inference_steps=2, output_type=kind).audios
    samples = np.asarray(rendered).size if with_audio else -1
    notes, context, output = (np.concatenate(part) for part in zip(*parts, strict=True))
    np.savez(folder / "port.npz", notes=notes, context=context, output=output, samples=samples)


def each(pipe: Any, tokens: Any, context: Any, mask: Any, noisy: Any, time: Any) -> list[Any]:
    """Returns encodings, zero where there is padding, and output of one example."""
    import torch

    with torch.no_grad():
        encodings = pipe.encode(tokens, context, mask)
        output = pipe.decoder(
            encodings_and_masks=encodings, decoder_input_tokens=noisy, decoder_noise_time=time
        )
    return [np.where(exists[..., None], values, 0) for values, exists in encodings] + [output]


if __name__ == "__main__":
    main()
