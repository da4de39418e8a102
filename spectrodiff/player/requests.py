"""Reading of what the page sends: everything is bounded and checked."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from spectrodiff.core.config import require
from spectrodiff.core.errors import ConfigError
from spectrodiff.diffusion.sampling import Sampling
from spectrodiff.music.steering import Part, Steering
from spectrodiff.player.renderings import Settings
from spectrodiff.player.songs import PlayedSong

MAX_JSON_BYTES = 2 * 2**20
# Bytes of a body that are read and discarded, so that a browser that sends too much gets an answer.
MOST_DISCARDED_BYTES = 256 * 2**20
MAX_TITLE_LETTERS = 120
MAX_STEPS = 1000
MAX_SEED = 2**32 - 1


class TooLargeError(Exception):
    """A body of more bytes than allowed."""


async def read_body(request: Request, most: int) -> bytes:
    """Returns the body of a request.

    Raises:
        TooLargeError: if it has more than `most` bytes.
    """
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            body += chunk
        elif size > MOST_DISCARDED_BYTES:
            break
    if size > most:
        raise TooLargeError
    return bytes(body)


async def read_json(request: Request) -> dict[str, Any]:
    """Returns the JSON object that a request carries, {} for none.

    Raises:
        TooLargeError: if it is too long.
        ConfigError: if it is no JSON object.
    """
    body = await read_body(request, MAX_JSON_BYTES)
    try:
        value = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise ConfigError("request", "JSON", "something else") from error
    if not isinstance(value, dict):
        raise ConfigError("request", "a JSON object", type(value).__name__)
    return value


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
    seed, sampling = read_sampling(_object(body, "settings"), own)
    steering = _object(body, "steering")
    programs = {
        _program(song, number): program for number, program in _object(steering, "programs").items()
    }
    muted = steering.get("muted", [])
    require(isinstance(muted, list), "muted", "a list of rows", muted)
    parts = frozenset(_part(song, number) for number in muted)
    return Settings(
        seed,
        sampling,
        Steering(
            transpose=steering.get("transpose", 0),
            tempo=steering.get("tempo", 1.0),
            programs=programs,
            muted=parts,
        ),
    )


def read_sampling(settings: Mapping[str, Any], own: Sampling) -> tuple[int, Sampling]:
    """Returns the seed and the sampling settings that a request names.

    Raises:
        ConfigError: if a value is impossible.
    """
    seed = settings.get("seed", 0)
    valid = isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= MAX_SEED
    require(valid, "seed", f"a whole number in 0..{MAX_SEED}", seed)
    sampling = own.but(steps=settings.get("steps"), guidance=settings.get("guidance"))
    require(sampling.steps <= MAX_STEPS, "steps", f"at most {MAX_STEPS}", sampling.steps)
    return seed, sampling


def read_program(value: object) -> int:
    """Returns a General MIDI program.

    Raises:
        ConfigError: if it is none.
    """
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 127
    require(valid, "program", "a program in 0..127", value)
    assert isinstance(value, int)
    return value


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name) or {}
    require(isinstance(value, dict), name, "a JSON object", value)
    return dict(value)


def _part(song: PlayedSong, number: object) -> Part:
    try:
        row = int(str(number))
    except ValueError:
        row = -1
    last = len(song.rows) - 1
    require(0 <= row <= last, "row", f"a row in 0..{last}", number)
    program = song.rows[row].program
    return "drums" if program is None else program


def _program(song: PlayedSong, number: object) -> int:
    part = _part(song, number)
    if part == "drums":
        raise ConfigError("programs", "rows of pitched instruments", "the drums")
    return part
