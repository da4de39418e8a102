"""Folders of models for others: weights, settings, inverter, card and samples."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spectrodiff.audio.files import write_audio
from spectrodiff.audio.pictures import write_spectrogram
from spectrodiff.checkpoints.layouts.store import load_model, save_model
from spectrodiff.checkpoints.model import Checkpoint
from spectrodiff.core.constants import FRAMES_PER_SECOND, StoredType
from spectrodiff.core.errors import CheckpointError, first_line
from spectrodiff.core.files import atomic_folder, file_name, read_regular
from spectrodiff.core.json_files import MAX_TEXT_BYTES, write_json
from spectrodiff.evaluation.results import Results
from spectrodiff.inverter.loading import open_inverter
from spectrodiff.sharing.card import LIBRARY, Card, Sample, write_card
from spectrodiff.sharing.inverters import stored_inverter
from spectrodiff.sharing.origins import GIN_FILES, Origin
from spectrodiff.sharing.privacy import without_paths
from spectrodiff.synthesis.loading import make_inverter
from spectrodiff.synthesis.synthesizer import Synthesizer

CARD, CONFIG, SAMPLES, TRAINING = "README.md", "config.json", "samples", "training"
MAX_PICTURE_SECONDS = 20


@dataclasses.dataclass(frozen=True)
class Sharing:
    """Contents of the folder of a shared model.

    Attributes:
        title: name of the model.
        address: argument of `spectrodiff.load`; "" for a folder that is passed on by hand.
        license: identifier of the license of the weights; "" if none is given.
        dtype: type of the stored parameters.
        inverter: file or run folder of the inverter to include; None for none.
        origin: the run that trained it; None if unknown.
        results: scores of an evaluation; None without one.
        songs: MIDI files to render.
        seed: of the renderings.
    """

    title: str
    address: str = ""
    license: str = ""
    dtype: StoredType = "float32"
    inverter: Path | None = None
    origin: Origin | None = None
    results: Results | None = None
    songs: Sequence[Path] = ()
    seed: int = 0


def write_folder(checkpoint: Checkpoint, sharing: Sharing, folder: Path) -> None:
    """Writes a model and all that goes with it to a new folder.

    Raises:
        MidiError: if a song cannot be rendered.
        CheckpointError: if the inverter is invalid, or a parameter too large for float16.
        OutputError: if the folder cannot be written.
    """
    with atomic_folder(folder) as partial:
        with stored_inverter(sharing.inverter) as inverter:
            save_model(dataclasses.replace(checkpoint, inverter=inverter), partial, sharing.dtype)
        # Samples are of the model as others will load it.
        stored = dataclasses.replace(load_model(partial), name=sharing.title)
        write_json(partial / CONFIG, as_config(stored))
        samples = _render(stored, sharing, partial) if sharing.songs else []
        gin = _copy_settings(sharing.origin, partial) if sharing.origin else ""
        name = open_inverter(stored.inverter, "cpu").name if stored.inverter else ""
        card = Card(
            title=sharing.title,
            checkpoint=stored,
            address=sharing.address,
            license=sharing.license,
            origin=sharing.origin,
            inverter=name,
            results=sharing.results,
            samples=samples,
            gin=gin,
        )
        (partial / CARD).write_text(write_card(card), encoding="utf-8")


def as_config(checkpoint: Checkpoint) -> dict[str, Any]:
    """Returns the sizes as the Hub expects them, which counts downloads of this file."""
    return {
        "library_name": LIBRARY,
        "model_type": "spectrogram_diffusion",
        **dataclasses.asdict(checkpoint.config),
    }


def _render(checkpoint: Checkpoint, sharing: Sharing, folder: Path) -> list[Sample]:
    (folder / SAMPLES).mkdir()
    synth = Synthesizer(checkpoint, make_inverter(None, checkpoint, jax.default_backend()))
    samples: list[Sample] = []
    rendered = synth.render_many(sharing.songs, seed=sharing.seed, progress=True)
    for path, song in zip(sharing.songs, rendered, strict=True):
        audio = f"{SAMPLES}/{len(samples) + 1}_{file_name(path.stem)}.flac"
        picture = str(Path(audio).with_suffix(".png"))
        peak = max(1.0, float(np.abs(song.audio).max()))
        write_audio(folder / audio, song.audio / peak, song.sample_rate)
        frames = MAX_PICTURE_SECONDS * FRAMES_PER_SECOND
        write_spectrogram(folder / picture, song.log_mel[:frames])
        seconds = len(song.audio) / song.sample_rate
        samples.append(Sample(path.stem.replace("_", " "), audio, picture, seconds))
    return samples


def _read_gin(path: Path) -> str:
    try:
        return read_regular(path, MAX_TEXT_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise CheckpointError(path, "the settings of a run", first_line(error)) from None


def _copy_settings(origin: Origin, folder: Path) -> str:
    """Copies the settings of a run, without paths; returns those that were given."""
    if not origin.gin:
        return ""
    (folder / TRAINING).mkdir()
    texts = {name: without_paths(_read_gin(path)) for name, path in origin.gin.items()}
    for name, text in texts.items():
        (folder / TRAINING / name).write_text(text, encoding="utf-8")
    return texts.get(GIN_FILES[0], "")
