"""The words of a corpus, and whether a recogniser of it need know any other."""

MAX_CLOSED_WORDS = 5000
MAX_UNKNOWN_SHARE = 0.01


def words_of(texts):
    """Return the distinct words of texts, sorted."""
    return sorted({word for text in texts for word in text.split()})


def describe_vocabulary(train_texts, dev_texts):
    """Return what a ticket records of its words.

    The vocabulary is closed where there are at most MAX_CLOSED_WORDS, and less than MAX_UNKNOWN_SHARE of the words of
    dev are none of them: then a word outside is more likely an error than a word.

    Args:
        train_texts, dev_texts: lists of str.
    Returns:
        dict: `kind` "closed" or "open", `num_words`, `unknown_dev_share`, and `words` where they are few enough.
    """
    words = words_of(train_texts)
    known, said = set(words), [word for text in dev_texts for word in text.split()]
    unknown = sum(word not in known for word in said) / max(len(said), 1)
    is_short = 0 < len(words) <= MAX_CLOSED_WORDS
    return {
        "kind": "closed" if is_short and said and unknown < MAX_UNKNOWN_SHARE else "open",
        "num_words": len(words),
        "unknown_dev_share": unknown,
        **({"words": words} if is_short else {}),
    }
