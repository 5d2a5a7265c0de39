"""A stretch of a sound file that a decoder reads as a file of its own."""

from dataclasses import dataclass

_SEARCH_BYTES = 1 << 20
_MAX_OFFSET = 1 << 50


@dataclass(frozen=True, kw_only=True)
class Part:
    """One complete stream inside a file; most files are a single part.

    Args:
        start, end: bytes of the file, end excluded.
        patches: (offset in the file, bytes) pairs that a decoder reads instead of what is there: true lengths in the
            place of those that a header could not know.
        prefix: bytes that a decoder reads before the first: a header that is missing.
        fault: what its structure shows to be missing or damaged; raised once what is there has been read.
        note: what a person should know about how it is read.
        is_measured: whether its length was checked against its bytes; otherwise decoding alone tells.
    """

    start: int
    end: int
    patches: tuple[tuple[int, bytes], ...] = ()
    prefix: bytes = b""
    fault: str | None = None
    note: str | None = None
    is_measured: bool = True


def read_at(file, offset, count):
    """Return up to `count` bytes of a binary file at an offset; fewer at its end."""
    if offset >= _MAX_OFFSET:
        # A length that is no length: no file system goes that far, and to seek there is an error.
        return b""
    file.seek(offset)
    return file.read(count)


def find_bytes(file, pattern, *, start, end):
    """Yield where `pattern` begins in [start, end) of a binary file; constant memory, and each byte is read once."""
    position, kept = start, b""
    while position < end:
        block = read_at(file, position, min(_SEARCH_BYTES, end - position))
        if not block:
            return
        window = kept + block
        found = window.find(pattern)
        while found >= 0:
            yield position - len(kept) + found
            found = window.find(pattern, found + 1)
        position += len(block)
        kept = window[1 - len(pattern) :]
