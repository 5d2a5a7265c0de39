"""The standard streams of a command: closed ones, names that an encoding cannot spell, libraries that print."""

import codecs
import contextlib
import ctypes
import errno
import io
import os
import sys
import threading

_SPELL = "lottery_asr.spell"


def _spell(error):
    """Encode what an encoding cannot spell: a byte of a file name as that byte, any other character as an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    spelled = b"".join(
        bytes([ord(character) - 0xDC00])
        if "\udc80" <= character <= "\udcff"
        else character.encode("ascii", "backslashreplace")
        for character in error.object[error.start : error.end]
    )
    return spelled, error.end


codecs.register_error(_SPELL, _spell)


class Messages:
    """A stderr that never ends the work: what cannot be written, because it is closed or full, is dropped.

    Args:
        stream: text stream.
    """

    def __init__(self, stream):
        self._stream = stream

    def write(self, text):
        """Write text, or drop it; return its length."""
        with self._dropping():
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                # One that is not Python's own need not escape what it cannot spell.
                self._stream.write(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def flush(self):
        """Write what waits, or drop it."""
        with self._dropping():
            self._stream.flush()

    def __getattr__(self, name):
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _dropping(self):
        try:
            yield
        except OSError:
            settle(self._stream)


class _Closed(io.RawIOBase):
    """What stdout writes to where the caller closed it, whatever becomes of its descriptor."""

    def writable(self):
        return True

    def write(self, data):
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))


def settle(stream):
    """Flush a stream; where that fails, point it at nothing: Python's flush at exit would fail, too."""
    try:
        stream.flush()
    except OSError:
        # A closed one has no descriptor.
        with contextlib.suppress(OSError):
            number = stream.fileno()
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)


@contextlib.contextmanager
def standard_streams(*, hides_libraries=True):
    """Give a command a stdout and a stderr that hold what it prints, and nothing else.

    A stream that the caller closed (`>&-`) gets a descriptor, since a file that is opened later would get its number,
    and with it all that is printed. To write a result is an error then; messages are dropped. stdout spells any text,
    whatever its encoding. Both streams write to descriptors of their own: while quiet_libraries() points 1 and 2
    elsewhere, other threads still print. Streams that a test or another program put in place are left as they are.

    Args:
        hides_libraries: whether quiet_libraries() has any effect meanwhile.
    """
    before = sys.stdout, sys.stderr
    is_replaced = before != (sys.__stdout__, sys.__stderr__)
    with contextlib.ExitStack() as stack:
        # In the order of their numbers: each gets the lowest that is free.
        is_closed = [stream is None for stream in (sys.stdin, sys.stdout, sys.stderr)]
        nulls = [_open_null() for _ in filter(None, is_closed)]
        if is_closed[1]:
            sys.stdout = stack.enter_context(_text_stream(io.BufferedWriter(_Closed())))
        elif sys.stdout is sys.__stdout__:
            sys.stdout = stack.enter_context(_own(sys.stdout, errors=_SPELL))
        if is_closed[2]:
            sys.stderr = stack.enter_context(_text_stream(os.fdopen(nulls[-1], "wb")))
        elif sys.stderr is sys.__stderr__:
            sys.stderr = stack.enter_context(_own(sys.stderr, errors="backslashreplace"))
        sys.stderr = Messages(sys.stderr)
        if hides_libraries and not is_replaced:
            stack.enter_context(_quiet.allowed())
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _own(stream, *, errors):
    """Return a context manager of a text stream like `stream` that writes to a descriptor of its own."""
    is_raw = stream.write_through
    return _text_stream(
        os.fdopen(os.dup(stream.fileno()), "wb", 0 if is_raw else -1),
        encoding=stream.encoding,
        errors=errors if stream.errors in ("strict", "surrogateescape") else stream.errors,
        line_buffering=stream.line_buffering,
        write_through=is_raw,
    )


@contextlib.contextmanager
def _text_stream(binary, *, encoding="utf-8", errors="backslashreplace", **options):
    """Yield a text stream; what it holds at the end is written, if that is possible."""
    stream = io.TextIOWrapper(binary, encoding=encoding, errors=errors, **options)
    try:
        yield stream
    finally:
        settle(stream)
        with contextlib.suppress(OSError):
            stream.close()


def _open_null():
    """Open what holds nothing; the number is the lowest that is free: that of the closed stream."""
    handle = os.open(os.devnull, os.O_RDWR)
    os.set_inheritable(handle, True)
    return handle


class _Quiet:
    """Descriptors 1 and 2 pointed at nothing while any thread asks for it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._num_users, self._saved = 0, ()
        self._c_library = None
        self.is_allowed = False

    @contextlib.contextmanager
    def allowed(self):
        self.is_allowed = True
        try:
            yield
        finally:
            self.is_allowed = False

    def begin(self):
        with self._lock:
            self._num_users += 1
            if self._num_users > 1:
                return
            self._flush()
            self._saved = (os.dup(1), os.dup(2))
            null = os.open(os.devnull, os.O_WRONLY)
            for number in (1, 2):
                os.dup2(null, number)
            os.close(null)

    def end(self):
        with self._lock:
            self._num_users -= 1
            if self._num_users:
                return
            # libsndfile prints into a buffer of the C library, which would keep it for later.
            self._flush()
            for number, saved in enumerate(self._saved, start=1):
                os.dup2(saved, number)
                os.close(saved)

    def _flush(self):
        if os.name == "posix":
            self._c_library = self._c_library or ctypes.CDLL(None)
            self._c_library.fflush(None)


_quiet = _Quiet()


@contextlib.contextmanager
def quiet_libraries():
    """Drop what C libraries such as libmpg123 print meanwhile.

    Only inside a command without --debug: its own streams do not go through descriptors 1 and 2. In any other program
    nothing is hidden, since another thread may print just now.
    """
    if not _quiet.is_allowed:
        yield
        return
    _quiet.begin()
    try:
        yield
    finally:
        _quiet.end()
