"""Tickets tested in noise that no training heard: a fixed mix for every signal-to-noise ratio, scores kept."""

import dataclasses
import sys

from lottery_train.corpora import find_corpus, load_noise, read_manifest
from lottery_train.dataset import Recipe, Variant, fingerprint, load_dataset
from lottery_train.evaluate import Score, evaluate
from lottery_train.ticket import load_ticket
from runtime.files import read_json, sha256_file, write_json

SNRS_DB = (20.0, 10.0, 5.0, 0.0)
_SEED = 0
_TESTED = (Variant(noise_copy=1),)


class NoisyTests:
    """AN4's test split in the noise pack's test sounds.

    The place, the sound and the cut of it are the same at every ratio: only the gain differs.

    Args:
        bench: Bench.
    """

    def __init__(self, bench):
        self.bench = bench
        self._path = bench.runs / "noise_scores.json"
        self._noise = bench.data_dir / "noise" / "test.jsonl"
        utterances, _ = read_manifest(find_corpus("an4", data_dir=bench.data_dir).splits["test"])
        noises, _ = read_manifest(self._noise, needs_text=False)
        self._utterances = utterances
        self._data = f"{fingerprint(utterances)[:16]} {fingerprint(noises)[:16]} {_SEED}"

    def row(self, row, *, snr_db):
        """Return a Row with its test scores in noise, seed by seed; the clean Row where snr_db is None."""
        if snr_db is None:
            return row
        folder, _, ticket = row.path.partition("/")
        scores = {seed: self._score(self.bench.folder(folder, seed=seed) / ticket, snr_db=snr_db) for seed in row.seeds}
        return dataclasses.replace(row, test=scores)

    def _score(self, folder, *, snr_db):
        known = read_json(self._path) if self._path.exists() else {}
        key = f"{sha256_file(folder / 'ticket.json')} {snr_db:g} dB {self._data}"
        if key not in known:
            print(f"testing {folder.parent.name}/{folder.name} in noise at {snr_db:g} dB", file=sys.stderr)
            known[key] = self._evaluate(folder, snr_db=snr_db).to_json()
            write_json(self._path, known)
        return Score(**known[key])

    def _evaluate(self, folder, *, snr_db):
        recipe = Recipe(variants=_TESTED, noise=str(self._noise), noise_snrs_db=(snr_db,), seed=_SEED)
        dataset = load_dataset(self._utterances, recipe=recipe, name=f"test at {snr_db:g} dB")
        ticket = load_ticket(folder)
        return evaluate(
            ticket.build_model(),
            dataset,
            tokenizer=ticket.tokenizer,
            encode=lambda text: [],
            chunk=ticket.chunk_frames,
        )

    def sounds(self):
        """Return split -> {"used", "all"}: how many recordings of the noise pack decode here, and how many it has."""
        key = "sounds used"
        known = read_json(self._path) if self._path.exists() else {}
        if key not in known:
            known[key] = {}
            for split in ("train", "test"):
                path = self._noise.with_name(f"{split}.jsonl")
                clips, _ = read_manifest(path, needs_text=False)
                known[key][split] = {"used": len(load_noise(path)), "all": len(clips)}
            write_json(self._path, known)
        return known[key]
