"""Decoders side by side: the best path, a beam, and a beam with a language model, hotwords, a grammar.

    python -m benchmarks.decoding bundles/an4_dense bundles/an4_shrunk --data-dir ../shared/data/an4

The language model is an n-gram of the training transcripts, the hotwords are the words that these hold ten times at
most, the grammar is all of their words. Settings are chosen on `dev`, over all bundles: by the fewest word errors, and
the boost of hotwords by the balance of those found and those imagined (F1); the margin is the narrowest that changes no
error. `test` is recognised once, with the settings chosen and with those that others begin with. Times are processor
time, so that a busy machine shows little in them. Writes benchmarks/results/decoding.json.
"""

import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from benchmarks.decoding_settings import Material, Settings, count_rare, decode, hear, tune
from benchmarks.results import RESULTS, relative, write_result
from lottery_train.corpora import find_corpus, load_audio, read_manifest
from lottery_train.evaluate import paired_difference, pool_scores, score_texts
from runtime.command import run_command
from runtime.latency import percentiles
from runtime.options import create_parser
from runtime.recognizer import Recognizer
from runtime.table import Table, number

TOGETHER = "all together"
# What others begin with: weight and bonus near pyctcdecode's, a boost a letter as sherpa-onnx's 1.5 a symbol.
A_PRIORI = Settings(weight=0.5, word_bonus=1.0, boost=0.5, margin=10.0)


def compare(heards, *, names, decoders, rare_words):
    """Recognise what bundles heard with every decoder.

    Args:
        heards: Heard, one a bundle.
        names: of the bundles.
        decoders: {name: Decoder}, the one that others are compared with first.
        rare_words: see Material.
    Returns:
        (rows, {decoder: Score of all bundles together}); a row is a dict: `bundle`, `decoder`, `wer`, `wer_interval`,
        `minus_greedy` and its `minus_greedy_interval` (paired), `chunk_ms` as `percentiles` returns it, and of the rare
        words `said`, `found`, `false`. The last rows are those of all bundles together, where there are several.
    """
    every_score, rows = {}, []
    for decoder, settings in decoders.items():
        scores, times, rare = [], [], Counter()
        for name, heard in zip(names, heards, strict=True):
            texts, chunk_ms = decode(heard, decoder=settings)
            counted = count_rare(texts, references=heard.references, rare_words=rare_words)
            scores.append(score_texts(list(heard.references), texts))
            times += chunk_ms
            rare.update(counted)
            rows.append({"bundle": name, "decoder": decoder, "chunk_ms": percentiles(chunk_ms), "rare_words": counted})
        if len(heards) > 1:
            rows.append(
                {"bundle": TOGETHER, "decoder": decoder, "chunk_ms": percentiles(times), "rare_words": dict(rare)}
            )
        every_score[decoder] = dict(zip((*names, TOGETHER), (*scores, pool_scores(scores)), strict=True))
    baseline = next(iter(every_score.values()))
    for row in rows:
        score = every_score[row["decoder"]][row["bundle"]]
        difference, low, high = paired_difference(baseline[row["bundle"]], score)
        row |= {"wer": score.wer, "wer_interval": list(score.wer_interval)}
        row |= {"minus_greedy": difference, "minus_greedy_interval": [low, high]}
    rows.sort(key=lambda row: (*names, TOGETHER).index(row["bundle"]))
    return rows, {decoder: scores[TOGETHER] for decoder, scores in every_score.items()}


def summarise(rows):
    """Return plain numbers: of each decoder with the chosen settings, test WER and ms a chunk, over all bundles."""
    summary = {}
    chosen = [row for row in rows if row["settings"] == "chosen" and row["split"] == "test"]
    # The last bundle of the rows is all of them together.
    for row in (row for row in chosen if row["bundle"] == chosen[-1]["bundle"]):
        key = row["decoder"].replace(" + ", "_").replace(" ", "_")
        summary[f"{key}_test_wer"] = round(row["wer"], 5)
        summary[f"{key}_chunk_ms"] = round(row["chunk_ms"]["mean"], 3)
    return summary


def table(rows):
    """Return the rows as a Table."""
    header = ("bundle", "split", "settings", "decoder", "WER %", "95 %", "less greedy", "95 %", "ms a chunk", "p95")
    header += ("rare words found", "false")
    cells = tuple(
        (
            row["bundle"],
            row["split"],
            row["settings"],
            row["decoder"],
            number(row["wer"], scale=100, digits=2),
            " to ".join(number(end, scale=100, digits=1) for end in row["wer_interval"]),
            number(row["minus_greedy"], scale=100, digits=2),
            " to ".join(number(end, scale=100, digits=2) for end in row["minus_greedy_interval"]),
            number(row["chunk_ms"]["mean"], digits=2),
            number(row["chunk_ms"]["p95"], digits=2),
            f"{row['rare_words']['found']} of {row['rare_words']['said']}",
            str(row["rare_words"]["false"]),
        )
        for row in rows
    )
    return Table(header=header, rows=cells, num_left=4)


def _main(argv):
    parser = create_parser(
        "python -m benchmarks.decoding",
        description="Compare decoders on AN4; writes benchmarks/results/decoding.json.",
        examples="  python -m benchmarks.decoding bundles/an4_dense bundles/an4_shrunk --data-dir ../shared/data/an4",
    )
    parser.add_argument("bundles", metavar="BUNDLE", nargs="+", help="directory that lottery-export wrote")
    parser.add_argument("--data-dir", metavar="DIR", help="AN4 with dev and test manifests (default: as lottery-train)")
    parser.add_argument("--results", default=str(RESULTS), metavar="DIR", help="where the result file goes")
    arguments = parser.parse_args(argv)
    splits = find_corpus("an4", data_dir=arguments.data_dir).splits
    utterances = {name: read_manifest(splits[name])[0] for name in ("train", "dev", "test")}
    recognizers = [Recognizer(bundle) for bundle in arguments.bundles]
    heard = {}
    for split in ("dev", "test"):
        print(f"{split}: {len(utterances[split])} utterances, {len(recognizers)} bundles", file=sys.stderr)
        clips = [load_audio(utterance) for utterance in utterances[split]]
        references = [utterance.text for utterance in utterances[split]]
        heard[split] = [hear(recognizer, clips=clips, references=references) for recognizer in recognizers]
    names = [recognizer.manifest.name for recognizer in recognizers]
    rows, changes = [], []
    with tempfile.TemporaryDirectory() as folder:
        material = Material.of([utterance.text for utterance in utterances["train"]], folder=folder)
        chosen, grids = tune(heard["dev"], material=material, say=lambda text: print(text, file=sys.stderr))
        by_settings = {"a priori": replace(A_PRIORI, order=chosen.order), "chosen": chosen}
        for split in heard:
            scores = {}
            for name, settings in by_settings.items():
                decoders = settings.decoders(material)
                found, scores[name] = compare(
                    heard[split], names=names, decoders=decoders, rare_words=material.rare_words
                )
                rows += [{"split": split, "settings": name, **row} for row in found]
            for decoder in scores["chosen"]:
                difference, *interval = paired_difference(scores["a priori"][decoder], scores["chosen"][decoder])
                changes.append({"split": split, "decoder": decoder, "difference": difference, "interval": interval})
    details = {
        "rows": rows,
        "chosen": vars(chosen),
        "a_priori": vars(A_PRIORI),
        "default": vars(Settings()),
        "chosen_minus_a_priori": changes,
        "tuning": grids,
        "settings": {
            "bundles": [relative(str(Path(bundle).resolve())) for bundle in arguments.bundles],
            "precision": [recognizer.precision for recognizer in recognizers],
            "backend": [recognizer.backend for recognizer in recognizers],
            "chunk_frames": [recognizer.manifest.chunk_frames for recognizer in recognizers],
            "rare_words": material.rare_words,
        },
    }
    print(table(rows).text())
    packages = ("numpy", "onnxruntime", "ufal.kenlm")
    path = write_result(
        "decoding", summary=summarise(rows), details=details, threads=1, packages=packages, folder=arguments.results
    )
    print(f"wrote {path}", file=sys.stderr)
    return 0


def main(argv=None):
    """Run the benchmark; return the exit status."""
    return run_command(_main, argv)


if __name__ == "__main__":
    sys.exit(main())
