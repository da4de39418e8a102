"""Damage to bytes of any kind, from a random number generator."""

import random
from collections.abc import Callable

Mutation = Callable[[random.Random, bytes], bytes]


def place(rng: random.Random, data: bytes) -> int:
    """Returns a position in some bytes, or their end."""
    return rng.randrange(len(data) + 1)


def span(rng: random.Random, data: bytes) -> tuple[int, int]:
    """Returns the beginning and the end of a part of some bytes."""
    start = place(rng, data)
    return start, min(start + rng.choice((1, 1, 2, 4, 30, 500)), len(data))


def flip_bits(rng: random.Random, data: bytes) -> bytes:
    """Flips some bits."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20)) if data else 0):
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def replace(rng: random.Random, data: bytes) -> bytes:
    """Writes zeros, ones or random bytes over a part."""
    start, end = span(rng, data)
    filling = rng.choice((rng.randbytes(end - start), bytes(end - start), b"\xff" * (end - start)))
    return data[:start] + filling + data[end:]


def delete(rng: random.Random, data: bytes) -> bytes:
    """Takes a part out."""
    start, end = span(rng, data)
    return data[:start] + data[end:]


def duplicate(rng: random.Random, data: bytes) -> bytes:
    """Repeats a part, up to 50 times."""
    start, end = span(rng, data)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 50)) + data[end:]


def move(rng: random.Random, data: bytes) -> bytes:
    """Writes one part over another."""
    start, end = span(rng, data)
    target = place(rng, data)
    return data[:target] + data[start:end] + data[target + end - start :]


def cut(rng: random.Random, data: bytes) -> bytes:
    """Takes the end off."""
    return data[: place(rng, data)]


def pad(rng: random.Random, data: bytes) -> bytes:
    """Puts filling, or the same bytes again, before or behind."""
    filling = rng.choice((b"\0" * 128, b"\r\n", rng.randbytes(rng.randint(1, 300)), data))
    return filling + data if rng.random() < 0.3 else data + filling


def number(rng: random.Random, data: bytes, edge: int = 1 << 16) -> bytes:
    """Writes an extreme number over 1, 2, 4 or 8 bytes, in either order.

    Args:
        rng: source of randomness.
        data: the bytes.
        edge: the number lies before this position, so that headers are hit.
    """
    size = rng.choice((1, 2, 4, 4, 8))
    bits = 8 * size
    value = rng.choice(
        (0, 1, 2, 255, 65535, 2**31 - 1, 2**31, 2 ** (bits - 1), 2**bits - 1, rng.getrandbits(bits))
    )
    start = rng.randrange(min(len(data), edge) + 1)
    new = (value % 2**bits).to_bytes(size, rng.choice(("little", "big")))
    return data[:start] + new + data[start + size :]


MUTATIONS: tuple[Mutation, ...] = (
    flip_bits,
    flip_bits,
    replace,
    delete,
    duplicate,
    move,
    cut,
    pad,
    number,
)
"""All of these, some of them twice, since they are worth more."""


def several(rng: random.Random, data: bytes) -> bytes:
    """Makes one to five of these."""
    for _ in range(rng.choice((1, 1, 2, 5))):
        data = rng.choice(MUTATIONS)(rng, data)
    return data
