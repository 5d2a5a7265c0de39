"""One training at a time in a run directory: a lock that ends with its process, however that ends."""

import contextlib
import os
import socket
import sys
from pathlib import Path

from lottery_train.errors import ConfigError
from runtime.files import explain_os_errors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAME = "run.lock"


@contextlib.contextmanager
def lock_run(out):
    """Keep other trainings out of a run directory, which is made where it is missing, while the block runs.

    Under torchrun the first process alone takes the lock: all of them belong to one training. Where the system or the
    file system has no locks, stderr says so and nothing is locked.

    Raises:
        ConfigError: another training is at work there; names its process.
        LotteryError: the directory cannot be written.
    """
    path = Path(out) / NAME
    with explain_os_errors(out):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _acquire(path)
    try:
        yield
    finally:
        # While it is locked: whoever opened this file meanwhile finds that it is not the one of that name.
        path.unlink(missing_ok=True)
        file.close()


def _acquire(path):
    """Return the open lock file, locked."""
    while True:
        # Not by the context manager: it stays open as long as the lock is held.
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(200).strip()
            file.close()
            raise ConfigError(
                f"{path.parent}: another lottery-train is at work here{f' ({holder})' if holder else ''}",
                hint="wait until it has ended, or choose another --out",
            ) from None
        except (AttributeError, OSError):  # the first where there is no fcntl
            print(f"note: {path.parent} cannot be locked: start no other training in it", file=sys.stderr)
            return file
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                file.truncate(0)
                file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
                file.flush()
                return file
        file.close()
