"""Texts that CTC cannot spell in the frames of their recording, against torch's own loss: infinite exactly there."""

import itertools
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lottery_train.alignment import encoder_frames, keep_alignable, needed_frames
from lottery_train.batching import epoch_batches
from lottery_train.config import DataConfig
from lottery_train.corpora import read_manifest
from lottery_train.dataset import Recipe, Variant, load_dataset
from lottery_train.errors import ConfigError, CorpusError
from lottery_train.speech import prepare_speech
from runtime.features import num_chunks
from tests.lottery_train.tiny import tiny_run, write_tones


def _loss(symbols, num_frames):
    logprobs_TBV = torch.zeros(num_frames, 1, 4).log_softmax(-1)
    lengths = torch.tensor([num_frames]), torch.tensor([len(symbols)])
    return float(F.ctc_loss(logprobs_TBV, torch.tensor([symbols]), *lengths, reduction="none"))


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_the_loss_is_finite_exactly_from_the_needed_frames_on(length):
    for symbols in itertools.product((1, 2), repeat=length):
        need = needed_frames(symbols)
        assert np.isfinite(_loss(symbols, need)), symbols
        if need > 1:
            assert _loss(symbols, need - 1) == np.inf, symbols
    assert needed_frames([]) == 0


@pytest.mark.parametrize("num_frames", [1, 3, 4, 5, 100, 101, 102, 103])
def test_no_batch_gives_fewer_frames_than_are_counted_on(num_frames):
    assert all(num_chunks(num_frames, chunk_frames=chunk) * chunk >= encoder_frames(num_frames) for chunk in (1, 7, 32))
    assert encoder_frames(num_frames) >= num_frames // 4


@pytest.fixture
def pack(tmp_path, monkeypatch):
    monkeypatch.setenv("LOTTERY_CACHE", str(tmp_path / "cache"))
    return write_tones(tmp_path / "tones", num_train=6, num_dev=3, num_test=3)


def set_texts(manifest, texts):
    """Replace the texts of the first lines."""
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    lines = [line | {"text": text} for line, text in zip(lines, texts, strict=False)] + lines[len(texts) :]
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))


def long_text(frames):
    """Return a text that needs so many frames: repeats among its letters."""
    text = "aab" * (frames // 4) + "abc"[: frames % 4]
    assert needed_frames(text) == frames
    return text


def load(manifest, *, speeds=(1.0,)):
    recipe = Recipe(variants=tuple(Variant(speed=speed) for speed in speeds), dtype="float16")
    return load_dataset(read_manifest(manifest)[0], recipe=recipe)


def test_a_text_longer_than_its_recording_is_skipped_counted_and_named(pack, tmp_path, capsys):
    frames = [encoder_frames(int(length)) for length in load(pack / "train.jsonl").lengths[0]]
    set_texts(pack / "train.jsonl", [long_text(frames[0]), long_text(frames[1] + 1)])
    set_texts(pack / "dev.jsonl", ["ab" * 500])
    speech = prepare_speech(tiny_run().data, out=tmp_path / "run", seed=0, data_dir=pack)
    assert speech.train.texts[0] == long_text(frames[0])
    assert (len(speech.train), len(speech.dev)) == (5, 3)
    said = capsys.readouterr().err
    reason = f"its text needs {frames[1] + 1} frames of 40 ms, the recording has {frames[1]}"
    assert f"train: 1 of 6 utterances skipped:\n  {pack / 'train.jsonl'}:2: {reason}\n" in said
    assert "dev: 1 of 3 texts are too long for their recordings:\n" in said
    assert f"{pack / 'dev.jsonl'}:1: its text needs 1000 frames of 40 ms" in said
    listed = (tmp_path / "run" / "skipped.txt").read_text().splitlines()
    assert [line.partition(": ")[0].rpartition("/")[2] for line in listed] == ["train.jsonl:2", "dev.jsonl:1"]
    assert f"{pack / 'train.jsonl'}:2: {reason}" == listed[0]


def test_a_corpus_whose_texts_are_all_too_long_is_refused(pack, tmp_path):
    set_texts(pack / "train.jsonl", ["abcd" * 200] * 6)
    with pytest.raises(CorpusError, match=r"train: no text fits its recording; the first: .*jsonl:\d: its text needs"):
        prepare_speech(tiny_run().data, out=tmp_path / "run", seed=0, data_dir=pack)
    assert len((tmp_path / "run" / "skipped.txt").read_text().splitlines()) == 6


def test_all_that_was_skipped_is_listed_and_a_clean_run_has_no_list(pack, tmp_path, capsys):
    out = tmp_path / "run"
    set_texts(pack / "train.jsonl", ["abcd" * 200] * 5)
    prepare_speech(tiny_run().data, out=out, seed=0, data_dir=pack)
    assert f"… and 2 more, see {out / 'skipped.txt'}" in capsys.readouterr().err
    assert len((out / "skipped.txt").read_text().splitlines()) == 5
    set_texts(pack / "train.jsonl", ["a b"] * 5)
    prepare_speech(tiny_run().data, out=out, seed=0, data_dir=pack)
    assert not (out / "skipped.txt").exists()


def test_a_copy_that_is_too_fast_gives_way_to_a_slower_one(pack):
    speeds = (0.9, 1.0, 1.1)
    plain = load(pack / "train.jsonl", speeds=speeds)
    slow, normal, fast = (encoder_frames(int(length)) for length in plain.lengths[:, 0])
    assert slow > normal > fast
    set_texts(pack / "train.jsonl", [long_text(normal), long_text(slow + 1)])
    dataset = load(pack / "train.jsonl", speeds=speeds)
    found = keep_alignable(dataset, encode=list)
    assert len(found.skipped) == len(found.shortened) == 1
    assert found.shortened[0].endswith(
        f"needs {normal} frames of 40 ms, the recording has {slow}, but its fastest copy {fast}"
    )
    np.testing.assert_array_equal(found.dataset.lengths[:, 0], dataset.lengths[[0, 1, 1], 0])
    np.testing.assert_array_equal(found.dataset.frames(0, variant=2), dataset.frames(0, variant=1))
    np.testing.assert_array_equal(found.dataset.lengths[:, 1:], dataset.lengths[:, 2:])


def test_the_tokens_may_need_more_frames_than_the_characters(pack):
    dataset = load(pack / "train.jsonl")
    found = keep_alignable(dataset, encode=lambda text: [1] * (1000 if text == dataset.texts[3] else 1))
    assert [line.partition(": ")[0] for line in found.skipped] == [
        origin for text, origin in zip(dataset.texts, dataset.origins, strict=True) if text == dataset.texts[3]
    ]


def test_utterances_are_joined_only_where_their_texts_fit_together(pack):
    frames = [encoder_frames(int(length)) for length in load(pack / "train.jsonl").lengths[0]]
    plan = {"batch_s": 9.0, "join_probability": 1.0, "max_utterance_s": 30.0, "seed": 0}
    set_texts(pack / "train.jsonl", ["a"] * 6)
    roomy = keep_alignable(load(pack / "train.jsonl"), encode=list).dataset
    set_texts(pack / "train.jsonl", [long_text(count) for count in frames])
    tight = keep_alignable(load(pack / "train.jsonl"), encode=list).dataset
    assert len(roomy) == len(tight) == 6
    for dataset, is_joined in ((roomy, True), (tight, False)):
        examples = [example for batch in epoch_batches(dataset, epoch=1, **plan) for example in batch]
        assert any(len(example) == 2 for example in examples) == is_joined
        for example in examples:
            text = " ".join(dataset.texts[place] for place, _ in example)
            num_frames = sum(int(dataset.lengths[0, place]) for place, _ in example)
            assert needed_frames("▁".join(text.split())) <= encoder_frames(num_frames)


@pytest.mark.parametrize("damage", ["missing", "cut", "another's"])
def test_a_run_whose_pieces_are_lost_is_refused(pack, tmp_path, damage):
    """Without them its texts would be spelled by single characters, which are other labels."""
    out, data = tmp_path / "run", DataConfig(corpus="tones", tokens="bpe:7", speeds=(1.0,))
    first = prepare_speech(data, out=out, seed=0, data_dir=pack)
    assert first.encode("a b")
    model = out / "bpe.model"
    if damage == "missing":
        model.unlink()
    elif damage == "cut":
        model.write_bytes(model.read_bytes()[:-40])
    else:
        (out / "tokens.txt").write_text("<blk> 0\n▁ 1\na 2\n")
    with pytest.raises(ConfigError, match=r"bpe\.model"):
        prepare_speech(data, out=out, seed=0, data_dir=pack)
