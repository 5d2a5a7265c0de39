"""Text that others wrote (files, devices, file names, other libraries' messages), made fit for a message."""

import reprlib

MAX_SHOWN_CHARACTERS = 200
_MAX_SHOWN_INTEGER = 10**30

# Cuts while it goes: the repr of a list of a million entries, or of one nested a thousand deep, is never made.
_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxlist, _repr.maxtuple, _repr.maxdict = 4, 20, 20, 20
_repr.maxstring = _repr.maxother = _repr.maxlong = MAX_SHOWN_CHARACTERS


def escape(text):
    """Return text with every character that is not printable as its escape, such as `\\x1b`.

    Control characters drive the terminal, direction marks turn what is read around, and halves of surrogate pairs
    cannot be written at all.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def short(value, *, is_quoted=True):
    """Return what a message shows of a foreign value: at most MAX_SHOWN_CHARACTERS printable characters.

    Args:
        value: anything. Text and JSON values are shown as Python writes them, an exception as its message on one line,
            an integer too long to print is described.
        is_quoted: whether text stands in quotes.
    """
    if type(value) is int and abs(value) >= _MAX_SHOWN_INTEGER:
        return "a number of more than 30 digits"
    if isinstance(value, BaseException):
        # Twice as much as is shown is enough to collapse: a message can be a page long.
        text = " ".join(str(value)[: 4 * MAX_SHOWN_CHARACTERS].split())
    elif isinstance(value, str | bytes):
        text = value[: MAX_SHOWN_CHARACTERS + 1]
        text = text if isinstance(text, str) and not is_quoted else repr(text)
    else:
        text = _repr.repr(value)
    text = escape(text)
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[: MAX_SHOWN_CHARACTERS - 3]}..."
