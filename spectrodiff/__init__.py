"""spectrodiff: notes turned into sound by a spectrogram diffusion model.

import spectrodiff as sd

synth = sd.load("mini")
song = synth.render("song.mid")
song.audio, song.sample_rate, song.log_mel

sd.save(synth, "folder")  # which sd.load reads

tokens = sd.tokenize("song.mid")  # int32 [segments, 2048]
log_mel = sd.log_mel(audio)  # float32 [frames, 128]
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spectrodiff.audio.features import log_mel
    from spectrodiff.music.midi.reader import read_midi
    from spectrodiff.music.midi.writer import write_midi
    from spectrodiff.music.notes import Notes
    from spectrodiff.music.tokenizer import tokenize
    from spectrodiff.sharing.saving import save
    from spectrodiff.synthesis.loading import load
    from spectrodiff.synthesis.parts import Song
    from spectrodiff.synthesis.synthesizer import Synthesizer

__version__ = "0.1.0"

__all__ = [
    "Notes",
    "Song",
    "Synthesizer",
    "load",
    "log_mel",
    "read_midi",
    "save",
    "tokenize",
    "write_midi",
]

# Where each public name lives. They are imported when first used, so that importing the package
# costs nothing.
_HOMES = {
    "Notes": "music.notes",
    "Song": "synthesis.parts",
    "Synthesizer": "synthesis.synthesizer",
    "load": "synthesis.loading",
    "log_mel": "audio.features",
    "read_midi": "music.midi.reader",
    "save": "sharing.saving",
    "tokenize": "music.tokenizer",
    "write_midi": "music.midi.writer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
