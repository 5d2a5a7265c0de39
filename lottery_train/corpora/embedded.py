"""The embedded corpus: synthetic speech that a machine makes for itself, with no download but PyPI packages.

Letters, numbers and device commands, spoken by espeak-ng voices at many rates and pitches. Good for trying the whole
tool out and for its tests; a recogniser trained on it knows only synthetic voices.
"""

import numpy as np

from lottery_train.corpora.corpus import SPLITS
from lottery_train.corpora.sentences import draw_sentence, spoken_form
from lottery_train.corpora.synthetic import Line, build_corpus, draw_request
from lottery_train.corpora.voices import draw_voice

NAME = "embedded"
# Raise it whenever other samples come out of the same parameters: cached corpora of older versions are then remade.
RECIPE_VERSION = 1


def _write_script(*, sizes, seed):
    """Draw every utterance of every split; a split's lines do not depend on the sizes of the others."""
    lines = []
    for split_number, split in enumerate(SPLITS):
        rng = np.random.default_rng([seed, split_number])
        for number in range(sizes[split]):
            text = draw_sentence(rng)
            request = draw_request(rng, text=spoken_form(text), voice=draw_voice(rng, split=split))
            lines.append(Line(split=split, number=number, text=text, lang="en", request=request))
    return lines


def build(out_dir, *, num_train=1500, num_dev=120, num_test=200, seed=0):
    """Synthesise the corpus, or return it where it is already there with the same parameters.

    About 50 utterances a minute of speech; a minute takes well under a second.

    Args:
        out_dir: folder for train.jsonl, dev.jsonl, test.jsonl, corpus.json and audio/ (16 kHz FLAC). An embedded
            corpus with other parameters is replaced; anything else there is not.
        num_train, num_dev, num_test: utterances a split, >= 1.
        seed: >= 0. The same parameters give the same files, bit for bit, on the same machine and package versions.
    Returns:
        Corpus; no voice variant is in two splits, and the speaker is the name of the voice.
    Raises:
        CorpusError: out_dir holds something else, or synthesis failed.
        MissingExtraError: espeakng-loader is not installed.
        LotteryError: out_dir cannot be written; nothing stays behind.
    """
    return build_corpus(
        out_dir,
        name=NAME,
        noun="an embedded corpus",
        recipe_version=RECIPE_VERSION,
        sizes={"train": num_train, "dev": num_dev, "test": num_test},
        seed=seed,
        write_script=_write_script,
    )
