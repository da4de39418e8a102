"""Spectrogram pictures as PNG files."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spectrodiff.audio.features import check_log_mel, mel_centers_hz
from spectrodiff.core.constants import FRAMES_PER_SECOND, NUM_MELS
from spectrodiff.core.errors import OutputError, printable
from spectrodiff.core.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOG_RANGE = (-9.0, 4.0)
"""Color scale of pictures that need no other one, so that equal colors mean equal magnitudes."""

_TICKS_HZ = (100, 200, 500, 1000, 2000, 4000, 7000)


def write_spectrogram(
    path: str | os.PathLike[str],
    log_mel: np.ndarray | Mapping[str, np.ndarray],
    dots_per_inch: int = 110,
) -> None:
    """Writes one spectrogram, or several stacked on a common time axis, as a PNG file.

    Args:
        path: file name ending in .png.
        log_mel: unscaled [frames, 128], or a mapping from titles to such arrays, of any lengths.
        dots_per_inch: resolution.

    Raises:
        AudioError: if a spectrogram has no frames, a wrong number of bins, or NaN.
        OutputError: if the suffix is not .png or the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OutputError(path, "a name ending in .png", repr(path.suffix))
    panels = log_mel if isinstance(log_mel, Mapping) else {"": log_mel}
    checked = {title: check_log_mel(mel, title or str(path)) for title, mel in panels.items()}
    figure = draw_spectrograms(checked)
    with atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=dots_per_inch)


def write_bare_spectrogram(
    path: str | os.PathLike[str],
    log_mel: np.ndarray,
    max_width: int = 2400,
    log_range: tuple[float, float] = LOG_RANGE,
) -> float:
    """Writes a spectrogram without axes or margins as a PNG file, for use on another time axis.

    The picture is 128 pixels high, low frequencies at the bottom, with one pixel per frame. Longer
    spectrograms have one pixel for the maximum of several frames.

    Args:
        path: file name ending in .png.
        log_mel: unscaled [frames, 128].
        max_width: in pixels.
        log_range: values of the darkest and of the brightest color.

    Returns:
        Duration in seconds that the width of the picture covers.

    Raises:
        AudioError: if the spectrogram has no frames, a wrong number of bins, or NaN.
        OutputError: if the suffix is not .png or the file cannot be written.
    """
    from matplotlib.image import imsave

    path = Path(path)
    if path.suffix.lower() != ".png":
        raise OutputError(path, "a name ending in .png", repr(path.suffix))
    frames = check_log_mel(log_mel, str(path))
    frames_per_pixel = -(-len(frames) // max_width)
    starts = np.arange(0, len(frames), frames_per_pixel)
    pixels = np.maximum.reduceat(frames, starts, axis=0)
    with atomic_file(path) as temporary:
        low, high = log_range
        imsave(temporary, pixels.T, vmin=low, vmax=high, cmap="magma", origin="lower")
    return len(starts) * frames_per_pixel / FRAMES_PER_SECOND


def frequency_height(hz: float) -> float:
    """Returns the height of a frequency in a bare spectrogram, from 0 at its bottom to 1."""
    return float((_bin_of_hz((hz,))[0] + 0.5) / NUM_MELS)


def draw_spectrograms(panels: Mapping[str, np.ndarray]) -> "Figure":
    """Returns a matplotlib figure with one panel per title; see `write_spectrogram`."""
    # Not pyplot, which keeps global state and may need a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    longest_seconds = max(len(mel) for mel in panels.values()) / FRAMES_PER_SECOND
    width_inches = float(np.clip(0.6 * longest_seconds, 7, 24))
    figure = Figure(figsize=(width_inches, 0.9 + 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, mel) in zip(all_axes, panels.items(), strict=True):
        picture = axes.imshow(
            mel.T,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=LOG_RANGE[0],
            vmax=LOG_RANGE[1],
            # Bin i is centered at i, so that ticks are at bin centers.
            extent=(0, len(mel) / FRAMES_PER_SECOND, -0.5, NUM_MELS - 0.5),
        )
        # Titles may be names of files: dollar signs begin no formula.
        axes.set_title(printable(title), loc="left", fontsize="medium", parse_math=False)
        axes.set_ylabel("frequency (Hz)")
        axes.set_yticks(_bin_of_hz(_TICKS_HZ), [str(hz) for hz in _TICKS_HZ])
        axes.set_facecolor("0.85")
    all_axes[-1].set_xlim(0, longest_seconds)
    all_axes[-1].set_xlabel("time (s)")
    figure.colorbar(
        picture, ax=list(all_axes), label="log magnitude", fraction=0.05, pad=0.01, aspect=30
    )
    return figure


def _bin_of_hz(frequencies_hz: Sequence[float]) -> np.ndarray:
    return np.interp(frequencies_hz, mel_centers_hz(), np.arange(NUM_MELS))
