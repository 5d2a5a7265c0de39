"""Symbols of the recogniser and the text they spell; `tokens.txt` holds one `symbol id` a line."""

from dataclasses import dataclass
from functools import cached_property

from runtime.errors import BundleError
from runtime.files import write_atomic
from runtime.foreign import short

BLANK = "<blk>"
# U+2581 marks the start of a word, as in sentencepiece; sherpa-onnx turns it into a space.
WORD_START = "\u2581"
# Limits that no real set of tokens comes near.
MAX_SYMBOLS = 65536
MAX_SYMBOL_CHARACTERS = 128
MAX_TOKENS_BYTES = 1 << 23


@dataclass(frozen=True, kw_only=True)
class SpelledWord:
    """A word and the range of symbols (indices into the decoded sequence) that spell it."""

    text: str
    first: int
    last: int


@dataclass(frozen=True)
class Tokenizer:
    """An ordered set of symbols; index 0 is the CTC blank.

    Args:
        symbols: `<blk>` first, then characters or word pieces; a piece that starts a word begins with U+2581.
    Raises:
        ValueError: blank missing or not first, a symbol that is empty, too long or holds white space, or one that is
            repeated.
    """

    symbols: tuple[str, ...]

    def __post_init__(self):
        if not self.symbols or self.symbols[0] != BLANK:
            raise ValueError(f"the first symbol must be {BLANK}")
        if len(set(self.symbols)) != len(self.symbols):
            raise ValueError("a symbol occurs twice")
        for symbol in self.symbols:
            if not symbol or any(character.isspace() for character in symbol):
                raise ValueError(f"symbol {short(symbol)} is empty or holds white space")
            if len(symbol) > MAX_SYMBOL_CHARACTERS:
                raise ValueError(f"symbol {short(symbol)} is longer than {MAX_SYMBOL_CHARACTERS} characters")

    @classmethod
    def from_texts(cls, texts):
        """Return the character tokenizer of a corpus: blank, word start, then its characters in code-point order."""
        characters = {character for text in texts for character in text if not character.isspace()}
        return cls((BLANK, WORD_START, *sorted(characters)))

    @classmethod
    def load(cls, path):
        """Read `tokens.txt`.

        Raises:
            BundleError: unreadable, too large, a malformed line (named), ids that do not count up from 0, or invalid
                symbols.
        """
        try:
            with open(path, "rb") as file:
                content = file.read(MAX_TOKENS_BYTES + 1)
        except OSError as error:
            raise BundleError(f"{path}: cannot read the symbols: {short(error)}") from error
        return cls.from_bytes(content, source=path)

    @classmethod
    def from_bytes(cls, content, *, source):
        """Return the Tokenizer of the content of a `tokens.txt`; `source` names it in errors, which are load's."""
        if len(content) > MAX_TOKENS_BYTES:
            raise BundleError(f"{source}: larger than {MAX_TOKENS_BYTES} bytes, these are no symbols")
        try:
            lines = content.decode("utf-8").replace("\r\n", "\n").split("\n")
        except UnicodeDecodeError as error:
            raise BundleError(f"{source}: cannot read the symbols: {short(error)}") from error
        if lines and lines[-1] == "":
            lines.pop()
        if len(lines) > MAX_SYMBOLS:
            raise BundleError(f"{source}: {len(lines)} symbols, at most {MAX_SYMBOLS} are supported")
        symbols = []
        for number, line in enumerate(lines, start=1):
            symbol, _, index = line.rpartition(" ")
            if index != str(number - 1):
                raise BundleError(f"{source}:{number}: expected `symbol {number - 1}`, found {short(line)}")
            symbols.append(symbol)
        try:
            return cls(tuple(symbols))
        except ValueError as error:
            raise BundleError(f"{source}: {error}") from error

    def save(self, path):
        """Write `tokens.txt` atomically."""
        write_atomic(path, "".join(f"{symbol} {index}\n" for index, symbol in enumerate(self.symbols)))

    def __len__(self):
        return len(self.symbols)

    @property
    def blank(self):
        """Index of the CTC blank: always 0."""
        return 0

    @cached_property
    def _index(self):
        return {symbol: number for number, symbol in enumerate(self.symbols)}

    def missing_characters(self, text):
        """Return the characters of `text` that no single symbol spells, sorted."""
        return sorted({character for character in text if not character.isspace()} - self._index.keys())

    def encode(self, text):
        """Spell `text` with single characters, words separated by the word-start symbol.

        Raises:
            ValueError: a character is not among the symbols.
        """
        missing = self.missing_characters(text)
        if missing:
            outside = short(" ".join(missing), is_quoted=False)
            raise ValueError(f"text {short(text)} holds characters outside the tokens: {outside}")
        return [self._index[character] for character in WORD_START.join(text.split())]

    def decode(self, ids):
        """Return the text that a sequence of symbol ids spells, single spaces between words."""
        return " ".join(word.text for word in self.words(ids))

    def words(self, ids):
        """Split a sequence of symbol ids into words.

        Args:
            ids: symbol indices without blanks.
        Returns:
            list of SpelledWord; stray word-start symbols spell nothing.
        """
        found = []
        text, first, last = "", 0, 0
        for position, symbol in enumerate(self.symbols[index] for index in ids):
            starts_word = symbol.startswith(WORD_START)
            letters = symbol.removeprefix(WORD_START)
            if starts_word and text:
                found.append(SpelledWord(text=text, first=first, last=last))
                text = ""
            if letters:
                first = first if text else position
                text, last = text + letters, position
        if text:
            found.append(SpelledWord(text=text, first=first, last=last))
        return found
