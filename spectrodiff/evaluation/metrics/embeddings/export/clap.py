"""CLAP of LAION: the checkpoints of the package `laion_clap`, and those in transformers' layout."""

import json
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.evaluation.metrics.embeddings.export.exporting import Exportable, need
from spectrodiff.evaluation.metrics.embeddings.onnx_recipe import OnnxRecipe

MUSIC_CHECKPOINT = "music_audioset_epoch_15_esc_90.14.pt"
SAMPLE_RATE = 48_000
WINDOW, HOP = 10 * SAMPLE_RATE, SAMPLE_RATE
JOINT_DIMS = 512


def open_laion_clap(weights: str | os.PathLike[str] | None) -> Exportable:
    """Opens the audio side of a checkpoint with HTSAT-base, such as that for music.

    Args:
        weights: file music_audioset_epoch_15_esc_90.14.pt of the Hub repository lukewys/laion_clap;
            None for random weights.

    Raises:
        CheckpointError: if the weights are missing or of another network.
        ConfigError: if packages are missing.
    """
    what = "export of clap-laion-music"
    torch, *_ = need(["torch", "torchlibrosa", "torchvision", "transformers"], what)
    package = _package_folder(what)
    # The package itself fetches language models when it is imported; its networks do not.
    sys.path.insert(0, os.fspath(package))
    (htsat,) = need(["clap_module.htsat"], what)
    config = json.loads((package / "clap_module/model_configs/HTSAT-base.json").read_text())
    torch.manual_seed(0)
    branch = htsat.create_htsat_model(types.SimpleNamespace(**config["audio_cfg"]))
    projection = torch.nn.Sequential(
        torch.nn.Linear(config["embed_dim"], JOINT_DIMS),
        torch.nn.ReLU(),
        torch.nn.Linear(JOINT_DIMS, JOINT_DIMS),
    )
    source = "random weights"
    if weights is not None:
        state = _read_state(torch, Path(weights))
        for prefix, module in (("audio_branch.", branch), ("audio_projection.", projection)):
            own = {
                name.removeprefix(prefix): tensor
                for name, tensor in state.items()
                if name.startswith(prefix)
            }
            try:
                module.load_state_dict(own)
            except RuntimeError as error:
                raise CheckpointError(weights, "CLAP with HTSAT-base", str(error)) from error
        source = Path(weights).name
    branch.eval(), projection.eval()

    class Network(torch.nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.branch, self.projection = branch, projection

        def forward(self, samples: Any) -> Any:
            vectors = self.branch({"waveform": _in_16_bits(torch, samples)[None]}, device="cpu")
            return _normalized(torch, self.projection(vectors["embedding"]))

    def original(audio: np.ndarray) -> np.ndarray:
        vectors = []
        for window in _windows(audio):
            with torch.no_grad():
                found = branch({"waveform": torch.from_numpy(window)[None]}, device="cpu")
                vectors.append(_normalized(torch, projection(found["embedding"])))
        return torch.cat(vectors).numpy()

    return Exportable(
        recipe=_recipe("clap-laion-music", f"laion_clap, {source}"),
        network=Network(),
        example_samples=WINDOW,
        any_length=False,
        original=original,
    )


def open_hub_clap(weights: str | os.PathLike[str] | None) -> Exportable:
    """Opens the audio side of CLAP in transformers' layout.

    Args:
        weights: folder or Hub repository, such as laion/larger_clap_music; None for random weights.

    Raises:
        ConfigError: if packages are missing.
    """
    torch, transformers = need(["torch", "transformers"], "export of larger_clap_music")
    torch.manual_seed(0)
    if weights is None:
        audio_config = transformers.ClapAudioConfig(
            # That of laion/larger_clap_music.
            hidden_size=1024,
            patch_embeds_hidden_size=128,
            depths=[2, 2, 12, 2],
            enable_fusion=False,
        )
        model = transformers.ClapAudioModelWithProjection(audio_config)
        extractor = transformers.ClapFeatureExtractor(
            frequency_min=50, frequency_max=14_000, truncation="rand_trunc"
        )
    else:
        name = os.fspath(weights)
        model = transformers.ClapModel.from_pretrained(name, attn_implementation="eager")
        extractor = transformers.ClapFeatureExtractor.from_pretrained(name)
    model.eval()
    front_end = _front_end(torch, extractor)

    class Network(torch.nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model, self.front_end = model, front_end

        def forward(self, samples: Any) -> Any:
            features = self.front_end(_in_16_bits(torch, samples))[None, None]
            return _normalized(torch, _audio_features(self.model, features))

    def original(audio: np.ndarray) -> np.ndarray:
        vectors = []
        for window in _windows(audio):
            features = extractor(window, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            with torch.no_grad():
                found = _audio_features(model, features["input_features"])
                vectors.append(_normalized(torch, found))
        return torch.cat(vectors).numpy()

    source = f"transformers {transformers.__version__}, {weights or 'random weights'}"
    name = Path(os.fspath(weights)).name if weights else "larger_clap_music"
    return Exportable(
        recipe=_recipe(name, source),
        network=Network(),
        example_samples=WINDOW,
        any_length=False,
        original=original,
    )


def _recipe(name: str, source: str) -> OnnxRecipe:
    return OnnxRecipe(
        name,
        source,
        SAMPLE_RATE,
        window_samples=WINDOW,
        hop_samples=HOP,
        multiple_samples=HOP,
    )


def _audio_features(model: Any, features: Any) -> Any:
    if hasattr(model, "get_audio_features"):
        found = model.get_audio_features(input_features=features)
        return getattr(found, "pooler_output", found)
    return model(input_features=features).audio_embeds


def _normalized(torch: Any, vectors: Any) -> Any:
    return torch.nn.functional.normalize(vectors, dim=-1)


def _in_16_bits(torch: Any, samples: Any) -> Any:
    return (torch.clamp(samples, -1, 1) * 32_767).to(torch.int32).to(torch.float32) / 32_767


def _front_end(torch: Any, extractor: Any) -> Any:
    """Returns the feature extractor as a module: a Fourier transform by convolution."""
    size, hop = extractor.fft_window_size, extractor.hop_length
    filters = torch.from_numpy(np.asarray(extractor.mel_filters_slaney, np.float32))
    phases = 2 * np.pi * np.outer(np.arange(size // 2 + 1), np.arange(size)) / size
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    waves = np.concatenate([np.cos(phases), np.sin(phases)]) * window

    class FrontEnd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("waves", torch.from_numpy(waves[:, None]).float())
            self.register_buffer("filters", filters)

        def forward(self, samples: Any) -> Any:
            padded = torch.nn.functional.pad(samples[None, None], (size // 2,) * 2, mode="reflect")
            parts = torch.nn.functional.conv1d(padded, self.waves, stride=hop)[0]
            power = parts[: size // 2 + 1] ** 2 + parts[size // 2 + 1 :] ** 2
            return 10 * torch.log10(torch.clamp(power.T @ self.filters, min=1e-10))

    return FrontEnd()


def _package_folder(what: str) -> Path:
    import importlib.util

    found = importlib.util.find_spec("laion_clap")
    if found is None or not found.submodule_search_locations:
        need(["laion_clap.clap_module"], what)
        raise AssertionError
    return Path(found.submodule_search_locations[0])


def _read_state(torch: Any, path: Path) -> dict[str, Any]:
    """Reads a state dict; the file also has numbers of NumPy, but nothing else is built."""
    scalar = np.float64(0).__reduce__()[0]
    safe = [
        (scalar, "numpy.core.multiarray.scalar"),
        scalar,
        np.dtype,
        *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64)),
    ]
    try:
        with torch.serialization.safe_globals(safe):
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files fail in many ways
        raise CheckpointError(path, "a checkpoint of CLAP", first_line(error)) from error
    state = stored.get("state_dict", stored)
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}


def _windows(audio: np.ndarray) -> Iterator[np.ndarray]:
    """Yields windows of 10 s every second, in 16 bits, the last ones padded, as in fadtk."""
    rounded = ((np.clip(audio, -1, 1) * 32_767).astype(np.int16) / 32_767).astype(np.float32)
    for start in range(0, len(rounded), HOP):
        part = rounded[start : start + WINDOW]
        yield np.pad(part, (0, WINDOW - len(part)))
