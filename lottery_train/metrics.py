"""`metrics.jsonl`, one line an epoch or evaluation, and the same curves for TensorBoard."""

import json
import logging
from pathlib import Path

from runtime.errors import MissingExtraError, require_extra
from runtime.files import explain_os_errors, write_atomic

_log = logging.getLogger(__name__)


class Metrics:
    """The curves of one run.

    A resumed training first drops the lines after its checkpoint, so that the file reads as if nothing had happened.

    Args:
        folder: run directory.
        is_writer: False on every process of a distributed run but the first: nothing is written.
    """

    def __init__(self, folder, *, is_writer=True):
        self.path = Path(folder) / "metrics.jsonl"
        self._is_writer = is_writer
        self._board = None
        if is_writer:
            try:
                board = require_extra("torch.utils.tensorboard", extra="train")
                self._board = board.SummaryWriter(str(Path(folder) / "tensorboard"))
            except MissingExtraError as error:
                _log.warning("no TensorBoard curves: %s", error)

    def add(self, *, level, step, **values):
        """Append one line; numbers also go to TensorBoard under `level/name`."""
        if not self._is_writer:
            return
        with explain_os_errors(self.path), open(self.path, "a") as file:
            file.write(json.dumps({"level": level, "step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, (int, float)):
                    self._board.add_scalar(f"{level}/{name}", value, step)

    def rewind(self, *, level, step):
        """Drop this level's lines after `step`."""
        if self._is_writer and self.path.exists():
            lines = read_metrics(self.path)
            kept = [line for line in lines if line["level"] != level or line["step"] <= step]
            write_atomic(self.path, "".join(json.dumps(line) + "\n" for line in kept))

    def close(self):
        if self._board is not None:
            self._board.close()


def read_metrics(path):
    """Return the lines of a metrics file as dicts, up to the first that `Metrics` did not write whole (a kill)."""
    lines = []
    for line in Path(path).read_bytes().splitlines():
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            break
        if not isinstance(value, dict) or not isinstance(value.get("level"), str) or type(value.get("step")) is not int:
            break
        lines.append(value)
    return lines
