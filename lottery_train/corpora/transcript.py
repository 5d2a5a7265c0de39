"""Transcripts as the recogniser learns them: lower case, letters, digits and apostrophes."""

import unicodedata

from runtime.text import clean_text

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc`\u00b4", "'"))


def normalize_transcript(text):
    """Return `text` in lower case without punctuation, words separated by single spaces.

    Letters (with their combining marks) and digits of every script stay; apostrophes stay inside words; everything
    else, hyphens included, separates words: "Don't over-do 'it'!" becomes "don't over do it". Invisible characters
    (soft hyphens among them) are removed and separate nothing.
    """
    text = clean_text(unicodedata.normalize("NFKC", text.translate(_APOSTROPHES))).lower()
    kept = "".join(c if c == "'" or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    return " ".join(word for word in (word.strip("'") for word in kept.split()) if word)
