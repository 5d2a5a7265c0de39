"""Negatives in training: cut, drawn by share, spelled as silence."""

import dataclasses

import pytest
import torch

from lottery_train.batching import Batch, Targets, collate, epoch_batches
from lottery_train.corpora import Utterance, read_manifest, read_negatives, write_manifest
from lottery_train.dataset import load_dataset
from tests.lottery_train.tiny import random_model, tiny_config, write_tones


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve utterances with text and as many without."""
    folder = write_tones(tmp_path_factory.mktemp("tones"), num_train=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOTTERY_CACHE", str(folder / "cache"))
        utterances, _ = read_manifest(folder / "train.jsonl")
        return load_dataset([*utterances, *(dataclasses.replace(each, text="") for each in utterances)])


def plan(dataset, **options):
    defaults = {"batch_s": 4.0, "join_probability": 0.0, "max_utterance_s": 20.0, "seed": 0, "epoch": 0}
    batches = epoch_batches(dataset, **defaults | options)
    return [utterance for batch in batches for example in batch for utterance, _ in example]


@pytest.mark.parametrize("share", [0.1, 0.3, 0.49])
def test_negatives_take_their_share_of_an_epoch_and_no_more(dataset, share):
    used, frames = plan(dataset, negatives_share=share), dataset.num_frames(0)
    spoken = [number for number in used if number < 12]
    silent = [number for number in used if number >= 12]
    assert sorted(spoken) == list(range(12))
    assert len(set(silent)) == len(silent) > 0
    total = frames[used].sum()
    assert frames[silent].sum() <= share * total
    assert frames[silent].sum() > share * total - 2 * frames.max()


def test_every_epoch_draws_other_negatives(dataset):
    drawn = [{number for number in plan(dataset, negatives_share=0.2, epoch=epoch) if number >= 12} for epoch in (0, 1)]
    assert drawn[0] != drawn[1]
    assert plan(dataset, negatives_share=0.2) == plan(dataset, negatives_share=0.2)


def test_joining_with_silence_spells_the_words_alone(dataset):
    batch = collate(dataset, [((12, 0), (0, 0)), ((13, 0),)], encode=lambda text: [ord(each) for each in text], chunk=8)
    assert batch.targets.lengths.tolist() == [len(dataset.texts[0]), 0]
    assert "".join(map(chr, batch.targets.ids_BU[0].tolist())) == dataset.texts[0]


def test_silence_weighs_as_much_as_speech_of_its_length():
    model = random_model(tiny_config())
    objective = model.objective(num_characters=4, character_weight=0.0, seed=0)
    batch = Batch(
        features_BTF=torch.randn(1, 67, 80, generator=torch.Generator().manual_seed(0)) * 3 - 8,
        input_lengths=torch.tensor([16]),
        targets=Targets.pad([[]]),
        characters=Targets.pad([[]]),
        chunk=8,
        audio_s=1.0,
    )
    loss, _ = objective(batch)
    logprobs_TV = model(batch.features_BTF, chunk=8)[0]
    # The only path is blank in every frame; a symbol is counted for every 8 frames.
    torch.testing.assert_close(loss, -logprobs_TV[:, 0].sum() / 2)


def test_long_recordings_are_cut_and_texts_ignored(tmp_path):
    folder = write_tones(tmp_path, num_train=2)
    short, long = read_manifest(folder / "train.jsonl")[0]
    long = dataclasses.replace(long, duration_s=13.5, offset_s=2.0)
    write_manifest(tmp_path / "other.jsonl", utterances=[short, long])
    found, skipped = read_negatives(f"{tmp_path / 'other.jsonl'}, {folder / 'train.jsonl'}")
    assert not skipped
    assert all(isinstance(each, Utterance) and each.text == "" for each in found)
    assert [(each.offset_s, each.duration_s) for each in found[1:4]] == [(2.0, 4.5), (6.5, 4.5), (11.0, 4.5)]
    assert len(found) == 6
    assert read_negatives(None) == ([], [])
