"""Live sessions on the page: keys come in as they are pressed, a part goes out per segment."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.player.renderings import SentPart, encode_part
from spectrodiff.synthesis.live import Live
from spectrodiff.synthesis.parts import Song

# Time that keys take from the page to here.
GRACE_SECONDS = 0.03
MAX_EVENTS = 1000  # of a request
MAX_WAITING = 10_000


class LiveSession:
    """One keyboard that is heard in the model's sound.

    Args:
        id: what the page calls it.
        live: the song that grows.
        own: sampling settings of the model.
        program: General MIDI program of the keyboard.

    Attributes:
        own: sampling settings of the model.
        program: General MIDI program of notes that begin from now on.
    """

    def __init__(self, id: str, live: Live, own: Sampling, program: int) -> None:
        self.id, self.live, self.own, self.program = id, live, own, program
        self._programs: dict[int, int] = {}  # of the keys that are held
        self._ended = asyncio.Event()
        self._is_streaming = False
        self._waiting = 0  # events since the last part

    def take(self, events: Sequence[Sequence[float]]) -> None:
        """Takes keys that were pressed or released.

        Args:
            events: for each the seconds since the session began, pitch, and velocity, 0 for a
                release.

        Raises:
            ConfigError: if an event is none of this.
            MidiError: if pitch or velocity is out of range.
        """
        if len(events) > MAX_EVENTS or any(len(event) != 3 for event in events):
            expected = f"at most {MAX_EVENTS} of seconds, pitch and velocity"
            raise ConfigError("events", expected, f"{len(events)} others")
        if self._waiting + len(events) > MAX_WAITING:
            raise ConfigError("events", "a stream of the session's parts", "none that is read")
        self._waiting += len(events)
        if any(pitch % 1 or velocity % 1 for _, pitch, velocity in events):
            raise ConfigError("events", "whole pitches and velocities", "others")
        for seconds, pitch, velocity in events:
            key = int(pitch)
            if velocity:
                self._programs[key] = self.program
                self.live.note_on(key, int(velocity), program=self.program, seconds=seconds)
            else:
                # A key sounds on the instrument that it was pressed for.
                program = self._programs.pop(key, self.program)
                self.live.note_off(key, program=program, seconds=seconds)

    def end(self) -> None:
        """Ends the stream of parts."""
        self._ended.set()

    async def parts(
        self, render: Callable[[Callable[[], Song]], Awaitable[Song]]
    ) -> AsyncIterator[SentPart]:
        """Yields a part after each segment's time has passed, from now on.

        Args:
            render: runs a function that renders, in another thread.

        Raises:
            ConfigError: if they are streamed already.
        """
        if self._is_streaming:
            raise ConfigError("live session", "one stream of its parts", "a second one")
        self._is_streaming = True
        loop = asyncio.get_running_loop()
        begin, number, samples, frames = loop.time(), 0, 0, 0
        while not self._ended.is_set():
            end = begin + (number + 1) * self.live.segment_seconds + GRACE_SECONDS
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), max(end - loop.time(), 0))
                return
            start = time.perf_counter()
            self._waiting = 0
            part = await render(self.live.pull)
            seconds = time.perf_counter() - start
            yield encode_part(part, number, samples, frames, seconds, False)
            number, samples = number + 1, samples + len(part.audio)
            frames += len(part.log_mel)
