"""What lottery-train writes into a run directory, and how a run is removed from it."""

import re
import shutil
from pathlib import Path

from lottery_train.errors import ConfigError
from lottery_train.lock import NAME as LOCK_NAME
from runtime.files import PARTIAL, explain_os_errors

_MARK = "config.json"
_NAMES = re.compile(
    r"tokens\.txt|bpe\.model|skipped\.txt|metrics\.jsonl|rewind\.safetensors|report\.html|tensorboard|controls|"
    # The last: what a killed training had not finished.
    rf"level_\d{{2,}}(\.work)?|\.level_\d{{2,}}\.\w{{8}}{re.escape(PARTIAL)}(\.old)?"
)


def clear_run(out, *, sources=()):
    """Remove the run in a directory, and nothing that lottery-train did not write.

    A directory that is missing or empty is left as it is. config.json goes last: a removal that was cut short can be
    repeated.

    Args:
        out: run directory.
        sources: paths that the new run reads, or None; none of them may lie in the old one.
    Raises:
        ConfigError: the directory holds something, but no run, or the new run would read from the old one.
        LotteryError: a file cannot be removed.
    """
    out = Path(out)
    for source in sources:
        if source is not None and Path(source).resolve().is_relative_to(out.resolve()):
            raise ConfigError(f"{source}: lies in the run that --no-resume would remove", hint="choose another --out")
    with explain_os_errors(out):
        found = sorted(path for path in out.iterdir() if path.name != LOCK_NAME) if out.is_dir() else []
        if not found:
            return
        if not (out / _MARK).is_file():
            raise ConfigError(
                f"{out}: holds files but no {_MARK}, so it is not a run that --no-resume could remove",
                hint="choose another --out, or remove the directory yourself",
            )
        for path in [*(path for path in found if _NAMES.fullmatch(path.name)), out / _MARK]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
