"""Mutations of files: small damage that stays near what a reader expects, and values that no writer would put there."""

import copy
import json
import struct

_BITS = (7, 8, 15, 16, 31, 32, 48, 53, 63)
INTEGERS = sorted(
    {0, 1, 2, 3, 7, 100, 1000, 1023}
    | {sign * ((1 << bits) + near) for bits in _BITS for near in (-1, 0, 1) for sign in (1, -1)}
)
# JSON values in the place of others; texts of them are hostile in file names, tables and terminals.
VALUES = (
    None, True, False, 0, -1, 1, 3.5, 1e999, -1e999, float("nan"), 2**31, 2**63, 2**64, 10**40, -(2**70), 1e308, 1e-320,
    "", "a", "F8", "\x1b[2J\x07", "\u202e\u200f", "\ud800", "\x00", "../../etc/passwd", "x" * 300, "9" * 400, "1e999",
    [], {}, [[]], [None], ["a"], {"a": {}}, [1] * 300, [[[[[[[[0]]]]]]]],
)  # fmt: skip
# Pieces of text in the place of others.
PIECES = (
    b"\x00", b"\x1b[31m", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\n\n", b"\t", b"\xe2\x80\xa8", b"\xe2\x80\x8f",
    b"\xc2\x85", b'"', b'""', b"'", b"\\", b"{", b"[" * 200, b",", b":1e999", b"-1", b"1e999", b"nan", b"9" * 50,
    b"0x1", b" " * 40, b"\xed\xa0\x80", b"A" * 5000, b"\xf0\x9f\x98\x80", b"#", b"=", b"(", b")", b"<s>", b"../",
)  # fmt: skip


def mutate_bytes(data, *, rng, others=(), protected=0):
    """Return data after one to four changes of bytes.

    Args:
        data: bytes.
        rng: random.Random.
        others: further files of the kind, to splice with.
        protected: first byte that may change.
    """
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        if len(data) <= protected:
            data += b"\x00"
        rng.choice((_flip, _flip, _integer, _integer, _cut, _insert, _copy, _splice))(data, rng, others, protected)
    return bytes(data)


def _at(data, rng, low):
    # Headers decide more than contents.
    high = len(data) if rng.random() < 0.6 else min(len(data), low + 512)
    return rng.randrange(low, max(high, low + 1))


def _flip(data, rng, others, low):
    data[min(_at(data, rng, low), len(data) - 1)] ^= 1 << rng.randrange(8)


def _integer(data, rng, others, low):
    form = rng.choice(("<b", "<h", "<i", "<q", ">h", ">i", ">q"))
    size = struct.calcsize(form)
    at = _at(data, rng, low)
    number = rng.choice(INTEGERS) & ((1 << 8 * size) - 1)
    data[at : at + size] = number.to_bytes(size, "little" if form[0] == "<" else "big")


def _cut(data, rng, others, low):
    at = _at(data, rng, low)
    if rng.random() < 0.5:
        del data[at:]
    else:
        del data[at : at + rng.choice((1, 2, 4, 16, 200))]


def _insert(data, rng, others, low):
    at = _at(data, rng, low)
    data[at:at] = rng.choice(
        (rng.randbytes(rng.choice((1, 4, 30))), bytes(rng.choice((1, 8, 500))), rng.choice(PIECES))
    )


def _copy(data, rng, others, low):
    first = _at(data, rng, low)
    piece, at = bytes(data[first : first + rng.choice((1, 4, 40, 400))]), _at(data, rng, low)
    data[at : at + (len(piece) if rng.random() < 0.5 else 0)] = piece


def _splice(data, rng, others, low):
    if others:
        other = rng.choice(others)
        data[_at(data, rng, low) :] = other[rng.randrange(len(other)) :]
    else:
        _flip(data, rng, others, low)


def mutate_text(data, *, rng, others=()):
    """Return text as bytes after one to three changes of lines, words, numbers or bytes."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.3:
            data = mutate_bytes(data, rng=rng, others=others)
            continue
        separator = rng.choice((b"\n", b"\n", b" ", b"\t", b",", b'"'))
        parts = data.split(separator)
        at, action = rng.randrange(len(parts)), rng.randrange(5)
        if action == 0:
            parts[at] = rng.choice(PIECES)
        elif action == 1:
            del parts[at]
        elif action == 2:
            parts.insert(at, rng.choice(parts))
        elif action == 3:
            parts[at] += rng.choice(PIECES)
        else:
            parts[at] = str(rng.choice(INTEGERS)).encode()
        data = separator.join(parts)
    return data


def mutate_json(data, *, rng, others=()):
    """Return JSON text as bytes: values replaced, left out or doubled, keys renamed; now and then bytes."""
    if rng.random() < 0.2:
        return mutate_text(data, rng=rng, others=others)
    value = copy.deepcopy(json.loads(data))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = _change(value, rng)
    if rng.random() < 0.02:
        value = _nest(value, depth=rng.choice((20, 40, 400, 900)))
    return json.dumps(value).encode()


def _nest(value, *, depth):
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def _change(value, rng):
    """Return a value with one change, as likely near its root as deep inside."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return copy.deepcopy(rng.choice(VALUES))
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    action = rng.randrange(8)
    if action == 0:
        del value[key]
    elif action == 1 and isinstance(value, dict):
        value[rng.choice(("", "\x1b[2J", "x" * 300, "a", str(key) + "\u202e"))] = value.pop(key)
    elif action == 1:
        value.insert(key, copy.deepcopy(value[key]))
    elif action == 2:
        value[key] = copy.deepcopy(value[rng.choice(keys)])
    else:
        value[key] = _change(value[key], rng)
    return value
