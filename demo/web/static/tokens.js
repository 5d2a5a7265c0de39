/** Symbols of the recogniser and the text they spell; `tokens.txt` holds one `symbol id` a line, as in runtime/tokenizer.py. */
import { UserError } from "./errors.js";

const BLANK = "<blk>";
/** U+2581 marks the start of a word, as in sentencepiece. */
export const WORD_START = "\u2581";
const COPY_AGAIN = "Copy the whole bundle again, or export it again.";

export class Tokenizer {
  /** @param {string[]} symbols the blank first. */
  constructor(symbols) {
    this.symbols = symbols;
  }

  /**
   * Read `tokens.txt`.
   * @param {string} text its content.
   * @param {{vocabSize: number}} options symbols that the model knows.
   * @throws {UserError} a malformed line (named), or another number of symbols.
   */
  static parse(text, { vocabSize }) {
    const lines = text.split("\n");
    if (lines.at(-1) === "") lines.pop();
    if (lines.length !== vocabSize) {
      throw new UserError(`tokens.txt has ${lines.length} symbols, the manifest says ${vocabSize}.`, { hint: COPY_AGAIN });
    }
    const symbols = lines.map((line, number) => {
      const cut = line.lastIndexOf(" ");
      const symbol = line.slice(0, cut);
      // Control and formatting characters could make a text look like another one.
      if (cut < 1 || line.slice(cut + 1) !== String(number) || /[\p{C}\p{Z}]/u.test(symbol)) {
        throw new UserError(`tokens.txt:${number + 1}: expected a printable symbol and ${number}.`, { hint: COPY_AGAIN });
      }
      return symbol;
    });
    if (symbols[0] !== BLANK) throw new UserError(`tokens.txt:1: expected ${BLANK} 0.`, { hint: COPY_AGAIN });
    return new Tokenizer(symbols);
  }

  /**
   * Split symbol ids (without blanks) into words.
   * @returns {{text: string, first: number, last: number}[]} each with the positions of the ids that spell it.
   */
  words(ids) {
    const found = [];
    let word = null;
    ids.forEach((id, position) => {
      const symbol = this.symbols[id];
      const startsWord = symbol.startsWith(WORD_START);
      const letters = startsWord ? symbol.slice(WORD_START.length) : symbol;
      if (startsWord && word) {
        found.push(word);
        word = null;
      }
      if (!letters) return;
      word ??= { text: "", first: position, last: position };
      word.text += letters;
      word.last = position;
    });
    if (word) found.push(word);
    return found;
  }
}
