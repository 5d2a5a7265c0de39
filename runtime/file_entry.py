"""One file of a bundle as the manifest describes it: where it lies, how long it is, what it hashes to."""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import BundleError
from runtime.files import sha256_file

COPY_AGAIN = "copy the whole bundle again, or re-run lottery-export on the ticket"


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of the bundle: path relative to the manifest, SHA-256 as 64 hex digits, size in bytes.

    Raises:
        BundleError: from every method but `of`, where the file is missing, leads out of the bundle, or is altered.
    """

    path: str
    sha256: str
    bytes: int

    @classmethod
    def of(cls, path, *, bundle):
        """Describe the file `path` (relative to the directory `bundle`) as it is now."""
        file = Path(bundle) / path
        return cls(path=str(path), sha256=sha256_file(file), bytes=file.stat().st_size)

    def check_place(self, bundle):
        """Check that the file is there, and inside the directory `bundle`, links resolved."""
        bundle = Path(bundle)
        path = bundle / self.path
        with explain_read_errors(bundle):
            if not path.is_file():
                raise BundleError(f"{path}: missing", hint=COPY_AGAIN)
            if not path.resolve().is_relative_to(bundle.resolve()):
                raise BundleError(
                    f"{path}: a link that leaves the bundle", hint="copy the bundle with links resolved: cp -rL"
                )

    def check_size(self, bundle):
        """Check that the file has the size it had when it was described."""
        with explain_read_errors(bundle):
            self._check_size(Path(bundle) / self.path, num_bytes=(Path(bundle) / self.path).stat().st_size)

    def read(self, bundle):
        """Return the content of the file as bytes, after checking its place, size and SHA-256.

        It is opened once: whoever uses the content uses what was hashed.
        """
        self.check_place(bundle)
        path = Path(bundle) / self.path
        with explain_read_errors(bundle), open(path, "rb") as file:
            self._check_size(path, num_bytes=os.fstat(file.fileno()).st_size)
            # One more than there should be: a file that grows meanwhile is another one.
            content = file.read(self.bytes + 1)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise BundleError(f"{path}: altered: its SHA-256 is not the manifest's", hint=COPY_AGAIN)
        return content

    def _check_size(self, path, *, num_bytes):
        if num_bytes != self.bytes:
            change = "truncated" if num_bytes < self.bytes else "altered"
            raise BundleError(f"{path}: {change}: {num_bytes} bytes, the manifest says {self.bytes}", hint=COPY_AGAIN)


@contextlib.contextmanager
def explain_read_errors(bundle):
    """Turn an OSError met while reading a file of `bundle` into a BundleError."""
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"{error.filename or bundle}: cannot read: {error.strerror}", hint="check the permissions and the disk"
        ) from error
