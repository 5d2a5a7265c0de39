"""Manifests: what is written is read back, and every fault names its file and line."""

import json
import os

import numpy as np
import pytest
import soundfile

from lottery_train.corpora import (
    Utterance,
    check_characters,
    load_audio,
    measure_duration_s,
    read_manifest,
    write_manifest,
)
from lottery_train.errors import CorpusError
from runtime.tokenizer import Tokenizer

GOOD = '{"audio_filepath": "audio/a.wav", "duration": 0.5, "text": "yes"}'

FAULTS = {
    "broken JSON": ('{"audio_filepath": "audio/a.wav", "duration": 0.5', "not JSON"),
    "not an object": ("[1, 2]", "expected a JSON object, found list"),
    "nested without end": ("[" * 100_000, "not usable JSON"),
    "not UTF-8": (b'{"text": "\xff"}', "not UTF-8"),
    "no audio_filepath": ('{"duration": 0.5, "text": "yes"}', "'audio_filepath' is missing"),
    "no duration": ('{"audio_filepath": "audio/a.wav", "text": "yes"}', "'duration' is missing"),
    "no text": ('{"audio_filepath": "audio/a.wav", "duration": 0.5}', "'text' is missing"),
    "null text": ('{"audio_filepath": "audio/a.wav", "duration": 0.5, "text": null}', "'text' must be a string"),
    "empty text": ('{"audio_filepath": "audio/a.wav", "duration": 0.5, "text": "  "}', "'text' is empty"),
    "invisible text": (
        r'{"audio_filepath": "audio/a.wav", "duration": 0.5, "text": "\u00ad\u200b"}',
        "'text' is empty",
    ),
    "private use": (
        r'{"audio_filepath": "audio/a.wav", "duration": 0.5, "text": "a\ue000b"}',
        "no token can spell: U+E000",
    ),
    "mark of a word start": (
        r'{"audio_filepath": "audio/a.wav", "duration": 0.5, "text": "a\u2581b"}',
        "no token can spell: U+2581",
    ),
    "half a surrogate": (r'{"audio_filepath": "audio/a.wav", "duration": 0.5, "text": "\ud800"}', "surrogate"),
    "path a number": ('{"audio_filepath": 3, "duration": 0.5, "text": "yes"}', "'audio_filepath' must be a string"),
    "duration a string": (
        '{"audio_filepath": "audio/a.wav", "duration": "0.5", "text": "yes"}',
        "'duration' must be a number",
    ),
    "duration a boolean": (
        '{"audio_filepath": "audio/a.wav", "duration": true, "text": "yes"}',
        "'duration' must be a number",
    ),
    "duration zero": ('{"audio_filepath": "audio/a.wav", "duration": 0, "text": "yes"}', "must be above 0"),
    "duration negative": ('{"audio_filepath": "audio/a.wav", "duration": -1, "text": "yes"}', "must be above 0"),
    "duration NaN": ('{"audio_filepath": "audio/a.wav", "duration": NaN, "text": "yes"}', "not a finite number"),
    "duration huge": (
        '{"audio_filepath": "audio/a.wav", "duration": 1%s, "text": "yes"}' % ("0" * 400),
        "not a finite number",
    ),
    "duration of a year": (
        '{"audio_filepath": "audio/a.wav", "duration": 3e7, "text": "yes"}',
        "'duration' is 3e+07 seconds, expected at most 1e+07",
    ),
    "offset that overflows": (
        '{"audio_filepath": "audio/a.wav", "duration": 1, "offset": 1e308, "text": "yes"}',
        "'offset' is 1e+308 seconds",
    ),
    "offset endless": (
        '{"audio_filepath": "audio/a.wav", "duration": 1, "offset": 1e400, "text": "yes"}',
        "'offset' is not a finite number",
    ),
    "offset negative": (
        '{"audio_filepath": "audio/a.wav", "duration": 1, "offset": -1, "text": "yes"}',
        "'offset' must not be negative",
    ),
    "speaker a number": (
        '{"audio_filepath": "audio/a.wav", "duration": 1, "text": "yes", "speaker": 7}',
        "'speaker' must be a string",
    ),
    "no such audio": ('{"audio_filepath": "audio/b.wav", "duration": 0.5, "text": "yes"}', "does not exist"),
    "audio a folder": ('{"audio_filepath": "audio", "duration": 0.5, "text": "yes"}', "does not exist"),
    "name of 300 characters": (
        '{"audio_filepath": "%s.wav", "duration": 0.5, "text": "yes"}' % ("x" * 300),
        "xxx… cannot be opened: File name too long",
    ),
    "NUL in the path": (r'{"audio_filepath": "a\u0000b", "duration": 0.5, "text": "yes"}', "does not exist"),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio" / "a.wav", np.zeros(8000), 16000)
    return tmp_path


def _write_lines(folder, *lines):
    path = folder / "train.jsonl"
    path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
    return path


def test_what_is_written_is_read_back(folder):
    utterances = [
        Utterance(audio_path=folder / "audio" / "a.wav", duration_s=0.5, text="ja, wörtlich"),
        Utterance(
            audio_path=folder / "audio" / "a.wav", duration_s=0.25, text="yes", speaker="s1", lang="en", offset_s=0.0
        ),
    ]
    write_manifest(folder / "dev.jsonl", utterances=utterances)
    found, skipped = read_manifest(folder / "dev.jsonl")
    assert found == utterances
    assert skipped == []
    assert [utterance.line for utterance in found] == [1, 2]
    assert found[1].origin == f"{folder / 'dev.jsonl'}:2"


def test_audio_inside_the_folder_is_named_relative_and_audio_outside_absolute(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("elsewhere") / "b.wav"
    soundfile.write(outside, np.zeros(100), 16000)
    paths = [folder / "audio" / "a.wav", outside]
    write_manifest(
        folder / "x.jsonl", utterances=[Utterance(audio_path=path, duration_s=1.0, text="a") for path in paths]
    )
    records = [json.loads(line) for line in (folder / "x.jsonl").read_text().splitlines()]
    assert [record["audio_filepath"] for record in records] == ["audio/a.wav", str(outside)]
    folder.rename(folder.with_name("moved"))
    found, _ = read_manifest(folder.with_name("moved") / "x.jsonl")
    assert found[0].audio_path == folder.with_name("moved") / "audio" / "a.wav"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_line_raises_with_file_and_line(folder, fault):
    line, reason = FAULTS[fault]
    path = _write_lines(folder, GOOD, "", line, GOOD)
    with pytest.raises(CorpusError) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert reason in str(caught.value)


def test_faulty_lines_can_be_skipped_and_counted(folder):
    path = _write_lines(folder, GOOD, *(line for line, _ in FAULTS.values()), GOOD)
    utterances, skipped = read_manifest(path, on_error="skip")
    assert [utterance.line for utterance in utterances] == [1, len(FAULTS) + 2]
    assert [item.line for item in skipped] == list(range(2, len(FAULTS) + 2))
    for item, (_, reason) in zip(skipped, FAULTS.values(), strict=True):
        assert reason in item.reason
        assert str(item) == f"{path}:{item.line}: {item.reason}"


def test_optional_keys_may_be_null_and_spaces_are_evened_out(folder):
    path = _write_lines(folder, GOOD.replace('"yes"', '" yes \\t no ", "speaker": null, "offset": null, "other": {}'))
    [utterance], _ = read_manifest(path)
    assert (utterance.text, utterance.speaker, utterance.offset_s) == ("yes no", None, None)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"not json\n"])
def test_a_manifest_without_one_usable_line_is_an_error_even_when_skipping(folder, content):
    path = folder / "train.jsonl"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"train\.jsonl: no usable utterance"):
        read_manifest(path, on_error="skip")


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(CorpusError, match=r"none\.jsonl: cannot read the manifest: No such file"):
        read_manifest(tmp_path / "none.jsonl")


def test_on_error_is_checked(folder):
    with pytest.raises(ValueError):
        read_manifest(_write_lines(folder, GOOD), on_error="ignore")


def test_characters_outside_the_tokens_are_counted_with_their_line(folder):
    path = _write_lines(folder, GOOD, GOOD.replace("yes", "y\u00e9s 9"), GOOD.replace("yes", "yes yes"))
    usable, skipped = check_characters(read_manifest(path)[0], tokenizer=Tokenizer.from_texts(["yes"]))
    assert [utterance.text for utterance in usable] == ["yes", "yes yes"]
    assert [str(item) for item in skipped] == [f"{path}:2: text holds characters outside the tokens: 9 \u00e9"]


def test_a_byte_order_mark_and_windows_line_ends_are_ignored(folder):
    path = folder / "train.jsonl"
    path.write_bytes(f"\ufeff{GOOD}\r\n\r\n{GOOD}\r\n".encode())
    utterances, skipped = read_manifest(path)
    assert ([utterance.line for utterance in utterances], skipped) == ([1, 3], [])


def test_line_separators_inside_a_text_are_white_space_and_invisible_characters_are_gone(folder):
    text = "y\u00ade\u200fs\u2028no\fagain"
    path = _write_lines(folder, GOOD.replace("yes", text.replace("\f", "\\f")), "{}", GOOD)
    utterances, skipped = read_manifest(path, on_error="skip")
    assert [utterance.text for utterance in utterances] == ["yes no again", "yes"]
    assert [item.line for item in skipped] == [2]


def test_a_name_that_is_not_utf8_is_written_and_read_back(folder):
    path = folder / "audio" / os.fsdecode(b"caf\xe9.wav")
    try:
        os.rename(folder / "audio" / "a.wav", path)
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    write_manifest(folder / "train.jsonl", utterances=[Utterance(audio_path=path, duration_s=0.5, text="café")])
    [found], _ = read_manifest(folder / "train.jsonl")
    assert found == Utterance(audio_path=path, duration_s=0.5, text="café")
    assert load_audio(found).shape == (8000,)
    assert measure_duration_s(found.audio_path) == 0.5
