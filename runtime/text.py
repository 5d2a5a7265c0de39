"""Text without what nobody sees: one definition for manifests, corpora, hotwords and grammars."""

import re
import unicodedata

from runtime.errors import LotteryError

# Characters that Unicode draws as nothing although they are letters or marks: joiners, fillers, variation selectors.
# Source: Default_Ignorable_Code_Point of Unicode 15.1, without categories Cf and Cn.
_FILLERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# Control characters, and format characters: soft hyphen, zero width, bidi marks, byte-order mark.
_INVISIBLE_CATEGORIES = ("Cc", "Cf")


def clean_text(text):
    """Remove invisible characters, and make every kind of white space (U+2028 and form feed too) one space.

    An invisible character does not end a word: a soft hyphen or a zero-width space inside a word leaves one word.

    Args:
        text: str.
    Returns:
        str: words separated by single spaces; "" where nothing is left.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(character for character in text if character.isspace() or not _is_invisible(character))
    return " ".join(text.split())


def _is_invisible(character):
    return unicodedata.category(character) in _INVISIBLE_CATEGORIES or _FILLERS.match(character) is not None


def decode_utf8(data, *, source, first_line=1):
    """Decode the bytes of a text file; a byte-order mark is dropped.

    Args:
        data: bytes.
        source: file that they came from, and `first_line` the number of their first line in it, for the message.
    Raises:
        LotteryError: not UTF-8; names the line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Without the byte-order mark, which the error does not count.
        line = error.object.count(b"\n", 0, error.start) + first_line
        raise LotteryError(
            f"{source}:{line}: not UTF-8 text: {error.reason} (0x{error.object[error.start]:02x})",
            hint="save the file as UTF-8",
        ) from error
