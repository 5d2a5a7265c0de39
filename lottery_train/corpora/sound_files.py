"""What can be wrong with a recording before its samples are heard: no file of that name, or another length."""

import errno
import stat

from lottery_train.errors import CorpusError

# Manifests round durations; what differs by more is another recording, or a cut one.
MAX_DIFFERENCE_S = 0.5
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


def file_fault(path):
    """Return why a path names no file that could be opened, such as "File name too long"; None where it names one.

    Pipes and devices are refused too: opening one would wait for somebody to write.
    """
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except ValueError:  # a NUL, or half of a surrogate pair: no file system has such a name
        return "does not exist"
    except OSError as error:
        return "does not exist" if error.errno in _ABSENT else f"cannot be opened: {error.strerror}"
    return None if is_file else "does not exist as a file"


def check_duration(utterance, *, found_s):
    """Refuse a recording whose length is not what its manifest says: its text may be another one's.

    Args:
        utterance: Utterance; `duration_s` of the whole file, or of the part that begins at `offset_s`.
        found_s: seconds that were read.
    Raises:
        CorpusError: the lengths differ by more than MAX_DIFFERENCE_S.
    """
    if abs(found_s - utterance.duration_s) <= MAX_DIFFERENCE_S:
        return
    place = "" if utterance.offset_s is None else f" from {utterance.offset_s:g} s on"
    found = f"{utterance.audio_path} holds {found_s:.2f} s{place}"
    raise CorpusError(f"{utterance.origin}: 'duration' is {utterance.duration_s:g} s, {found}")
