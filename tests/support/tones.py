"""A model of known sound: a note is a sine, and a song at once is louder than its parts."""

import numpy as np

from spectrodiff.music.known_instruments import adapt
from spectrodiff.music.programs import map_program_numbers
from spectrodiff.music.tokenization import Tokenization
from spectrodiff.music.tokenizer import SongTokens
from spectrodiff.synthesis.parts import Song

RATE = 16_000


class ToneSynthesizer:
    """Renders notes as sines of their pitch, and a song with several instruments `at_once` louder.

    Arguments:
        tokenization: of the model.
        amplitude: of each note.
        at_once: factor of songs with several instruments, compared with the sum of their parts.
    """

    name = "tones"

    def __init__(self, tokenization=None, amplitude=0.1, at_once=1.0):
        self.tokenization = tokenization or Tokenization()
        self.amplitude, self.at_once = amplitude, at_once
        self.rendered = []  # notes, in the order in which they were rendered
        self._notes = []

    def tokenize(self, notes, *, strict=False, name=None, overlap=0):
        self._notes.append(adapt(notes, self.tokenization).notes)
        tokens = np.full((1, 4), len(self._notes), np.int32)
        samples = int(notes.total_seconds * RATE)
        return SongTokens(tokens, samples // 320 + 1, samples, ())

    def render_each(self, songs, *, seed, batch_size, progress, on_steps):
        for number in reversed(range(len(songs))):  # in any order
            notes = self._notes[songs[number].tokens[0, 0] - 1]
            self.rendered.append(notes)
            program = map_program_numbers(notes.program, self.tokenization.program_map)
            several = len({*zip(program, notes.is_drum, strict=True)}) > 1
            audio = self.sound(notes) * (self.at_once if several else 1.0)
            frames = songs[number].num_frames
            yield number, Song(audio.astype(np.float32), RATE, np.zeros((frames, 128), np.float32))

    def sound(self, notes):
        """Sum of sines, float64 [samples]."""
        seconds = np.arange(int(notes.total_seconds * RATE)) / RATE
        audio = np.zeros(len(seconds))
        for row in range(len(notes)):
            hz = 440 * 2 ** ((notes.pitch[row] - 69) / 12)
            here = (notes.onset_seconds[row] <= seconds) & (seconds < notes.offset_seconds[row])
            audio += self.amplitude * here * np.sin(2 * np.pi * hz * seconds + 0.3)
        return audio
