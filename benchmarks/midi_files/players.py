"""Events of MIDI files in the order in which players send them to a synthesizer.

Two independent answers: FluidSynth's player, and the events of mido merged in time.
"""

import ctypes
import ctypes.util
import dataclasses
import io
import struct
from collections.abc import Callable

from midi_files.playing import CONTROL, NOTE_OFF, NOTE_ON, PROGRAM, SYSEX, TEMPO, Event

# At this rate FluidSynth's player wakes up every millisecond.
_SAMPLE_RATE, _BLOCK_SAMPLES = 64_000, 64
_BLOCKS_AT_ONCE = 1024
_EXTERNAL_TEMPO, _PLAYING, _TEXT = 2, 1, 1
_MAX_TICKS = 60_000_000
_KINDS = (NOTE_OFF, NOTE_ON, CONTROL, PROGRAM, SYSEX, TEMPO)


class FluidSynth:
    """FluidSynth's player of MIDI files without a sound.

    Its own clock has steps of milliseconds, in which it plays track by track. So that events come
    tick by tick, it is told to play a tick per step; the tempo events are recorded like others and
    turned into seconds later. It reads neither SMPTE time codes nor ports, refuses most damaged
    files, and plays the patterns of a file of type 2 together. Of a tick, the events come track by
    track, but in which track they stand is not known.

    Raises:
        OSError: if the library is not installed.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(ctypes.util.find_library("fluidsynth") or "libfluidsynth.so.3")
        for name in ("new_fluid_settings", "new_fluid_synth", "new_fluid_player"):
            getattr(self._library, name).restype = ctypes.c_void_p
        for level in range(5):
            self._library.fluid_set_log_function(level, None, None)
        self._settings = ctypes.c_void_p(self._library.new_fluid_settings())
        rate = ctypes.c_double(_SAMPLE_RATE)
        self._library.fluid_settings_setnum(self._settings, b"synth.sample-rate", rate)
        for name in (b"synth.reverb.active", b"synth.chorus.active", b"synth.lock-memory"):
            self._library.fluid_settings_setint(self._settings, name, 0)

    def events(self, data: bytes) -> tuple[list[Event], int]:
        """Returns the events and the division of a file.

        Raises:
            ValueError: if FluidSynth does not play the file.
        """
        if len(data) < 14 or data[:4] != b"MThd":
            raise ValueError("no header")
        (division,) = struct.unpack(">h", data[12:14])
        if division <= 0:
            raise ValueError("SMPTE time codes")
        # A new one for each file, because the clock of a synthesizer overflows.
        synth = ctypes.c_void_p(self._library.new_fluid_synth(self._settings))
        player = ctypes.c_void_p(self._library.new_fluid_player(synth))
        events: list[Event] = []
        heard = 0

        def record(_: None, pointer: int) -> int:
            nonlocal heard
            heard += 1
            event = ctypes.c_void_p(pointer)
            status = self._library.fluid_midi_event_get_type(event)
            if status in _KINDS:
                channel = self._library.fluid_midi_event_get_channel(event)
                first = self._library.fluid_midi_event_get_key(event)
                second = self._library.fluid_midi_event_get_velocity(event)
                sysex = self._sysex(event) if status == SYSEX else b""
                if status not in (SYSEX, TEMPO):
                    first, second = min(first, 127), min(second, 127)
                tick = self._library.fluid_player_get_current_tick(player)
                events.append(Event(tick, status, channel, first, second, sysex))
            return 0

        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        callback = kind(record)
        self._library.fluid_player_set_playback_callback(player, callback, None)
        self._library.fluid_player_add_mem(player, data, ctypes.c_size_t(len(data)))
        tempo = ctypes.c_double(1000.0 * division)
        self._library.fluid_player_set_tempo(player, _EXTERNAL_TEMPO, tempo)
        self._library.fluid_player_play(player)
        ticks = 0
        while self._library.fluid_player_get_status(player) == _PLAYING and ticks < _MAX_TICKS:
            samples = _BLOCKS_AT_ONCE * _BLOCK_SAMPLES
            self._library.fluid_synth_process(synth, samples, 0, None, 0, None)
            ticks += _BLOCKS_AT_ONCE
        self._library.delete_fluid_player(player)
        self._library.delete_fluid_synth(synth)
        if ticks >= _MAX_TICKS or not heard:
            raise ValueError("not played")
        return events, division

    def _sysex(self, event: ctypes.c_void_p) -> bytes:
        """Returns the data of a system exclusive event, which only text events hand out."""
        data, size = ctypes.c_void_p(), ctypes.c_int()
        self._library.fluid_midi_event_set_type(event, _TEXT)
        self._library.fluid_midi_event_get_text(event, ctypes.byref(data), ctypes.byref(size))
        self._library.fluid_midi_event_set_type(event, SYSEX)
        return ctypes.string_at(data, size.value) if data else b""


def mido_events(data: bytes) -> tuple[list[Event], int]:
    """Returns the events and the division of a file that mido can read; it raises anything."""
    import mido

    file = mido.MidiFile(file=io.BytesIO(data), clip=True)
    events = []
    for number, track in enumerate(file.tracks):
        # The first port of a track holds from its beginning: some programs write it after others.
        ports = [message.port for message in track if message.type == "midi_port"]
        tick, port = 0, ports[0] if ports else 0
        for message in track:
            tick += message.time
            if message.type == "midi_port":
                port = message.port
            elif (read := _MESSAGES.get(message.type)) is not None:
                status, *values = read(message)
                channel = 16 * port + getattr(message, "channel", 0)
                event = Event(tick, status, channel, *values)
                events.append(dataclasses.replace(event, track=number))
    events.sort(key=lambda event: event.tick)
    return events, file.ticks_per_beat


_MESSAGES: dict[str, Callable] = {
    "note_on": lambda message: (NOTE_ON, message.note, message.velocity),
    "note_off": lambda message: (NOTE_OFF, message.note, message.velocity),
    "control_change": lambda message: (CONTROL, message.control, message.value),
    "program_change": lambda message: (PROGRAM, message.program),
    "sysex": lambda message: (SYSEX, 0, 0, bytes(message.data)),
    "set_tempo": lambda message: (TEMPO, message.tempo),
}
