"""Notes rendered with the samples of a soundfont, by the `fluidsynth` program."""

import dataclasses
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spectrodiff.core.constants import SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, CorpusError
from spectrodiff.music.notes import Notes, read_midi, trim_overlaps

SOUNDFONT_VARIABLE = "SPECTRODIFF_SOUNDFONT"
DEBIAN_SOUNDFONTS = {
    "fluid-soundfont-gm": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "fluidr3mono-gm-soundfont": Path("/usr/share/sounds/sf3/FluidR3Mono_GM.sf3"),
}
PEAK = 10 ** (-1 / 20)  # -1 dB of full scale
# Drums are held as long whatever their offsets say, for tokens carry none: same tokens, same sound.
DRUM_HOLD_SECONDS = 1.0

# FluidSynth starts notes only every 64 samples, and its clock counts whole milliseconds. At this
# rate the two are one, and every note begins exactly when it should, if a block late. Samples
# played back at 16 kHz would also alias, for FluidSynth does not filter what it plays faster.
_RENDER_RATE = 64_000
_LATENCY_SAMPLES = 64
_FRAME_BYTES = 8  # float32 stereo
_CHUNK_FRAMES = 1 << 20

_TICKS_PER_BEAT, _MICROSECONDS_PER_BEAT = 500, 500_000  # a tick is a millisecond
_DRUM_CHANNEL = 9
_PITCHED_CHANNELS = tuple(channel for channel in range(16) if channel != _DRUM_CHANNEL)
_TROUBLE = re.compile(r"error|fail|panic|not a soundfont|not found", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class SoundfontRenderer:
    """Renders notes to 16 kHz mono. Instances can be pickled; processes may share one's settings.

    The sound follows from the notes alone: the same bytes every time on one machine. Notes begin
    within half a millisecond of their onsets. All instruments play centred and equally loud, drums
    on the standard kit. Where notes of one key and program overlap, the later one ends the other.

    Args:
        soundfont: an .sf2 or .sf3 file; None takes the one that the environment variable
            SPECTRODIFF_SOUNDFONT names, else FluidR3 GM where Debian installs it.
        gain: None scales every piece to a peak of -1 dB of full scale. A number is one gain for all
            pieces, relative to FluidSynth's own scale, so that loudness follows from the notes;
            then only a piece with a higher peak is scaled, down to -1 dB (at 0.8, a tenth of FULL).
        tail_seconds: sound rendered past the end of the song, in which its last notes die away.
        reverb: whether FluidSynth adds reverberation.
        chorus: whether it adds chorus.
        timeout_seconds: how long a piece may take.

    Raises:
        CorpusError: if FluidSynth or the soundfont is missing.
        ConfigError: if a number makes no sense.
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
            int16 [samples], round((total_seconds + tail_seconds) * 16000) of them.

        Raises:
            MidiError: if `song` is a file that cannot be read.
            CorpusError: if FluidSynth fails or takes too long.
        """
        notes = song if isinstance(song, Notes) else read_midi(song)
        seconds = notes.total_seconds + self.tail_seconds
        audio = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
        for part in _parts_of_few_programs(_as_heard(notes)):
            audio += self._run(part, seconds, len(audio))
        return _to_int16(audio, self.gain)

    def _run(self, notes: Notes, seconds: float, num_samples: int) -> np.ndarray:
        """Float32 [num_samples] at FluidSynth's own scale."""
        with tempfile.TemporaryDirectory(prefix="spectrodiff-") as folder:
            midi, raw = Path(folder, "song.mid"), Path(folder, "song.raw")
            _write_midi(notes, seconds, midi)
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
        # An empty file of commands, so that the user's own is not read.
        return ["-q", "-n", "-i", "-f", os.devnull, *options, "-F", str(raw)]

    def _check(self, result: subprocess.CompletedProcess[str], raw: Path, num_samples: int) -> None:
        # FluidSynth ends with status 0 after most errors, or goes on with another soundfont.
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        trouble = [line for line in lines if _TROUBLE.search(line)]
        if result.returncode != 0 or trouble:
            got = (trouble or lines or [f"exit status {result.returncode}"])[-1]
            raise CorpusError(str(self.soundfont), "FluidSynth to render with it", got)
        frames = raw.stat().st_size // _FRAME_BYTES if raw.exists() else 0
        if frames * SAMPLE_RATE < num_samples * _RENDER_RATE:
            expected = f"FluidSynth to render {num_samples / SAMPLE_RATE:.2f} s with it"
            got = f"{frames / _RENDER_RATE:.2f} s"
            raise CorpusError(str(self.soundfont), expected, got)


def find_fluidsynth() -> str:
    """The path of the FluidSynth program.

    Raises:
        CorpusError: if it is not installed.
    """
    program = shutil.which("fluidsynth")
    if program is None:
        expected = "the program on the PATH (Debian package fluidsynth)"
        raise CorpusError("fluidsynth", expected, "none")
    return program


def find_soundfont(soundfont: str | os.PathLike[str] | None = None) -> str:
    """The path of the soundfont to use: the given one, the environment's, or Debian's.

    Raises:
        CorpusError: if there is none.
    """
    named = soundfont or os.environ.get(SOUNDFONT_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise CorpusError(named, "a soundfont (.sf2 or .sf3)", "no such file")
        return os.fspath(named)
    for path in DEBIAN_SOUNDFONTS.values():
        if path.is_file():
            return str(path)
    packages = " or ".join(DEBIAN_SOUNDFONTS)
    expected = f"the Debian package {packages}, or {SOUNDFONT_VARIABLE} to name an .sf2 file"
    raise CorpusError("soundfont", expected, "neither")


def _as_heard(notes: Notes) -> Notes:
    """Drums held for their fixed time, and no key struck while it is down."""
    held = np.where(notes.is_drum, notes.onset_seconds + DRUM_HOLD_SECONDS, notes.offset_seconds)
    kit = np.where(notes.is_drum, 0, notes.program)
    heard = dataclasses.replace(notes, offset_seconds=held, program=kit)
    return trim_overlaps(heard)


def _communicate(process: subprocess.Popen[str], seconds: float) -> tuple[str, str]:
    """Output and errors of a process that ends in time; subprocess.TimeoutExpired if it does not.

    Time in which this process is suspended, by Ctrl-Z for example, counts as a second at most:
    FluidSynth was suspended too.
    """
    while True:
        wait = min(seconds, 1.0)
        try:
            return process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            seconds -= wait
            if seconds <= 0:
                raise


def _parts_of_few_programs(notes: Notes) -> Iterator[Notes]:
    """The notes in parts that one MIDI file has channels for; no part for an empty song."""
    programs = np.unique(notes.program[~notes.is_drum])
    if notes.is_drum.any() and not len(programs):
        yield notes
    for first in range(0, len(programs), len(_PITCHED_CHANNELS)):
        chosen = np.isin(notes.program, programs[first : first + len(_PITCHED_CHANNELS)])
        yield notes.select(notes.is_drum & (first == 0) | ~notes.is_drum & chosen)


def _write_midi(notes: Notes, seconds: float, path: Path) -> None:
    """A MIDI file of `seconds`, one channel per program, a tick a millisecond."""
    import mido

    programs = np.unique(notes.program[~notes.is_drum]).tolist()
    channels = dict(zip(programs, _PITCHED_CHANNELS, strict=False))
    track = mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=_MICROSECONDS_PER_BEAT)])
    for program, channel in channels.items():
        track.append(mido.Message("program_change", channel=channel, program=program))
    events = []  # tick, 0 for an end and 1 for a beginning, then what plays
    for row in range(len(notes)):
        channel = _DRUM_CHANNEL if notes.is_drum[row] else channels[int(notes.program[row])]
        pitch, velocity = int(notes.pitch[row]), int(notes.velocity[row])
        on = round(1000 * float(notes.onset_seconds[row]))
        off = round(1000 * float(notes.offset_seconds[row]))
        events += [(on, 1, channel, pitch, velocity), (max(off, on + 1), 0, channel, pitch, 0)]
    tick = 0
    for event_tick, begins, channel, pitch, velocity in sorted(events):
        kind = "note_on" if begins else "note_off"
        message = mido.Message(kind, channel=channel, note=pitch, velocity=velocity)
        track.append(message.copy(time=event_tick - tick))
        tick = event_tick
    # FluidSynth renders up to the end of the track.
    end_tick = max(tick, round(1000 * seconds))
    track.append(mido.MetaMessage("end_of_track", time=end_tick - tick))
    mido.MidiFile(type=0, ticks_per_beat=_TICKS_PER_BEAT, tracks=[track]).save(path)


def _resample(raw: Path, num_samples: int) -> np.ndarray:
    """Mono float32 [num_samples] at 16 kHz from FluidSynth's float32 stereo, a chunk at a time."""
    import soxr

    stereo = np.memmap(raw, np.float32, "r").reshape(-1, 2)[_LATENCY_SAMPLES:]
    stream = soxr.ResampleStream(_RENDER_RATE, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    audio = np.zeros(num_samples, np.float32)
    done = 0
    for first in range(0, len(stereo), _CHUNK_FRAMES):
        mono = stereo[first : first + _CHUNK_FRAMES].mean(axis=1)
        chunk = stream.resample_chunk(mono, last=first + _CHUNK_FRAMES >= len(stereo))
        wanted = chunk[: num_samples - done]
        audio[done : done + len(wanted)] = wanted
        done += len(wanted)
    return audio


def _to_int16(audio: np.ndarray, gain: float | None) -> np.ndarray:
    """Scales by the rule of `SoundfontRenderer` and rounds; nothing clips."""
    peak = float(np.abs(audio).max(initial=0.0))
    if gain is None:
        gain = PEAK / peak if peak else 1.0
    elif peak * gain > PEAK:
        gain = PEAK / peak
    return np.round(audio * (gain * 32767)).astype(np.int16)
