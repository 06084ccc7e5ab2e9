"""Valid inputs, damaged: bytes, machine words, JSON tokens, and pieces of one input in another."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence

Mutation = Callable[[random.Random, bytes], bytes]

WORDS = (0, 1, -1, 7, 8, 127, 255, 65_536, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, -(2**63))
TOKEN = re.compile(rb'-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|"(?:[^"\\]|\\.)*"|true|false|null|[\[\]{}:,]')
TOKENS = (
    *rb'0|1|-1|-0|1.5|1e999|1e-400|0.1|007|true|false|null|NaN|Infinity|""|"a"|"\ud800"|"\u0000"|[]|{}|[|]|{|}|,|:'.split(
        b"|"
    ),
    *rb'9223372036854775807|9223372036854775808|-9223372036854775809|2147483648|253402300799001|"../x"'.split(b"|"),
    b'"\xff"',
    b"9" * 401,
    b"[" * 2_000,
    b'{"a":' * 2_000,
    b'"' + b"x" * 3_000 + b'"',
)
ROUNDS = 4


def mutated(rng: random.Random, seeds: Sequence[bytes], mutations: Sequence[Mutation]) -> bytes:
    """One of ``seeds`` after one to ``ROUNDS`` of ``mutations``."""
    data = rng.choice(seeds)
    for _ in range(rng.randint(1, ROUNDS)):
        data = rng.choice(mutations)(rng, data)
    return data


def flipped(rng: random.Random, data: bytes) -> bytes:
    """A few bytes are others."""
    found = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if found:
            found[rng.randrange(len(found))] = rng.choice((rng.randrange(256), 0, 255, ord('"')))
    return bytes(found)


def cut(rng: random.Random, data: bytes) -> bytes:
    """A piece is missing, most often the end."""
    first = rng.randint(0, len(data))
    return data[:first] if rng.random() < 0.5 else data[:first] + data[rng.randint(first, len(data)) :]


def repeated(rng: random.Random, data: bytes) -> bytes:
    """A piece is there twice, or somewhere else."""
    first = rng.randint(0, len(data))
    piece = data[first : first + rng.randint(1, 64)]
    at = rng.randint(0, len(data))
    return data[:at] + piece + data[at + rng.choice((0, len(piece))) :]


def word(rng: random.Random, data: bytes) -> bytes:
    """An aligned machine word is one of those that hurt."""
    size, code = rng.choice(((8, "<q"), (4, "<i"), (2, "<h"), (1, "<b")))
    if len(data) < size:
        return data
    at = rng.randrange(len(data) - size + 1) // size * size
    value = rng.choice((*WORDS, rng.randint(0, 2 * len(data)), -rng.randint(0, len(data))))
    half = 1 << 8 * size - 1
    return data[:at] + struct.pack(code, (value + half) % (2 * half) - half) + data[at + size :]


def token(rng: random.Random, data: bytes) -> bytes:
    """A JSON token is another one, or another of the same text."""
    found = list(TOKEN.finditer(data))
    if not found:
        return data
    one = rng.choice(found)
    put = rng.choice((rng.choice(TOKENS), rng.choice(found)[0], one[0] + one[0], b""))
    return data[: one.start()] + put + data[one.end() :]


BINARY: tuple[Mutation, ...] = (flipped, cut, repeated, word, word, word)
TEXT: tuple[Mutation, ...] = (flipped, cut, repeated, token, token, token)
