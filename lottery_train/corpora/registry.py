"""The corpora that can be imported, by name. A new one is one module and one line here.

An importer is a module with `read_corpus(source_dir) -> (splits, skipped)`, `ARCHIVES` (what to download; empty where
that is impossible) and `HOMEPAGE`.
"""

from lottery_train.corpora import an4, common_voice, folder, librispeech, mini_librispeech, speech_commands, tedlium
from lottery_train.corpora.corpus import write_corpus
from lottery_train.corpora.splits import complete_splits
from lottery_train.errors import CorpusError

IMPORTERS = {
    "an4": an4,
    "common_voice": common_voice,
    "folder": folder,
    "librispeech": librispeech,
    "mini_librispeech": mini_librispeech,
    "speech_commands": speech_commands,
    "tedlium": tedlium,
}


def import_corpus(name, *, source_dir, out_dir):
    """Read a corpus in its official layout and write its manifests; the recordings stay where they are.

    Args:
        name: key of IMPORTERS.
        source_dir: where the corpus lies.
        out_dir: folder for train.jsonl, dev.jsonl, test.jsonl (and skipped.txt, where something was left out).
            A corpus that comes without dev or test has them held out from train, by speaker.
    Returns:
        Corpus; its `skipped` lists what was left out.
    Raises:
        CorpusError: unknown name, the layout is not there, no usable utterance, or out_dir holds a corpus already.
        MissingExtraError: the importer needs torchaudio and it is not installed.
        LotteryError: out_dir cannot be written.
    """
    if name not in IMPORTERS:
        raise CorpusError(f"no importer for corpus {name!r}", hint=f"known: {', '.join(sorted(IMPORTERS))}")
    splits, skipped = IMPORTERS[name].read_corpus(source_dir)
    try:
        splits = complete_splits(splits)
    except CorpusError as error:
        first = f"; {len(skipped)} left out, the first is {skipped[0]}" if skipped else ""
        raise CorpusError(f"{source_dir}: {error}{first}") from error
    return write_corpus(out_dir, name=name, splits=splits, skipped=skipped)
