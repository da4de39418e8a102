"""Log-mel features, frame by frame."""

import numpy as np


def mel_matrix(
    fft_samples: int, num_mels: int, low_hz: float, high_hz: float, sample_rate: int = 16_000
) -> np.ndarray:
    """Triangles [fft_samples // 2 + 1, num_mels] on the HTK mel scale, linear in mel, peak 1."""
    to_mel = lambda hz: 1127 * np.log(1 + np.asarray(hz) / 700)  # noqa: E731
    edges = np.linspace(to_mel(low_hz), to_mel(high_hz), num_mels + 2)
    bins = to_mel(np.arange(fft_samples // 2 + 1) * sample_rate / fft_samples)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    matrix = np.maximum(0, np.minimum(rising, falling))
    matrix[0] = 0  # the reference leaves out the constant part
    return matrix


def mel_magnitudes(
    audio: np.ndarray, matrix: np.ndarray, frame_samples: int, hop_samples: int
) -> np.ndarray:
    """Magnitudes [clips, frames, mels] of audio [clips, samples], with silence after its end."""
    fft_samples = 2 * (len(matrix) - 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame_samples) / frame_samples)
    padded = np.pad(audio.astype(np.float64), ((0, 0), (0, frame_samples)))
    frames = [
        np.abs(np.fft.rfft(padded[:, start : start + frame_samples] * window, fft_samples))
        for start in range(0, audio.shape[1], hop_samples)
    ]
    return np.stack(frames, axis=1) @ matrix


def rendering_matrix() -> np.ndarray:
    """Mel matrix of the features that the diffusion model generates."""
    return mel_matrix(1024, 128, 0, 8000)


def rendering_log_mel(audio: np.ndarray) -> np.ndarray:
    """Features of the diffusion model, [clips, frames, 128]."""
    magnitudes = mel_magnitudes(audio, rendering_matrix(), 640, 320)
    return np.log(np.clip(magnitudes, 1e-5, 1e8))


def transcription_log_mel(audio: np.ndarray) -> np.ndarray:
    """Features of MT3, [clips, frames, 512]: only zeros are raised to the floor."""
    magnitudes = mel_magnitudes(audio, mel_matrix(2048, 512, 20, 7600), 2048, 128)
    return np.log(np.where(magnitudes <= 0, 1e-5, magnitudes))
