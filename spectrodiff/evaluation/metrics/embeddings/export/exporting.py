"""Export of a PyTorch embedding to an ONNX file, and the check that both agree."""

import importlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.core.errors import CheckpointError, ConfigError, first_line
from spectrodiff.core.files import atomic_file
from spectrodiff.evaluation.metrics.embeddings.onnx_embedding import OnnxEmbedding
from spectrodiff.evaluation.metrics.embeddings.onnx_recipe import OnnxRecipe

OPSET = 18
# Largest difference from the original package, relative to the spread of the embedding.
MAX_ERROR = 1e-2


@dataclass(frozen=True)
class Exportable:
    """Embedding of an original package.

    Attributes:
        recipe: its name, and how recordings are cut.
        network: torch module, from samples float32 [n] to vectors [frames, dims].
        example_samples: number of samples of the input that is traced.
        any_length: False if the input always has this number of samples.
        original: function that embeds a recording as other tools do, with the original package:
            float32 [samples] -> [frames, dims].
    """

    recipe: OnnxRecipe
    # PyTorch is optional, so its types cannot be named here.
    network: Any
    example_samples: int
    any_length: bool
    original: Callable[[np.ndarray], np.ndarray]


def need(packages: Sequence[str], what: str) -> list[Any]:
    """Imports packages that only an export needs.

    Raises:
        ConfigError: names the packages to install.
    """
    try:
        return [importlib.import_module(package) for package in packages]
    except Exception as error:  # a package that does not fit another one can fail in any way
        names = {"dac": "descript-audio-codec", "laion_clap.clap_module": "laion-clap"}
        wanted = " ".join(names.get(name, name) for name in packages)
        got = first_line(error)
        raise ConfigError(what, f"other packages (pip install {wanted})", got) from error


def export(exportable: Exportable, out: str | os.PathLike[str], seconds: Sequence[float]) -> float:
    """Writes an embedding to an ONNX file, and compares it with the original package.

    Args:
        exportable: the embedding.
        out: the file; it is written only if both agree.
        seconds: lengths of the recordings to compare, which are made up.

    Returns:
        The largest difference, relative to the standard deviation of the original's vectors.

    Raises:
        CheckpointError: if the difference is above 0.01.
        ConfigError: if packages are missing.
        OutputError: if the file cannot be written.
    """
    torch, onnx = need(["torch", "onnx"], "export")
    with atomic_file(Path(out).with_suffix(".onnx")) as temporary:
        with warnings.catch_warnings():
            # Traced branches are constant for the lengths that the recipe allows.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                exportable.network.eval(),
                (torch.zeros(exportable.example_samples),),
                os.fspath(temporary),
                input_names=["samples"],
                output_names=["vectors"],
                dynamic_axes={
                    **({"samples": {0: "n"}} if exportable.any_length else {}),
                    "vectors": {0: "frames"},
                },
                opset_version=OPSET,
                dynamo=False,
            )
        model = onnx.load(temporary)
        onnx.helper.set_model_props(model, exportable.recipe.to_metadata())
        onnx.save(model, temporary)
        return _compare(exportable, OnnxEmbedding(temporary), out, seconds)


def _compare(
    exportable: Exportable,
    embedding: OnnxEmbedding,
    out: str | os.PathLike[str],
    seconds: Sequence[float],
) -> float:
    errors = []
    for length in seconds:
        audio = _made_up(round(length * exportable.recipe.sample_rate), embedding.sample_rate)
        ours, theirs = embedding(audio), exportable.original(audio)
        expected = f"the vectors of {exportable.recipe.source}"
        if ours.shape != theirs.shape:
            got = f"shapes {ours.shape} and {theirs.shape} for {length:g} s"
            raise CheckpointError(out, expected, got)
        errors.append(float(np.abs(ours - theirs).max() / theirs.std()))
        if not errors[-1] <= MAX_ERROR:
            got = f"a relative difference of {errors[-1]:.2g} for {length:g} s"
            raise CheckpointError(out, expected, got)
    return max(errors)


def _made_up(num_samples: int, sample_rate: int) -> np.ndarray:
    """Returns decaying tones in noise, in 16 bits as in a file, float32 [samples]."""
    rng = np.random.default_rng(0)
    time = np.arange(num_samples) / sample_rate
    tones = sum(
        np.sin(2 * np.pi * hertz * time) * np.exp(-3 * ((time - 0.1 * number) % 1))
        for number, hertz in enumerate((110, 277.2, 659.3, 1760, 5000))
    )
    audio = 0.15 * tones + 0.02 * rng.normal(size=num_samples)
    return (np.round(np.clip(audio, -1, 1) * 32_767) / 32_768).astype(np.float32)
