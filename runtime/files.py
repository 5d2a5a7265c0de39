"""Files that appear whole or not at all: temporary name, fsync, rename."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from runtime.errors import LotteryError
from runtime.foreign import short

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_HINTS = {
    errno.ENOSPC: "free some disk space, or choose another output directory",
    errno.EDQUOT: "the disk quota is used up: free some space, or choose another output directory",
    errno.EACCES: "check the permissions, or choose another output directory",
    errno.EPERM: "check the permissions, or choose another output directory",
    errno.EROFS: "the file system is read-only: choose another output directory",
    errno.EISDIR: "a directory stands where a file is needed: choose another name",
    errno.ENOTDIR: "a file stands where a directory is needed: choose another output directory",
    errno.EEXIST: "a file stands where a directory is needed: choose another output directory",
}

MAX_JSON_DEPTH = 32

# What renaming onto a directory that holds something says; it depends on the file system.
_OCCUPIED = (errno.ENOTEMPTY, errno.EEXIST)

# A directory that is not finished, `.NAME.xxxxxxxx.partial`, and beside it the one that it replaces.
PARTIAL = ".partial"
_REPLACED = ".old"


@contextlib.contextmanager
def explain_os_errors(path):
    """Turn an OSError met while writing `path` into a LotteryError with a hint."""
    try:
        yield
    except OSError as error:
        raise LotteryError(f"{path}: cannot write: {error.strerror or error}", hint=os_error_hint(error)) from error


def os_error_hint(error):
    """Return what the user can do about an OSError, or None where its message says it all."""
    return _HINTS.get(error.errno)


def sha256_file(path):
    """Return the SHA-256 of a file as 64 hex digits, reading it in 1 MiB blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sync(path):
    """Make the content of a file, or the names in a directory, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path, data, *, mode=0o644):
    """Write bytes or text so that `path` holds either the old or the new content, never a part.

    Args:
        mode: permissions of the file.

    Raises:
        LotteryError: disk full, no permission, or no such directory.
    """
    path = Path(path)
    if isinstance(data, str):
        # A file name in the text may hold bytes that are not UTF-8.
        data = data.encode("utf-8", "surrogateescape")
    with explain_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        sync(path.parent)


def require_writable(path):
    """Find out now, without leaving a trace, whether write_atomic(path) will be allowed to write later.

    Raises:
        LotteryError: no permission, a directory of that name, or a file stands where a directory is needed.
    """
    path = Path(path)
    with explain_os_errors(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        # The nearest folder that is there; write_atomic will make the others.
        parent = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.NamedTemporaryFile(prefix=f".{path.name}.", dir=parent):
            pass


def write_json(path, value):
    """Write `value` as indented JSON, atomically. NaN is refused: it is not JSON."""
    write_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path):
    """Read a JSON file.

    Raises:
        LotteryError: missing, unreadable, not JSON, or nested deeper than MAX_JSON_DEPTH; names the file and the line.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LotteryError(f"{path}: cannot read: {error.strerror}") from error
    return parse_json(data, source=path)


def parse_json(data, *, source):
    """Return the value of JSON text as bytes; `source` names it in errors, which are those of read_json."""
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        raise LotteryError(f"{source}:{error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise LotteryError(f"{source}: not UTF-8 text: {error.reason}") from error
    except (RecursionError, ValueError) as error:
        # Nested deeper, or with longer numbers, than the parser takes.
        raise LotteryError(f"{source}: not JSON that can be read: {short(error)}") from error
    # What copies, compares or prints the value goes down it by recursion.
    layer, depth = [value], 0
    while layer := [item for each in layer for item in _members(each)]:
        depth += 1
        if depth > MAX_JSON_DEPTH:
            raise LotteryError(f"{source}: nested deeper than {MAX_JSON_DEPTH} levels")
    return value


def _members(value):
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


@contextlib.contextmanager
def atomic_directory(path):
    """Yield a temporary sibling directory that becomes `path` when the block succeeds.

    A `path` that existed before is replaced: moved aside, and deleted once the new one stands in its place; a crash in
    between leaves both under hidden names beside it, which finish_interrupted() puts right. A `path` that another
    process finished meanwhile stays, and this one's work is dropped: nobody's finished directory is deleted. On any
    error nothing of the temporary directory stays.

    Raises:
        LotteryError: disk full, no permission, or a file stands where a directory is needed.
    """
    with explain_os_errors(path):
        # A link to a directory stays a link.
        path = Path(path).resolve()
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        finish_interrupted(path)
        replaced = _identity(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=PARTIAL, dir=path.parent))
        lock = _lock(temporary, waits=True)
        try:
            os.chmod(temporary, 0o755)
            yield temporary
            for inside in (*temporary.rglob("*"), temporary):
                sync(inside)
            _put_in_place(temporary, path, replaced=replaced)
        finally:
            # Gone already where it was put in place.
            shutil.rmtree(temporary, ignore_errors=True)
            if lock is not None:
                os.close(lock)


def finish_interrupted(path):
    """Put right what a crash in atomic_directory(path) left: its new directory in place, or else its old one back.

    What was not finished is removed. Nothing is touched while another process writes `path`, or where a crash cannot
    be told from that: on a system without file locks.

    Raises:
        OSError: no permission to rename.
    """
    path = Path(path).resolve()
    pattern = re.compile(rf"(\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(PARTIAL)})({re.escape(_REPLACED)})?")
    try:
        names = os.listdir(path.parent)
    except OSError:
        return
    found = sorted({path.with_name(match[1]) for match in map(pattern.fullmatch, names) if match})
    locks = [_lock(temporary) for temporary in found if temporary.exists()]
    try:
        if None not in locks:
            for temporary in found:
                _finish(temporary, path)
    finally:
        for lock in filter(None, locks):
            os.close(lock)


def _finish(temporary, path):
    """Put right one interrupted replacement. It had begun to change places if the old directory was moved aside."""
    aside = Path(f"{temporary}{_REPLACED}")
    if aside.exists() and not path.exists():
        os.rename(temporary if temporary.exists() else aside, path)
        sync(path.parent)
    # One that is empty may be another process's, just made and not locked yet.
    if temporary.exists() and any(temporary.iterdir()):
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def _lock(directory, *, waits=False):
    """Return a descriptor that tells other processes that this one works on a directory; None where it cannot be."""
    if fcntl is None:
        return None
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle


def _identity(path):
    """Return what tells one directory from a later one of the same name; None where there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _put_in_place(temporary, path, *, replaced):
    """Rename a finished directory to `path`, in the place of the directory with the identity `replaced` alone."""
    aside = Path(f"{temporary}{_REPLACED}")
    try:
        if replaced is not None and _identity(path) == replaced:
            # Another process may move it aside just now, too.
            with contextlib.suppress(FileNotFoundError):
                os.rename(path, aside)
        # Unless another process put its own there between the look and the move.
        if _identity(aside) in (None, replaced):
            try:
                os.rename(temporary, path)
            except OSError as error:
                if error.errno not in _OCCUPIED:
                    raise
    finally:
        if aside.exists() and not path.exists():
            os.rename(aside, path)
    sync(path.parent)
    if _identity(aside) == replaced:
        shutil.rmtree(aside, ignore_errors=True)
