"""Sound files as they come out of pipes, crashed recorders, joined files and odd programs: all made here.

The samples that AudioBlocks reads are compared with those that went in; lottery-transcribe runs on the main kinds.
"""

import struct

import numpy as np
import pytest

from lottery_train.corpora import Utterance, load_audio, measure_duration_s
from lottery_train.errors import CorpusError
from runtime import containers
from runtime.audio import AudioBlocks
from runtime.errors import AudioError
from runtime.transcribe import main as transcribe
from tests.cases.sound_forms import RATE_HZ, encode, replace, skewed_opus, stereo, unknown_flac, with_sizes
from tests.tiny_bundle import speak, write_tiny_bundle

TEXT = "cab bad"
# One quantisation step of 16 bits.
STEP = 2**-15
CLOSED = ["WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST"]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("siblings") / "bundle")


def read(path, content, **options):
    """Write a file and return (samples, notes)."""
    path.write_bytes(content)
    notes = []
    blocks = list(AudioBlocks(path, note=notes.append, **options))
    return np.concatenate(blocks), notes


def refusal(path, content, *, is_measured=True):
    """Return the message with which a file is refused: by the reader, in training, and by what measures for imports."""
    with pytest.raises(AudioError) as caught:
        read(path, content)
    assert str(caught.value).startswith(f"{path}: ")
    if is_measured:
        with pytest.raises(CorpusError):
            measure_duration_s(path)
    with pytest.raises(CorpusError, match=path.name):
        load_audio(Utterance(audio_path=path, duration_s=1.0, text="a"))
    return str(caught.value)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x7FFFF000, 0xFFFFFFFF - 36])
@pytest.mark.parametrize("format", ["WAV", "AIFF"])
def test_a_length_that_a_pipe_could_not_know(tmp_path, format, size):
    samples = speak(TEXT)
    heard, notes = read(tmp_path / "a.wav", with_sizes(samples, size=size, format=format))
    assert heard.shape == samples.shape
    assert np.abs(heard - samples).max() <= STEP
    assert measure_duration_s(tmp_path / "a.wav") == len(samples) / RATE_HZ
    assert [f"{tmp_path / 'a.wav'}: its header tells of no sound" in note for note in notes] == [True] * (size == 0)


@pytest.mark.parametrize(("format", "letters", "places"), [("RF64", b"ds64", (8, 24)), ("CAF", b"data", (4, 12))])
@pytest.mark.parametrize("value", [b"\0", b"\xff"])
def test_a_length_of_64_bits_that_a_pipe_could_not_know(tmp_path, format, letters, places, value):
    data = encode(speak(TEXT), format=format)
    start, end = (data.index(letters) + place for place in places)
    heard, _ = read(tmp_path / "a", replace(data, start, value * (end - start)))
    assert np.abs(heard - speak(TEXT)).max() <= STEP


def test_an_au_file_of_unknown_length(tmp_path):
    for size in (0, 0xFFFFFFFF):
        heard, _ = read(tmp_path / "a.au", replace(encode(speak(TEXT), format="AU"), 8, struct.pack(">I", size)))
        assert np.abs(heard - speak(TEXT)).max() <= STEP


@pytest.mark.parametrize("told", [0, 1, 9000])
def test_flac_of_a_length_that_its_header_does_not_know(tmp_path, told):
    samples = speak(TEXT)
    heard, _ = read(tmp_path / "a.flac", unknown_flac(samples, told=told))
    assert heard.shape == samples.shape
    assert np.abs(heard - samples).max() <= STEP
    assert measure_duration_s(tmp_path / "a.flac") == len(samples) / RATE_HZ


def test_an_empty_file_stays_one(tmp_path):
    data = encode(np.zeros(0))
    for content in (data, data + b"LIST\x04\0\0\0INFO"):
        assert "holds no samples" in refusal(tmp_path / "a.wav", content)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [*((format, "PCM_16") for format in (*CLOSED, "FLAC")), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("WAV", "IMA_ADPCM"),
     ("MP3", "MPEG_LAYER_III"), ("WAV", "FLOAT")],
)  # fmt: skip
@pytest.mark.parametrize("share", [0.5, 0.97])
def test_a_cut_file_is_an_error(tmp_path, format, subtype, share):
    data = encode(speak(TEXT * 3), format=format, subtype=subtype)
    message = refusal(tmp_path / "a", data[: round(share * len(data))])
    assert "truncated" in message or ("corrupt after" in message and format == "FLAC" and share == 0.97)


def test_a_cut_file_of_unknown_length_is_an_error(tmp_path):
    data = unknown_flac(speak(TEXT * 3))
    assert "truncated: it ends inside a frame" in refusal(tmp_path / "a.flac", data[: len(data) * 2 // 3])


def test_ogg_that_ends_with_a_page_but_not_with_its_last_one(tmp_path):
    data = encode(speak(TEXT * 3), format="OGG", subtype="OPUS")
    assert "its last Ogg page is missing" in refusal(tmp_path / "a.opus", data[: data.rindex(b"OggS")])


def test_a_damaged_page_is_an_error_where_the_decoder_skips_it(tmp_path):
    data = encode(speak(TEXT * 3), format="OGG", subtype="VORBIS")
    damaged = replace(data, data.rindex(b"OggS") - 100, b"\x55" * 8)
    assert "corrupt: the checksum of the Ogg page" in refusal(tmp_path / "a.ogg", damaged)


def test_a_header_that_is_counted_as_sound_is_no_cut(tmp_path):
    data = encode(speak(TEXT))
    heard, notes = read(tmp_path / "a.wav", replace(data, 40, struct.pack("<I", len(data))))
    assert np.abs(heard - speak(TEXT)).max() <= STEP
    assert notes == []


@pytest.mark.parametrize(
    ("format", "subtype"),
    [*((format, "PCM_16") for format in ("WAV", "AIFF", "AU", "CAF", "W64", "RF64", "FLAC")), ("OGG", "VORBIS"),
     ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")],
)  # fmt: skip
def test_streams_that_follow_each_other_are_all_read(tmp_path, format, subtype):
    parts = [encode(speak(text), format=format, subtype=subtype) for text in ("cab", "bad dead", "ace")]
    alone = [read(tmp_path / "a", part)[0] for part in parts]
    heard, _ = read(tmp_path / "a", b"".join(parts))
    assert np.array_equal(heard, np.concatenate(alone))
    assert measure_duration_s(tmp_path / "a") == pytest.approx(len(heard) / RATE_HZ, abs=1e-6)
    # Any stretch across the seams, as an utterance of a long recording.
    start = len(alone[0]) - 1000
    part, _ = read(tmp_path / "a", b"".join(parts), start_s=start / RATE_HZ, length_s=2.0)
    # A lossy decoder that starts in the middle has not heard what was before.
    tolerance = 0 if subtype == "PCM_16" else 0.3
    assert part.shape == (2 * RATE_HZ,)
    assert np.abs(part[1000:] - heard[start + 1000 : start + 2 * RATE_HZ]).max() <= tolerance


def test_streams_of_several_kinds_in_one_file(tmp_path):
    parts = [encode(speak("cab")), encode(speak("bad"), format="AIFF"), encode(speak("ace"), format="FLAC")]
    heard, _ = read(tmp_path / "a", b"".join(parts))
    assert np.abs(heard - np.concatenate([speak("cab"), speak("bad"), speak("ace")])).max() <= STEP


def test_a_wav_of_unknown_length_before_another(tmp_path):
    parts = [with_sizes(speak("cab"), size=0xFFFFFFFF), encode(speak("bad"))]
    heard, _ = read(tmp_path / "a.wav", b"".join(parts))
    assert np.abs(heard - np.concatenate([speak("cab"), speak("bad")])).max() <= STEP


def test_streams_of_other_rates_are_refused(tmp_path):
    parts = [encode(speak("cab")), encode(speak("bad", sample_rate_hz=8000), rate_hz=8000)]
    assert "stream 2 of 2: 8000 Hz" in refusal(tmp_path / "a.wav", b"".join(parts))


def test_a_file_of_endless_streams_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "_MAX_PARTS", 3)
    parts = [encode(speak("a"))] * 4
    assert len(read(tmp_path / "a.wav", b"".join(parts[:3]))[0]) == 3 * len(speak("a"))
    assert "more than 3 streams in one file" in refusal(tmp_path / "a.wav", b"".join(parts))


def test_what_follows_the_sound_is_said_or_known(tmp_path):
    data = encode(speak(TEXT))
    assert read(tmp_path / "a.wav", data + b"TAG" + bytes(125))[1] == []
    assert read(tmp_path / "a.wav", data + b"ID3\x04" + bytes(8000))[1] == []
    assert "8000 bytes after the end" in read(tmp_path / "a.wav", data + bytes(8000))[1][0]


def test_an_mp3_whose_first_frame_tells_too_few(tmp_path):
    data = encode(speak(TEXT * 3), format="MP3", subtype="MPEG_LAYER_III")
    at = max(data.find(b"Info"), data.find(b"Xing"))
    assert at > 0
    for told in (0, 5):
        heard, _ = read(tmp_path / "a.mp3", replace(data, at + 8, struct.pack(">I", told)))
        # The frame that told it is heard as silence, and the encoder's padding with it.
        assert 0 <= len(heard) - len(speak(TEXT * 3)) < 4000


def test_an_mp3_without_a_frame_that_tells_its_length(tmp_path):
    # Of a variable bit rate: quiet at first, so that an estimate from the beginning is wrong.
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 4 * RATE_HZ)
    samples = np.concatenate([0.001 * noise, noise]).astype(np.float32)
    data = encode(samples, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="VARIABLE")
    told, _ = read(tmp_path / "told.mp3", data)
    assert len(told) == len(samples)
    heard, _ = read(tmp_path / "a.mp3", data[data.index(data[:2], 2) :])
    assert 0 <= len(heard) - len(told) < 4000
    assert measure_duration_s(tmp_path / "a.mp3") == len(heard) / RATE_HZ


@pytest.mark.parametrize("shift", [489, -300, 48000])
@pytest.mark.parametrize("page", [2, 3])
def test_opus_positions_that_libsndfile_trips_over(tmp_path, shift, page):
    samples = speak(TEXT * 3)
    right, _ = read(tmp_path / "right.opus", encode(samples, format="OGG", subtype="OPUS"))
    heard, _ = read(tmp_path / "a.opus", skewed_opus(samples, shift=shift, page=page))
    num_lost = max(0, len(right) - len(heard))
    # The last page tells its end from the page before it: that one's error is cut, as every player does.
    assert num_lost <= max(0, shift) / 3 + 1
    assert np.array_equal(heard[: len(right)], right[: len(heard)])


def test_channels_that_cancel_are_not_mixed(tmp_path):
    samples, noise = speak(TEXT), np.random.default_rng(0).normal(0, 0.001, len(speak(TEXT))).astype(np.float32)
    for left, right in [(samples, -samples), (samples, -0.9 * samples), (samples + noise, 0.9 * (noise - samples))]:
        heard, notes = read(tmp_path / "a.wav", encode(stereo(left, right), subtype="FLOAT"), block_s=0.03)
        assert np.abs(heard - left).max() < 1e-6
        assert notes == [f"{tmp_path / 'a.wav'}: its channels cancel each other: channel 1 alone is used"]
    # Silence first, and only a part that cancels.
    late = np.concatenate([np.zeros(3 * RATE_HZ, np.float32), samples])
    heard, notes = read(tmp_path / "a.wav", encode(stereo(-late, late), subtype="FLOAT"))
    assert len(notes) == 1
    assert np.abs(np.abs(heard) - np.abs(late)).max() < 1e-6


def test_channels_that_do_not_cancel_are_averaged(tmp_path):
    rng = np.random.default_rng(0)
    samples, other = speak(TEXT), rng.normal(0, 0.1, len(speak(TEXT))).astype(np.float32)
    for channels in ([samples, samples], [samples, other], [samples, 0 * samples], [samples, -0.5 * samples],
                     [samples, *(0 * samples for _ in range(7))]):  # fmt: skip
        block = np.stack(channels, axis=1)
        heard, notes = read(tmp_path / "a.wav", encode(block, subtype="FLOAT"))
        assert notes == []
        assert np.abs(heard - block.mean(axis=1)).max() < 1e-6


@pytest.mark.parametrize("scale", [2**15, 2**23, 2**31])
def test_integers_that_were_written_as_floats(tmp_path, scale):
    integers = np.rint(np.clip(speak(TEXT).astype(np.float64) * scale, -scale, scale - 1))
    heard, notes = read(tmp_path / "a.wav", encode(integers.astype(np.float32), subtype="FLOAT"))
    assert np.abs(heard - speak(TEXT)).max() <= STEP
    assert f"divided by {scale:g}" in notes[0]


def test_floats_far_beyond_full_scale(tmp_path):
    samples = speak(TEXT) / np.abs(speak(TEXT)).max()
    for gain, scale in [(0.01, 1.0), (1.9, 1.0), (50.5, 50.5), (1234.5, 1234.5)]:
        heard, notes = read(tmp_path / "a.wav", encode(gain * samples, subtype="FLOAT"))
        assert np.abs(heard * scale / gain - samples).max() < 1e-5
        assert len(notes) == (scale != 1.0)
    huge, more = (encode(np.full(9000, value), subtype="DOUBLE") for value in (1e30, 1e300))
    assert "samples reach 1e+30" in refusal(tmp_path / "a.wav", huge, is_measured=False)
    assert "NaN or infinity" in refusal(tmp_path / "a.wav", more, is_measured=False)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("unknown.flac", lambda samples: unknown_flac(samples)),
        ("pipe.wav", lambda samples: with_sizes(samples, size=0xFFFFFFFF)),
        ("crashed.wav", lambda samples: with_sizes(samples, size=0)),
        ("antiphase.wav", lambda samples: encode(stereo(samples, -samples))),
        ("integers.wav", lambda samples: encode(np.rint(samples * 32767), subtype="FLOAT")),
        ("joined.opus", lambda samples: 2 * encode(samples, format="OGG", subtype="OPUS")),
        ("joined.mp3", lambda samples: 2 * encode(samples, format="MP3", subtype="MPEG_LAYER_III")),
        ("skewed.opus", lambda samples: skewed_opus(samples, shift=489, page=2)),
    ],
)
def test_the_command_recognises_them(bundle, tmp_path, capsys, name, make):
    # Silence around, since a codec smears what is at the edge of a file.
    samples = np.concatenate([np.zeros(4000, np.float32), speak(TEXT), np.zeros(8000, np.float32)])
    (tmp_path / name).write_bytes(make(samples))
    assert transcribe([str(bundle), str(tmp_path / name)]) == 0
    assert capsys.readouterr().out == (f"{TEXT}{TEXT}\n" if name.startswith("joined") else f"{TEXT}\n")


@pytest.mark.parametrize(("format", "subtype"), [("WAV", "PCM_16"), ("OGG", "OPUS"), ("FLAC", "PCM_16")])
def test_the_command_refuses_cut_files_after_what_it_heard(bundle, tmp_path, capsys, format, subtype):
    samples = np.concatenate([speak(TEXT), np.zeros(32000, np.float32), speak("dead")])
    data = encode(samples, format=format, subtype=subtype)
    path = tmp_path / "cut"
    path.write_bytes(data[: -len(data) // 5])
    assert transcribe([str(bundle), str(path)]) == 2
    out, err = capsys.readouterr()
    assert out.startswith(TEXT)
    assert err.startswith(f"error: {path}: truncated: ")


def test_mutations_are_read_or_refused(tmp_path, capfd):
    rng = np.random.default_rng(0)
    samples = speak("cab")
    sources = [encode(samples, format=format, subtype=subtype) for format, subtype in (
        ("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"),
        ("AIFF", "PCM_16"), ("CAF", "PCM_16"), ("W64", "PCM_16"), ("AU", "PCM_16"), ("NIST", "PCM_16"),
    )]  # fmt: skip
    num_refused = 0
    for source in sources:
        for _ in range(25):
            data = bytearray(source)
            # Headers are where lengths stand.
            for at in rng.integers(0, rng.choice([64, len(data)]), rng.integers(1, 6)):
                data[at] = rng.choice([0, 255, rng.integers(256)])
            data = bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data)
            try:
                heard, _ = read(tmp_path / "a", data)
            except AudioError:
                num_refused += 1
            else:
                assert np.isfinite(heard).all()
    # A good part of either, or nothing was tried.
    assert 50 < num_refused < 200
    capfd.readouterr()  # the decoders' own complaints
