"""State of the page's server: models, songs, renderings and live sessions."""

import asyncio
import collections
import concurrent.futures
import dataclasses
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from spectrodiff.core.errors import ConfigError
from spectrodiff.music.general_midi import PROGRAM_NAMES, short_names
from spectrodiff.music.known_instruments import describe_known
from spectrodiff.music.midi.container import MAX_FILE_BYTES
from spectrodiff.music.midi.reader import read_midi
from spectrodiff.player.live import LiveSession
from spectrodiff.player.renderings import Rendering, Settings
from spectrodiff.player.requests import shortened
from spectrodiff.player.songs import PlayedSong, checked_song, read_phrase, read_song
from spectrodiff.synthesis.live import Live
from spectrodiff.synthesis.synthesizer import Synthesizer

MAX_SONGS = 32
# What renderings may take together: two hours are about 800 MB with the bundled model.
MAX_RENDERED_SECONDS = 7200.0
MAX_RENDERINGS = 16
MAX_LIVE = 4

Result = TypeVar("Result")


class UnknownError(Exception):
    """An id that the server does not know (any more), or a name that it never knew."""


@dataclasses.dataclass(frozen=True)
class PlayedModel:
    """A model on the page.

    Attributes:
        name: what the page calls it.
        synth: the model.
        notice: what people should know before they listen; may be empty.
        made_for: number of steps that the model is made for; None if it samples with as many.
    """

    name: str
    synth: Synthesizer
    notice: str = ""
    made_for: int | None = None

    def described(self) -> dict[str, Any]:
        """Returns the model as the page takes it."""
        known, sampling = self.synth.tokenization, self.synth.sampling
        programs = range(128) if known.programs is None else sorted(set(known.programs))
        names = dict(enumerate(PROGRAM_NAMES))
        if known.programs is not None:
            names = short_names(known.programs)
        return {
            "name": self.name,
            "notice": self.notice,
            "segment_seconds": self.synth.segment_seconds,
            "latency_seconds": self.synth.engine.latency_seconds(self.synth.sampling),
            "diffusion": self.synth.config.kind == "diffusion",
            "sampling": {
                "sampler": sampling.sampler,
                "steps": sampling.steps,
                "guidance": sampling.guidance,
                "made_for": self.made_for or sampling.steps,
            },
            "programs": [{"program": p, "name": names[p]} for p in programs],
            "drums": known.drums is None or bool(known.drums),
            "instruments": describe_known(known),
        }


class Studio:
    """Songs and renderings of all tabs, in bounded memory; used by one event loop.

    All rendering is done by one thread, segment by segment, so that tabs take turns.

    Args:
        models: models by name, the default one first.
        examples: MIDI files by name.
        max_minutes: length of the longest song.

    Attributes:
        models: models by name.
        examples: MIDI files by name.
        max_minutes: length of the longest song.
        upload_bytes: size of the largest MIDI file.
        first_song: id of the song that the page opens with; None for none.
        closing: set when the server stops.
    """

    upload_bytes = MAX_FILE_BYTES

    def __init__(
        self,
        models: Mapping[str, PlayedModel],
        *,
        examples: Mapping[str, Path] | None = None,
        max_minutes: float = 60.0,
    ) -> None:
        self.models, self.examples = dict(models), dict(examples or {})
        self.max_minutes = max_minutes
        self.first_song: str | None = None
        self._pinned: set[str] = set()
        self._songs: collections.OrderedDict[str, PlayedSong] = collections.OrderedDict()
        self._renderings: collections.OrderedDict[str, Rendering] = collections.OrderedDict()
        self._live: collections.OrderedDict[str, LiveSession] = collections.OrderedDict()
        self.closing = threading.Event()
        self._renderer = _thread("spectrodiff-render")
        self._reader = _thread("spectrodiff-read")
        self._writer = _thread("spectrodiff-write")
        self._stems = _thread("spectrodiff-stems")
        self._compiler = _thread("spectrodiff-compile")

    async def add_song(self, title: str, data: bytes) -> PlayedSong:
        """Reads a MIDI file.

        Raises:
            MidiError: if it cannot be read, has no notes or is too long.
        """
        arguments = (_new_id(), title, data, self.max_minutes)
        return self._keep(await _run(self._reader, read_song, *arguments))

    def open_with(self, song: PlayedSong) -> None:
        """Makes a song the one that the page opens with; it stays."""
        self._keep(song)
        self._pinned.add(song.id)
        self.first_song = song.id

    async def add_example(self, name: str) -> PlayedSong:
        """Reads an example.

        Raises:
            UnknownError: if there is none of this name.
        """
        if name not in self.examples:
            raise UnknownError(name)
        return await self.add_song(title_of_example(name), self.examples[name].read_bytes())

    def add_phrase(self, played: Any, program: int) -> PlayedSong:
        """Takes what was played on a keyboard; see `read_phrase`."""
        return self._keep(read_phrase(_new_id(), played, program, self.max_minutes))

    def song(self, id: str) -> PlayedSong:
        """Returns a song.

        Raises:
            UnknownError: if it is not there (any more).
        """
        return _found(self._songs, id)

    def model(self, name: object = None) -> PlayedModel:
        """Returns a model, by default the first.

        Raises:
            ConfigError: if there is none of this name.
        """
        name = next(iter(self.models)) if name is None else name
        if not isinstance(name, str) or name not in self.models:
            raise ConfigError("model", f"one of {', '.join(self.models)}", shortened(name))
        return self.models[name]

    async def add_rendering(
        self, song: PlayedSong, model: PlayedModel, settings: Settings
    ) -> Rendering:
        """Begins a take; the ones used longest ago make room for it."""
        arguments = (_new_id(), model.name, model.synth, song, settings)
        made = await self.render(Rendering, *arguments)
        others = collections.deque(self._renderings.values())
        seconds = made.seconds + sum(other.seconds for other in others)
        while others and (seconds > MAX_RENDERED_SECONDS or len(others) >= MAX_RENDERINGS):
            oldest = others.popleft()
            seconds -= oldest.seconds
            self.drop_rendering(oldest.id)
        self._renderings[made.id] = made
        return made

    def rendering(self, id: str) -> Rendering:
        """Returns a rendering.

        Raises:
            UnknownError: if it is not there (any more).
        """
        return _found(self._renderings, id)

    def drop_rendering(self, id: str) -> None:
        """Forgets a rendering."""
        rendering = self._renderings.pop(id, None)
        if rendering is not None:
            rendering.forgotten.set()

    def add_live(self, live: Live, model: PlayedModel, program: int) -> LiveSession:
        """Begins a live session; the oldest one ends if there are too many."""
        session = LiveSession(_new_id(), live, model.synth.sampling, program)
        while len(self._live) >= MAX_LIVE:
            _, oldest = self._live.popitem(last=False)
            oldest.end()
        self._live[session.id] = session
        return session

    def live(self, id: str) -> LiveSession:
        """Returns a live session.

        Raises:
            UnknownError: if it is not there (any more).
        """
        return _found(self._live, id)

    def drop_live(self, id: str) -> None:
        """Ends a live session."""
        session = self._live.pop(id, None)
        if session is not None:
            session.end()

    async def render(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Does some rendering in the thread that does it all."""
        return await _run(self._renderer, work, *arguments)

    async def write(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Encodes files, or renders for them, in a thread beside the one that renders."""
        return await _run(self._writer, work, *arguments)

    async def write_stems(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Renders stems in a thread of its own, since it takes long."""
        return await _run(self._stems, work, *arguments)

    def warm_up(self) -> None:
        """Compiles the programs of the default model, in the background."""

        def compile_all() -> None:
            for _ in self.model().synth.engine.warm_up():
                if self.closing.is_set():
                    return

        self._compiler.submit(compile_all)

    def end_streams(self) -> None:
        """Ends all streams of parts, so that the server can stop."""
        self.closing.set()
        for session in self._live.values():
            session.end()

    def close(self) -> None:
        """Ends the threads after what they are doing."""
        self.end_streams()
        for thread in (self._renderer, self._reader, self._writer, self._stems, self._compiler):
            thread.shutdown(wait=True, cancel_futures=True)

    def _keep(self, song: PlayedSong) -> PlayedSong:
        self._songs[song.id] = song
        loose = [id for id in self._songs if id not in self._pinned]
        for id in loose[: max(len(loose) - MAX_SONGS, 0)]:
            del self._songs[id]
        return song


def read_file(path: Path, max_minutes: float) -> PlayedSong:
    """Reads the song of a command line.

    Raises:
        MidiError: if it cannot be read, has no notes or is too long.
    """
    return checked_song(_new_id(), path.name, read_midi(path), max_minutes)


def title_of_example(name: str) -> str:
    """Returns the title of an example for the name of its file without suffix."""
    return name.replace("_", " ").capitalize()


Item = TypeVar("Item")


def _found(items: "collections.OrderedDict[str, Item]", id: str) -> Item:
    """Returns an item and marks it as used last."""
    if id not in items:
        raise UnknownError(id)
    items.move_to_end(id)
    return items[id]


async def _run(
    thread: concurrent.futures.Executor, work: Callable[..., Result], *arguments: Any
) -> Result:
    return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)


def _new_id() -> str:
    return secrets.token_urlsafe(9)


def _thread(name: str) -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix=name)
