"""AN4, the CMU "Census" corpus (1991): spelled names, addresses, numbers and a few commands."""

import re
from pathlib import Path

from lottery_train.corpora.download import Archive
from lottery_train.corpora.entry import Entry, measure_entries, read_index
from lottery_train.corpora.manifest import Skipped
from lottery_train.errors import CorpusError
from runtime.foreign import short

HOMEPAGE = "http://www.speech.cs.cmu.edu/databases/an4/"
# The homepage's own address is not HTTPS: this is the copy that NVIDIA NeMo's documentation names. CMU publishes no
# checksum. Source of this one: a public NeMo recipe that checks it for the same address.
ARCHIVES = (
    Archive(
        url="https://dldata-public.s3.us-east-2.amazonaws.com/an4_sphere.tar.gz",
        sha256="a0525579493735d32b60fb6fa5975dd0eaacde087b0a4eeb7f13b7ef33077b12",
    ),
)

# Eight of the 74 training speakers (102 of 948 utterances): CMU publishes no development part.
DEV_SPEAKERS = frozenset({"ffmm", "fjmd", "fwxs", "mdmc", "meht", "mjdr", "mjes", "mrcb"})

# `<s> ENTER SIX </s> (an251-fash-b)`; the test part leaves the sentence marks out.
_TRANSCRIPT = re.compile(r"(?:<s>)?(?P<text>.*?)(?:</s>)?\s*\((?P<id>[^()\s]+)\)\s*$")


def _entries(root, *, part, skipped):
    audio_paths = {Path(line).name: root / "wav" / f"{line}.sph" for line in read_index(root / f"etc/{part}.fileids")}
    index = root / "etc" / f"{part}.transcription"
    for number, line in enumerate(read_index(index), start=1):
        found = _TRANSCRIPT.match(line.strip())
        if not line.strip():
            continue
        if not found or found["id"] not in audio_paths:
            reason = f"expected `TEXT (id)` with an id of {part}.fileids, found {short(line)}"
            skipped.append(Skipped(file=index, line=number, reason=reason))
            continue
        audio_path = audio_paths[found["id"]]
        yield Entry(
            audio_path=audio_path, text=found["text"], speaker=audio_path.parent.name, lang="en",
            file=index, line=number,
        )  # fmt: skip


def read_corpus(source_dir):
    """Read the official layout: etc/an4_{train,test}.{transcription,fileids} and wav/an4*_clstk/SPEAKER/ID.sph.

    Args:
        source_dir: the folder `an4` of the archive, or the one around it.
    Returns:
        (splits, skipped): test is the official one, dev holds the utterances of DEV_SPEAKERS.
    Raises:
        CorpusError: an index file is missing.
    """
    roots = [root for root in (Path(source_dir), Path(source_dir) / "an4") if (root / "etc").is_dir()]
    if not roots:
        raise CorpusError(f"{source_dir}: no AN4 here, there is no folder etc", hint=f"unpack {ARCHIVES[0].url}")
    skipped = []
    parts = {}
    for part in ("an4_train", "an4_test"):
        entries = list(_entries(roots[0], part=part, skipped=skipped))
        parts[part], unusable = measure_entries(entries, description=part)
        skipped += unusable
    splits = {
        "train": [utterance for utterance in parts["an4_train"] if utterance.speaker not in DEV_SPEAKERS],
        "dev": [utterance for utterance in parts["an4_train"] if utterance.speaker in DEV_SPEAKERS],
        "test": parts["an4_test"],
    }
    return splits, skipped
