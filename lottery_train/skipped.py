"""What a run leaves out of its corpus: counted and shown on stderr, and listed in `skipped.txt`."""

import sys
from pathlib import Path

from runtime.files import write_atomic

NAME = "skipped.txt"
_NUM_SHOWN = 3


class SkippedReport:
    """Collects what cannot be used, or not as it is meant, over the splits of a corpus.

    Args:
        out: run directory.
        is_shown: False on every process of a distributed run but the first: nothing is printed or written.
    """

    def __init__(self, out, *, is_shown):
        self._path, self._is_shown, self._lines = Path(out) / NAME, is_shown, []

    def add(self, title, lines):
        """Show a title and the first lines, and keep all of them for the file; without lines nothing is shown."""
        self._lines += lines
        if not lines or not self._is_shown:
            return
        print(title, file=sys.stderr)
        for line in lines[:_NUM_SHOWN]:
            print(f"  {line}", file=sys.stderr)
        if len(lines) > _NUM_SHOWN:
            print(f"  … and {len(lines) - _NUM_SHOWN} more, see {self._path}", file=sys.stderr)

    def write(self):
        """Write skipped.txt, each line once; a run that used everything has none."""
        if not self._is_shown:
            return
        if self._lines:
            # As stderr shows a file name that is not UTF-8.
            text = "".join(f"{line}\n" for line in dict.fromkeys(self._lines))
            write_atomic(self._path, text.encode(errors="backslashreplace"))
        else:
            self._path.unlink(missing_ok=True)
