"""The web application of the page: addresses, and what is answered at each."""

import asyncio
import logging
import re
import threading
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Self

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import spectrodiff
from spectrodiff.core.constants import FRAMES_PER_SECOND, NUM_MELS, SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, SpectrodiffError
from spectrodiff.music.steering import Steering
from spectrodiff.player.downloads import MEDIA_TYPES, audio_file, file_name, midi_file, stems_file
from spectrodiff.player.guard import Guard
from spectrodiff.player.renderings import OverError, Rendering, SentPart
from spectrodiff.player.requests import (
    LOOK_SECONDS,
    TooLargeError,
    read_body,
    read_json,
    read_program,
    read_rows,
    read_sampling,
    read_settings,
    shortened,
    title_of,
)
from spectrodiff.player.studio import Studio, UnknownError, title_of_example
from spectrodiff.player.wire import pack_error, pack_part

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"


STATUS: dict[type[Exception], int] = {
    TooLargeError: 413,
    SpectrodiffError: 422,
    UnknownError: 404,
    ClientDisconnect: 400,
}
"""Status of the answer to each kind of error."""

MAX_SAID_LETTERS = 500


class Waiting:
    """Somebody who waits for something to be rendered, until leaving this.

    Args:
        closing: set when the server stops.
    """

    def __init__(self, closing: threading.Event) -> None:
        self._left, self._closing = threading.Event(), closing

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends the waiting."""
        self._left.set()

    def is_over(self) -> bool:
        """Returns True if nobody waits any more."""
        return self._left.is_set() or self._closing.is_set()


class Pages:
    """Answers to all requests.

    Args:
        studio: models, songs and renderings.
    """

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def page(self, request: Request) -> Response:
        """Returns the page itself."""
        return FileResponse(PAGE / "index.html")

    async def setup(self, request: Request) -> Response:
        """Returns models, examples and limits."""
        studio = self._studio
        return JSONResponse(
            {
                "version": spectrodiff.__version__,
                "sample_rate": SAMPLE_RATE,
                "frame_seconds": 1 / FRAMES_PER_SECOND,
                "mel_bins": NUM_MELS,
                "upload_bytes": studio.upload_bytes,
                "max_minutes": studio.max_minutes,
                "song": studio.first_song,
                "examples": [
                    {"name": name, "title": title_of_example(name)} for name in studio.examples
                ],
                "models": [model.described() for model in studio.models.values()],
            }
        )

    async def add_song(self, request: Request) -> Response:
        """Takes a MIDI file."""
        data = await read_body(request, self._studio.upload_bytes, "a MIDI file")
        title = title_of(request.query_params.get("name"))
        song = await self._studio.add_song(title, data)
        return JSONResponse(song.described())

    async def add_example(self, request: Request) -> Response:
        """Opens an example."""
        song = await self._studio.add_example(request.path_params["name"])
        return JSONResponse(song.described())

    async def add_phrase(self, request: Request) -> Response:
        """Takes what was played on the keyboard."""
        body = await read_json(request)
        notes = read_rows(body, "notes")
        song = self._studio.add_phrase(notes, read_program(body.get("program", 0)))
        return JSONResponse(song.described())

    async def song(self, request: Request) -> Response:
        """Returns a song."""
        return JSONResponse(self._studio.song(request.path_params["id"]).described())

    async def add_take(self, request: Request) -> Response:
        """Begins a take."""
        body = await read_json(request)
        song = self._studio.song(_text(body.get("song"), "song"))
        model = self._studio.model(body.get("model"))
        settings = read_settings(body, song, model.synth.sampling)
        made = await self._studio.add_rendering(song, model, settings)
        return JSONResponse(await self._studio.render(made.described))

    async def steer_take(self, request: Request) -> Response:
        """Changes the settings of a take from a segment on."""
        take = self._take(request)
        body = await read_json(request)
        segment = body.get("segment")
        if not isinstance(segment, int) or isinstance(segment, bool):
            raise ConfigError("segment", "a whole number", shortened(segment))
        settings = read_settings(body, take.song, take.synth.sampling)

        def steer() -> dict[str, object]:
            take.steer(segment, settings)
            return take.described()

        return JSONResponse(await self._studio.render(steer))

    async def parts(self, request: Request) -> Response:
        """Streams the parts of a take."""
        take = self._take(request)
        revision = _number(request, "revision", take.revision)
        first = _number(request, "segment", 0)
        waiting = Waiting(self._studio.closing)

        async def stream() -> AsyncIterator[bytes]:
            with waiting:
                for segment in range(take.segments):
                    part = await self._part(take, segment, revision, waiting)
                    if part is None:
                        return
                    if segment >= first:
                        yield pack_part(part)

        return _streamed(stream())

    async def _part(
        self, take: Rendering, segment: int, revision: int, waiting: Waiting
    ) -> SentPart | None:
        """Returns a part, at once if it exists, or else when the renderer comes to it."""
        if waiting.is_over() or take.forgotten.is_set() or take.revision != revision:
            return None
        part = take.rendered(segment)
        if part is not None:
            return part
        return await self._studio.render(take.part, segment, revision, waiting.is_over)

    async def download(self, request: Request) -> Response:
        """Returns a file made from a take."""
        take, name = self._take(request), request.path_params["file"]
        if name not in MEDIA_TYPES:
            raise UnknownError(name)
        with Waiting(self._studio.closing) as waiting:
            making = asyncio.create_task(self._file(take, name, waiting))
            while not making.done():
                await asyncio.wait([making], timeout=LOOK_SECONDS)
                if waiting.is_over() or await request.is_disconnected():
                    waiting.end()
            try:
                data = await making
            except OverError:
                return JSONResponse({"error": "the server is stopping"}, 503)
        headers = {"Content-Disposition": f'attachment; filename="{file_name(take, name)}"'}
        return Response(data, media_type=MEDIA_TYPES[name], headers=headers)

    async def _file(self, take: Rendering, name: str, waiting: Waiting) -> bytes:
        """Returns the contents of a file, after rendering what is left of the song."""
        revision = take.revision
        if not len(take.take.score.notes):
            raise ConfigError(take.song.title, "rows that sound", "none")
        if name == "notes.mid":
            return midi_file(take)
        if name == "stems.zip":
            return await self._studio.write_stems(stems_file, take, waiting.is_over)
        for segment in range(take.segments):
            if await self._part(take, segment, revision, waiting) is None and waiting.is_over():
                raise OverError
        return await self._studio.write(audio_file, take, revision, Path(name).suffix)

    async def drop_take(self, request: Request) -> Response:
        """Forgets a take."""
        self._studio.drop_rendering(request.path_params["id"])
        return JSONResponse({})

    async def add_live(self, request: Request) -> Response:
        """Begins a live session."""
        body = await read_json(request)
        model = self._studio.model(body.get("model"))
        seed, sampling = read_sampling(body, model.synth.sampling)
        live = model.synth.live(seed=seed, **vars(sampling))
        session = self._studio.add_live(live, model, read_program(body.get("program", 0)))
        return JSONResponse(
            {
                "id": session.id,
                "latency_seconds": live.latency_seconds,
                "segment_seconds": live.segment_seconds,
            }
        )

    async def live_events(self, request: Request) -> Response:
        """Takes keys that were pressed or released."""
        session = self._studio.live(request.path_params["id"])
        session.take(read_rows(await read_json(request), "events"))
        return JSONResponse({})

    async def steer_live(self, request: Request) -> Response:
        """Changes the settings of a live session."""
        session = self._studio.live(request.path_params["id"])
        body = await read_json(request)
        program = read_program(body.get("program", session.program))
        seed, sampling = read_sampling(body, session.own)
        steering = Steering(transpose=body.get("transpose", 0))
        session.live.steer(steering, seed=seed, **vars(sampling))
        session.program = program
        return JSONResponse({})

    async def live_parts(self, request: Request) -> Response:
        """Streams the parts of a live session."""
        session = self._studio.live(request.path_params["id"])

        async def stream() -> AsyncIterator[bytes]:
            async for part in session.parts(self._studio.render):
                yield pack_part(part)

        return _streamed(stream())

    async def drop_live(self, request: Request) -> Response:
        """Ends a live session."""
        self._studio.drop_live(request.path_params["id"])
        return JSONResponse({})

    def _take(self, request: Request) -> Rendering:
        return self._studio.rendering(request.path_params["id"])


def make_app(studio: Studio, names: Collection[str] | None) -> Guard:
    """Returns the application.

    Args:
        studio: models, songs and renderings.
        names: host names that the server is reached by; None for any.
    """
    pages = Pages(studio)
    routes = [
        Route("/", pages.page),
        Mount("/static", StaticFiles(directory=PAGE)),
        Route("/api/setup", pages.setup),
        Route("/api/songs", pages.add_song, methods=["POST"]),
        Route("/api/songs/{id}", pages.song),
        Route("/api/examples/{name}", pages.add_example, methods=["POST"]),
        Route("/api/phrases", pages.add_phrase, methods=["POST"]),
        Route("/api/takes", pages.add_take, methods=["POST"]),
        Route("/api/takes/{id}", pages.drop_take, methods=["DELETE"]),
        Route("/api/takes/{id}/steer", pages.steer_take, methods=["POST"]),
        Route("/api/takes/{id}/parts", pages.parts),
        Route("/api/takes/{id}/{file}", pages.download),
        Route("/api/live", pages.add_live, methods=["POST"]),
        Route("/api/live/{id}", pages.drop_live, methods=["DELETE"]),
        Route("/api/live/{id}/events", pages.live_events, methods=["POST"]),
        Route("/api/live/{id}/steer", pages.steer_live, methods=["POST"]),
        Route("/api/live/{id}/parts", pages.live_parts),
    ]

    async def answered(request: Request, error: Exception) -> Response:
        status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
        said = str(error)
        if isinstance(error, UnknownError):
            said = "the server does not have this any more"
        return JSONResponse({"error": said[:MAX_SAID_LETTERS]}, status)

    async def failed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"error": error.detail}, error.status_code)

    app = Starlette(
        routes=routes,
        exception_handlers={**dict.fromkeys(STATUS, answered), HTTPException: failed},
    )
    app.state.closing = studio.closing
    return Guard(app, names)


def _streamed(parts: AsyncIterator[bytes]) -> StreamingResponse:
    async def guarded() -> AsyncIterator[bytes]:
        try:
            async for part in parts:
                yield part
        except SpectrodiffError as error:
            yield pack_error(str(error))
        except Exception:
            logger.exception("rendering failed")
            yield pack_error("rendering failed; the terminal says why")

    return StreamingResponse(guarded(), media_type="application/octet-stream")


def _number(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise ConfigError(name, "a whole number of 0 or more", shortened(value))
    return int(value)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(name, "an id", shortened(value))
    return value
