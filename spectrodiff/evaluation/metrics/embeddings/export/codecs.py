"""Encoders of neural audio codecs, before quantization: EnCodec and DAC."""

import os
import unittest.mock
from typing import Any

import numpy as np

from spectrodiff.evaluation.metrics.embeddings.export.exporting import Exportable, need
from spectrodiff.evaluation.metrics.embeddings.onnx_recipe import OnnxRecipe

ENCODEC_HOP = 320
# EnCodec at 24 kHz has no windows. Longer recordings are cut, so that memory does not grow.
LONGEST_SECONDS = 180
DAC_RATE, DAC_WINDOW = 44_100, 5 * 44_100
DAC_LUFS = -16.0


def open_encodec(weights: str | os.PathLike[str] | None, rate: int) -> Exportable:
    """Opens the encoder of EnCodec.

    Args:
        weights: the downloaded file of the model's weights; None for random ones.
        rate: 24000 or 48000.

    Raises:
        ConfigError: if packages are missing.
    """
    torch, encodec, convolutions = need(
        ["torch", "encodec", "encodec.modules.conv"], "export of EnCodec"
    )
    torch.manual_seed(0)
    make = {
        24_000: encodec.EncodecModel.encodec_model_24khz,
        48_000: encodec.EncodecModel.encodec_model_48khz,
    }[rate]
    model = make(pretrained=False)
    if weights is not None:
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    encoder, channels = model.encoder.eval(), model.channels
    window = model.segment_length or LONGEST_SECONDS * rate

    class Network(torch.nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, samples: Any) -> Any:
            # The encoder pads where strides leave a rest, by amounts that a graph cannot follow.
            missing = (ENCODEC_HOP - samples.shape[0] % ENCODEC_HOP) % ENCODEC_HOP
            whole = torch.nn.functional.pad(samples, (0, missing))
            name = "get_extra_padding_for_conv1d"
            with unittest.mock.patch.object(convolutions, name, return_value=0):
                return self.encoder(whole.expand(1, channels, -1))[0].T

    def original(audio: np.ndarray) -> np.ndarray:
        frames = []
        for start in range(0, len(audio), window):
            part = torch.from_numpy(audio[start : start + window]).expand(1, channels, -1)
            with torch.no_grad():
                frames.append(encoder(part)[0].T)
        return torch.cat(frames).numpy()

    name = "encodec-emb" if rate == 24_000 else "encodec-emb-48k"
    source = os.path.basename(weights) if weights else "random weights"
    return Exportable(
        recipe=OnnxRecipe(
            name,
            f"encodec, {source}",
            rate,
            window_samples=window,
            shortest_samples=rate // 10,
        ),
        network=Network(),
        example_samples=rate,
        any_length=True,
        original=original,
    )


def open_dac(weights: str | os.PathLike[str] | None) -> Exportable:
    """Opens the encoder of DAC at 44.1 kHz.

    Args:
        weights: file of weights of descript-audio-codec, weights_44khz_8kbps_0.0.1.pth; None for
            random ones.

    Raises:
        ConfigError: if packages are missing.
    """
    torch, dac, audiotools = need(["torch", "dac", "audiotools"], "export of DAC")
    torch.manual_seed(0)
    model = dac.DAC() if weights is None else dac.DAC.load(os.fspath(weights))
    encoder = model.eval().encoder

    class Network(torch.nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, samples: Any) -> Any:
            return self.encoder(samples[None, None])[0].T

    def original(audio: np.ndarray) -> np.ndarray:
        """Windows of 5 s every 2.5 s at one loudness, from 2.5 s before the start, as in fadtk."""
        signal = audiotools.AudioSignal(audio, DAC_RATE)
        signal.normalize(DAC_LUFS)
        signal.ensure_max_of_audio()
        signal.zero_pad_to(-(-signal.signal_length // DAC_WINDOW) * DAC_WINDOW)
        windows = signal.collect_windows(DAC_WINDOW / DAC_RATE, DAC_WINDOW / DAC_RATE / 2)
        with torch.no_grad():
            parts = [encoder(window[None])[0].T for window in windows.audio_data]
        return torch.cat(parts).numpy()

    source = os.path.basename(weights) if weights else "random weights"
    return Exportable(
        recipe=OnnxRecipe(
            "dac-44kHz",
            f"descript-audio-codec, {source}",
            DAC_RATE,
            window_samples=DAC_WINDOW,
            hop_samples=DAC_WINDOW // 2,
            lead_samples=DAC_WINDOW // 2,
            multiple_samples=DAC_WINDOW,
            lufs=DAC_LUFS,
        ),
        network=Network(),
        example_samples=DAC_WINDOW,
        any_length=False,
        original=original,
    )
