"""Rendering of notes with a soundfont by the `fluidsynth` program."""

import dataclasses
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, CorpusError, OutputError
from spectrodiff.core.files import temporary_folder, unwritable
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.music.notes import Notes, trim_overlaps

SOUNDFONT_VARIABLE = "SPECTRODIFF_SOUNDFONT"
DEBIAN_SOUNDFONTS = {
    "fluid-soundfont-gm": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "fluidr3mono-gm-soundfont": Path("/usr/share/sounds/sf3/FluidR3Mono_GM.sf3"),
}
PEAK = 10 ** (-1 / 20)  # -1 dB of full scale
# Fixed duration of drums, independent of their offsets, since tokens have none: equal tokens then
# give equal audio.
DRUM_HOLD_SECONDS = 1.0

# FluidSynth starts notes at multiples of 64 samples, and its clock counts whole milliseconds. At
# this rate both are equal, so that all notes start at the right time, delayed by one block. A rate
# of 16 kHz would also cause aliasing, since FluidSynth does not filter transposed samples.
_RENDER_RATE = 64_000
_LATENCY_SAMPLES = 64
_FRAME_BYTES = 8  # float32 stereo
BLOCK_FRAMES = 1 << 20

_TICKS_PER_BEAT, _MICROSECONDS_PER_BEAT = 500, 500_000  # a tick is a millisecond
_DRUM_CHANNEL = 9
_PITCHED_CHANNELS = tuple(channel for channel in range(16) if channel != _DRUM_CHANNEL)
_FAILED_WRITE = re.compile("(?:file write error|Error closing audio file).*: (.*?)[.]?$")
_ERROR_LINE = re.compile(r"error|fail|panic|not a soundfont|not found", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class SoundfontRenderer:
    """Renders notes to mono audio at 16 kHz; can be pickled.

    The audio depends only on the notes: it is reproducible bit by bit on one machine. Notes start
    within half a millisecond of their onsets. All instruments have the same volume and no panning;
    drums use the standard kit. Where notes of the same pitch and program overlap, the later one
    ends the earlier one.

    Args:
        soundfont: .sf2 or .sf3 file; None for the file in the environment variable
            SPECTRODIFF_SOUNDFONT, or else FluidR3 GM as installed by Debian.
        gain: None scales each song to a peak of -1 dB of full scale. A number is a common gain for
            all songs, relative to FluidSynth's scale, so that loudness depends on the notes; songs
            with a peak above -1 dB are scaled down to it (at 0.8, a tenth of the preset FULL).
        tail_seconds: audio rendered after the end of the song, for the decay of its last notes.
        reverb: whether FluidSynth adds reverberation.
        chorus: whether FluidSynth adds chorus.
        timeout_seconds: maximum time to render a song.

    Raises:
        CorpusError: if FluidSynth or the soundfont is missing.
        ConfigError: if `gain` is not above 0 or `tail_seconds` is negative.
    """

    soundfont: str | os.PathLike[str] | None = None
    gain: float | None = None
    tail_seconds: float = 0.0
    reverb: bool = False
    chorus: bool = False
    timeout_seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.gain is not None and self.gain <= 0:
            raise ConfigError("gain", "a number above 0, or None", f"{self.gain:g}")
        if self.tail_seconds < 0:
            raise ConfigError("tail_seconds", "0 or more", f"{self.tail_seconds:g}")
        find_fluidsynth()
        object.__setattr__(self, "soundfont", find_soundfont(self.soundfont))

    def render(self, song: Notes | str | os.PathLike[str]) -> np.ndarray:
        """Renders a note table or a MIDI file.

        Returns:
            int16 [round((total_seconds + tail_seconds) * 16000)].

        Raises:
            MidiError: if `song` is a file that cannot be read.
            CorpusError: if FluidSynth fails or exceeds the time limit.
            OutputError: if there is no room for temporary files.
        """
        notes = song if isinstance(song, Notes) else read_midi(song)
        seconds = notes.total_seconds + self.tail_seconds
        audio = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
        for part in _split_programs(_rendered_notes(notes)):
            audio += self._run(part, seconds, len(audio))
        return _to_int16(audio, self.gain)

    def _run(self, notes: Notes, seconds: float, num_samples: int) -> np.ndarray:
        """Renders notes at FluidSynth's scale, float32 [num_samples]."""
        with temporary_folder() as folder:
            midi, raw = folder / "song.mid", folder / "song.raw"
            try:
                _write_midi(notes, seconds, midi)
            except OSError as error:
                raise unwritable(folder, error) from error
            command = [find_fluidsynth(), *self._options(raw), str(self.soundfont), str(midi)]
            result = self._finished(command)
            self._check(result, raw, num_samples)
            return _resample(raw, num_samples)

    def _finished(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process:
            try:
                output, errors = _communicate(process, self.timeout_seconds)
            except subprocess.TimeoutExpired as error:
                expected = f"FluidSynth to finish in {self.timeout_seconds:g} s"
                raise CorpusError(str(self.soundfont), expected, "a longer run") from error
            finally:
                process.kill()
        return subprocess.CompletedProcess(command, process.returncode, output, errors)

    def _options(self, raw: Path) -> list[str]:
        settings = {
            "synth.reverb.active": int(self.reverb),
            "synth.chorus.active": int(self.chorus),
            "synth.gain": 1.0,
            "synth.sample-rate": _RENDER_RATE,
            "synth.polyphony": 1024,
            "synth.cpu-cores": 1,
            "synth.lock-memory": 0,
            "synth.dynamic-sample-loading": 1,
            "audio.file.type": "raw",
            "audio.file.format": "float",
        }
        options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
        # An empty file of commands replaces that of the user.
        return ["-q", "-n", "-i", "-f", os.devnull, *options, "-F", str(raw)]

    def _check(self, result: subprocess.CompletedProcess[str], raw: Path, num_samples: int) -> None:
        # After most errors FluidSynth exits with status 0, or continues with another soundfont.
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if _ERROR_LINE.search(line)]
        if result.returncode != 0 or errors:
            got = (errors or lines or [f"exit status {result.returncode}"])[-1]
            if found := _FAILED_WRITE.search(got):
                raise OutputError(raw.parent, "room for a rendered song", found[1])
            raise CorpusError(str(self.soundfont), "FluidSynth to render with it", got)
        frames = raw.stat().st_size // _FRAME_BYTES if raw.exists() else 0
        if frames * SAMPLE_RATE < num_samples * _RENDER_RATE:
            expected = f"FluidSynth to render {num_samples / SAMPLE_RATE:.2f} s with it"
            got = f"{frames / _RENDER_RATE:.2f} s"
            raise CorpusError(str(self.soundfont), expected, got)


def find_fluidsynth() -> str:
    """Returns the path of the FluidSynth program.

    Raises:
        CorpusError: if FluidSynth is not installed.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        expected = "the program on the PATH (Debian package fluidsynth)"
        raise CorpusError("fluidsynth", expected, "none")
    return program


def find_soundfont(soundfont: str | os.PathLike[str] | None = None) -> str:
    """Returns the path of a soundfont: the given one, $SPECTRODIFF_SOUNDFONT, or Debian's.

    Raises:
        CorpusError: if there is no soundfont.
    """
    given = soundfont or os.environ.get(SOUNDFONT_VARIABLE)
    if given:
        if not Path(given).is_file():
            raise CorpusError(given, "a soundfont (.sf2 or .sf3)", "no such file")
        return os.fspath(given)
    for path in DEBIAN_SOUNDFONTS.values():
        if path.is_file():
            return str(path)
    packages = " or ".join(DEBIAN_SOUNDFONTS)
    expected = f"the Debian package {packages}, or {SOUNDFONT_VARIABLE} to name an .sf2 file"
    raise CorpusError("soundfont", expected, "neither")


def _rendered_notes(notes: Notes) -> Notes:
    """Gives drums the standard kit and a fixed duration, and trims overlaps."""
    offset = np.where(notes.is_drum, notes.onset_seconds + DRUM_HOLD_SECONDS, notes.offset_seconds)
    program = np.where(notes.is_drum, 0, notes.program)
    return trim_overlaps(dataclasses.replace(notes, offset_seconds=offset, program=program))


def _communicate(process: subprocess.Popen[str], seconds: float) -> tuple[str, str]:
    """Waits for a process and returns its output and errors.

    A suspension of this process, for example by Ctrl-Z, counts as at most one second, since
    FluidSynth is suspended too.

    Raises:
        subprocess.TimeoutExpired: if the process does not end in time.
    """
    while True:
        wait = min(seconds, 1.0)
        try:
            return process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            seconds -= wait
            if seconds <= 0:
                raise


def _split_programs(notes: Notes) -> Iterator[Notes]:
    """Yields the notes in parts, each with at most as many programs as MIDI has channels."""
    programs = np.unique(notes.program[~notes.is_drum])
    if notes.is_drum.any() and not len(programs):
        yield notes
    for first in range(0, len(programs), len(_PITCHED_CHANNELS)):
        chosen = np.isin(notes.program, programs[first : first + len(_PITCHED_CHANNELS)])
        yield notes.select(notes.is_drum & (first == 0) | ~notes.is_drum & chosen)


def _write_midi(notes: Notes, seconds: float, path: Path) -> None:
    """Writes a MIDI file of `seconds`, with one channel per program and ticks of a millisecond."""
    import mido

    programs = np.unique(notes.program[~notes.is_drum]).tolist()
    channels = dict(zip(programs, _PITCHED_CHANNELS, strict=False))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=_MICROSECONDS_PER_BEAT)])
    for program, channel in channels.items():
        track.append(mido.Message("program_change", channel=channel, program=program))
    events = []  # (tick, 0 for note-off or 1 for note-on, channel, pitch, velocity)
    for row in range(len(notes)):
        channel = _DRUM_CHANNEL if notes.is_drum[row] else channels[int(notes.program[row])]
        pitch, velocity = int(notes.pitch[row]), int(notes.velocity[row])
        on = round(1000 * float(notes.onset_seconds[row]))
        off = round(1000 * float(notes.offset_seconds[row]))
        events += [(on, 1, channel, pitch, velocity), (max(off, on + 1), 0, channel, pitch, 0)]
    tick = 0
    for event_tick, is_onset, channel, pitch, velocity in sorted(events):
        kind = "note_on" if is_onset else "note_off"
        message = mido.Message(kind, channel=channel, note=pitch, velocity=velocity)
        track.append(message.copy(time=event_tick - tick))
        tick = event_tick
    # FluidSynth renders until the end of the track.
    end_tick = max(tick, round(1000 * seconds))
    track.append(mido.MetaMessage("end_of_track", time=end_tick - tick))
    mido.MidiFile(type=0, ticks_per_beat=_TICKS_PER_BEAT, tracks=[track]).save(path)


def _resample(raw: Path, num_samples: int) -> np.ndarray:
    """Converts FluidSynth's stereo output to mono at 16 kHz in blocks, float32 [num_samples]."""
    import soxr

    stereo = np.memmap(raw, np.float32, "r").reshape(-1, 2)[_LATENCY_SAMPLES:]
    stream = soxr.ResampleStream(_RENDER_RATE, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    audio = np.zeros(num_samples, np.float32)
    done = 0
    for first in range(0, len(stereo), BLOCK_FRAMES):
        mono = stereo[first : first + BLOCK_FRAMES].mean(axis=1)
        block = stream.resample_chunk(mono, last=first + BLOCK_FRAMES >= len(stereo))
        block = block[: num_samples - done]
        audio[done : done + len(block)] = block
        done += len(block)
    return audio


def _to_int16(audio: np.ndarray, gain: float | None) -> np.ndarray:
    """Applies the gain (see `SoundfontRenderer`) and rounds to int16, without clipping."""
    peak = float(np.abs(audio).max(initial=0.0))
    if gain is None:
        gain = PEAK / peak if peak else 1.0
    elif peak * gain > PEAK:
        gain = PEAK / peak
    return np.round(audio * (gain * 32767)).astype(np.int16)
