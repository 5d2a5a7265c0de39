"""What the voices of the embedded corpus say: spelled codes, numbers and short device commands."""

import string

LETTERS = tuple(string.ascii_lowercase)
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_FIXED_COMMANDS = (
    "yes", "no", "go", "stop", "help", "start", "erase", "repeat", "go back", "play", "pause", "next",
    "turn left", "turn right", "go left", "go right", "volume up", "volume down", "light on", "light off",
    "open door", "close door",
)  # fmt: skip
_NUMBER_COMMANDS = ("enter", "volume", "play", "repeat", "light", "erase")

# What is drawn, and how often.
_KINDS = (("code", 0.4), ("number", 0.15), ("number_command", 0.15), ("command", 0.3))

# The article is what espeak-ng makes of a lone "a"; the mnemonic is the letter's name in every English accent.
_LETTER_A = "[['eI]]"


def vocabulary():
    """Return every word a sentence can hold, sorted."""
    words = {word for command in (*_FIXED_COMMANDS, *_NUMBER_COMMANDS) for word in command.split()}
    return sorted(words | {*LETTERS, *DIGITS, *TEENS, *TENS})


def number_words(value):
    """Return a number from 0 to 99 in words."""
    if value < 10:
        return DIGITS[value]
    if value < 20:
        return TEENS[value - 10]
    tens = TENS[value // 10 - 2]
    return tens if value % 10 == 0 else f"{tens} {DIGITS[value % 10]}"


def _code(rng):
    """Return two to six letters and digits, letters more often."""
    symbols = (LETTERS[rng.integers(26)] if rng.random() < 0.6 else DIGITS[rng.integers(10)] for _ in range(6))
    return " ".join(list(symbols)[: rng.integers(2, 7)])


def draw_sentence(rng):
    """Return one sentence: lower-case words separated by single spaces.

    Args:
        rng: numpy Generator.
    """
    names, shares = zip(*_KINDS, strict=True)
    kind = names[rng.choice(len(names), p=shares)]
    if kind == "code":
        return _code(rng)
    if kind == "number":
        return number_words(int(rng.integers(100)))
    if kind == "number_command":
        return f"{_NUMBER_COMMANDS[rng.integers(len(_NUMBER_COMMANDS))]} {number_words(int(rng.integers(100)))}"
    return _FIXED_COMMANDS[rng.integers(len(_FIXED_COMMANDS))]


def spoken_form(sentence):
    """Return what espeak-ng is given to read, so that single letters are spelled."""
    return " ".join(_LETTER_A if word == "a" else word.upper() if len(word) == 1 else word for word in sentence.split())
