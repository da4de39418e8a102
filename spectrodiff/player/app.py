"""The web application of the page: addresses, and what is answered at each."""

import logging
import threading
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import spectrodiff
from spectrodiff.core.constants import HOP_SAMPLES, NUM_MELS, SAMPLE_RATE
from spectrodiff.core.errors import ConfigError, SpectrodiffError
from spectrodiff.music.steering import Steering
from spectrodiff.player.downloads import DOWNLOADS, file_name
from spectrodiff.player.guard import Guard
from spectrodiff.player.live import read_events
from spectrodiff.player.renderings import Rendering
from spectrodiff.player.requests import (
    TooLargeError,
    read_body,
    read_json,
    read_program,
    read_sampling,
    read_settings,
    title_of,
)
from spectrodiff.player.studio import Studio, UnknownError, title_of_example
from spectrodiff.player.wire import pack_error, pack_part

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"


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
                "frame_seconds": HOP_SAMPLES / SAMPLE_RATE,
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
        data = await read_body(request, self._studio.upload_bytes)
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
        events = read_events({"events": body.get("notes")})
        song = self._studio.add_phrase(events, read_program(body.get("program", 0)))
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
            raise ConfigError("segment", "a whole number", repr(segment))
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

        left = threading.Event()

        def is_over() -> bool:
            return left.is_set() or self._studio.closing.is_set()

        async def stream() -> AsyncIterator[bytes]:
            try:
                for segment in range(first, take.segments):
                    part = take.rendered(segment) if take.revision == revision else None
                    if part is None:
                        part = await self._studio.render(take.part, segment, revision, is_over)
                    if part is None or is_over():
                        return
                    yield pack_part(part)
            finally:
                left.set()

        return _streamed(stream())

    async def download(self, request: Request) -> Response:
        """Returns a file made from a take."""
        take, name = self._take(request), request.path_params["file"]
        if name not in DOWNLOADS:
            raise UnknownError(name)
        media_type, make = DOWNLOADS[name]
        data = await self._studio.write(make, take)
        disposition = f'attachment; filename="{file_name(take, name)}"'
        return Response(data, media_type=media_type, headers={"Content-Disposition": disposition})

    async def drop_take(self, request: Request) -> Response:
        """Forgets a take."""
        self._studio.drop_rendering(request.path_params["id"])
        return JSONResponse({})

    async def add_live(self, request: Request) -> Response:
        """Begins a live session."""
        body = await read_json(request)
        model = self._studio.model(body.get("model"))
        seed, sampling = read_sampling(body.get("settings") or {}, model.synth.sampling)
        live = model.synth.live(seed=seed, steps=sampling.steps, guidance=sampling.guidance)
        session = self._studio.add_live(live, read_program(body.get("program", 0)))
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
        session.take(read_events(await read_json(request)))
        return JSONResponse({})

    async def steer_live(self, request: Request) -> Response:
        """Changes the settings of a live session."""
        session = self._studio.live(request.path_params["id"])
        body = await read_json(request)
        program = read_program(body.get("program", session.program))
        steering = Steering(transpose=body.get("transpose", 0))
        settings = body.get("settings") or {}
        changes = {name: settings.get(name) for name in ("steps", "guidance")}
        session.live.steer(steering, seed=settings.get("seed"), **changes)
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

    async def too_large(request: Request, error: Exception) -> Response:
        most = f"{studio.upload_bytes >> 20} MiB"
        return JSONResponse(
            {"error": f"expected a MIDI file of at most {most}, got a larger file"},
            413,
        )

    async def refused(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 422)

    async def unknown(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": "the server does not have this any more"}, 404)

    app = Starlette(
        routes=routes,
        exception_handlers={
            TooLargeError: too_large,
            SpectrodiffError: refused,
            UnknownError: unknown,
        },
    )
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
    if not value.isascii() or not value.isdigit():
        raise ConfigError(name, "a whole number of 0 or more", repr(value))
    return int(value)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(name, "an id", repr(value))
    return value
