"""The recordings that benchmarks recognise."""

from lottery_train.corpora import find_corpus, load_audio, read_manifest


def read_clips(corpus, *, data_dir=None, split="test"):
    """Read a split of a corpus; a line of its manifest that cannot be used is an error, so that nothing goes uncounted.

    Args:
        corpus: its name.
        data_dir: see `find_corpus`.
        split: train, dev or test.
    Returns:
        (clips, texts): lists of float32 (n,), 16 kHz mono, and of what is said in them.
    Raises:
        CorpusError: no such corpus, or a line or a recording of it cannot be used.
    """
    utterances, _ = read_manifest(find_corpus(corpus, data_dir=data_dir).splits[split])
    return [load_audio(utterance) for utterance in utterances], [utterance.text for utterance in utterances]
