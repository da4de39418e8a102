"""Reading of what the page sends: everything is bounded and checked."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.steering import Part, Steering
from spectrodiff.player.renderings import Settings
from spectrodiff.player.songs import PlayedSong

MAX_JSON_BYTES = 2 * 2**20
# Bytes of a body that are read and discarded, so that a browser that sends too much gets an answer.
MOST_DISCARDED_BYTES = 256 * 2**20
MAX_TITLE_LETTERS = 120
MAX_SHOWN_LETTERS = 80
MAX_STEPS = 1000
MAX_GUIDANCE = 20.0
SLOWEST, FASTEST = 0.5, 2.0
LARGEST_NUMBER = 1e9
MAX_SEED = 2**32 - 1
# Time between two looks whether somebody still waits for a download, or the server stops.
LOOK_SECONDS = 0.25


class TooLargeError(Exception):
    """A body of more bytes than allowed; the message says how many."""


async def read_body(request: Request, most: int, kind: str) -> bytes:
    """Returns the body of a request.

    Args:
        request: the request.
        most: bytes that are allowed.
        kind: word for what is expected, for the message.

    Raises:
        TooLargeError: if it has more than `most` bytes.
        ClientDisconnect: if the rest does not come, or the server stops before.
    """
    body, size, more = bytearray(), 0, True
    while more:
        message = await _next_message(request)
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size <= most:
            body += chunk
        elif size > MOST_DISCARDED_BYTES:
            break
    if size > most:
        raise TooLargeError(f"expected {kind} of at most {most >> 20} MiB, got a larger one")
    return bytes(body)


async def read_json(request: Request) -> dict[str, Any]:
    """Returns the JSON object that a request carries, {} for none.

    Raises:
        TooLargeError: if it is too long.
        ConfigError: if it is no JSON object.
    """
    body = await read_body(request, MAX_JSON_BYTES, "JSON")
    try:
        value = json.loads(body or b"{}", parse_constant=_refuse)
    except (ValueError, RecursionError) as error:  # NaN and infinity, too
        raise ConfigError("request", "JSON", "something else") from error
    if not isinstance(value, dict):
        raise ConfigError("request", "a JSON object", type(value).__name__)
    return value


def read_rows(body: Mapping[str, Any], name: str) -> list[list[float]]:
    """Returns a list of lists of numbers that a request names.

    Raises:
        ConfigError: if it is something else, or a number is beyond a billion.
    """
    rows = body.get(name)
    valid = isinstance(rows, list) and all(
        isinstance(row, list) and all(_is_number(value) for value in row) for row in rows
    )
    _require(valid, name, "lists of numbers", rows)
    assert isinstance(rows, list)
    return rows


def shortened(value: object) -> str:
    """Returns a value as text that is not long."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN_LETTERS else f"{text[:MAX_SHOWN_LETTERS]}..."


def title_of(name: str | None) -> str:
    """Returns the title of a song for the name of its file, which is never used as a path."""
    name = (name or "").replace("\\", "/").rsplit("/", 1)[-1]
    shown = "".join(letter for letter in name if letter.isprintable()).strip()
    return shown[:MAX_TITLE_LETTERS] or "song"


def read_settings(body: Mapping[str, Any], song: PlayedSong, own: Sampling) -> Settings:
    """Returns the settings that a request names.

    Args:
        body: the request, with "settings" and "steering"; what is left out is neutral.
        song: the song, for the numbers of its rows.
        own: sampling settings of the model.

    Raises:
        ConfigError: if a value is impossible.
    """
    seed, sampling = read_sampling(body, own)
    steering = _object(body, "steering")
    programs = {
        _program(song, number): program for number, program in _object(steering, "programs").items()
    }
    muted = steering.get("muted", [])
    _require(isinstance(muted, list), "muted", "a list of rows", muted)
    tempo = steering.get("tempo", 1.0)
    in_range = _is_number(tempo) and SLOWEST <= tempo <= FASTEST
    _require(in_range, "tempo", f"a factor in {SLOWEST}..{FASTEST}", tempo)
    parts = frozenset(_part(song, number) for number in muted)
    return Settings(
        seed,
        sampling,
        Steering(
            transpose=steering.get("transpose", 0),
            tempo=tempo,
            programs=programs,
            muted=parts,
        ),
    )


def read_sampling(body: Mapping[str, Any], own: Sampling) -> tuple[int, Sampling]:
    """Returns the seed and the sampling settings that a request names.

    Args:
        body: the request, with "settings"; what is left out is the model's own.
        own: sampling settings of the model.

    Raises:
        ConfigError: if a value is impossible.
    """
    settings = _object(body, "settings")
    seed = settings.get("seed", 0)
    valid = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MAX_SEED
    _require(valid, "seed", f"a whole number in 0..{MAX_SEED}", seed)
    steps, guidance = settings.get("steps"), settings.get("guidance")
    valid = steps is None or (_is_number(steps) and 1 <= steps <= MAX_STEPS)
    _require(valid, "steps", f"a whole number in 1..{MAX_STEPS}", steps)
    valid = guidance is None or (_is_number(guidance) and 0 <= guidance <= MAX_GUIDANCE)
    _require(valid, "guidance", f"a number in 0..{MAX_GUIDANCE:g}", guidance)
    return seed, own.but(steps=steps, guidance=guidance)


def read_program(value: object) -> int:
    """Returns a General MIDI program.

    Raises:
        ConfigError: if it is none.
    """
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 127
    _require(valid, "program", "a program in 0..127", value)
    assert isinstance(value, int)
    return value


async def _next_message(request: Request) -> Message:
    """Returns the next part of a body, for which the server does not wait when it stops.

    Raises:
        ClientDisconnect: if none comes.
    """
    coming = asyncio.ensure_future(request.receive())
    try:
        while not (coming.done() or request.app.state.closing.is_set()):
            await asyncio.wait([coming], timeout=LOOK_SECONDS)
        if not coming.done() or coming.result()["type"] == "http.disconnect":
            raise ClientDisconnect("the server is stopping")
        return coming.result()
    finally:
        coming.cancel()


def _require(condition: bool, subject: str, expected: str, value: object) -> None:
    if not condition:
        raise ConfigError(subject, expected, shortened(value))


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name, {})
    _require(isinstance(value, dict), name, "a JSON object", value)
    return dict(value)


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= LARGEST_NUMBER


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _part(song: PlayedSong, number: object) -> Part:
    last = len(song.rows) - 1
    text = str(number) if isinstance(number, int | str) else ""
    valid = re.fullmatch(r"[0-9]{1,6}", text) is not None and int(text) <= last
    _require(valid, "row", f"a row in 0..{last}", number)
    program = song.rows[int(text)].program
    return "drums" if program is None else program


def _program(song: PlayedSong, number: object) -> int:
    part = _part(song, number)
    if part == "drums":
        raise ConfigError("programs", "rows of pitched instruments", "the drums")
    return part
