"""Sound files that libsndfile does not open: read by PyAV where it is installed, explained where it is not."""

import io
import sys

import numpy as np
import pytest

from runtime.audio import AudioBlocks
from runtime.errors import AudioError
from runtime.transcribe import main as transcribe
from tests.tiny_bundle import speak, write_tiny_bundle

TEXT = "cab bad"


@pytest.fixture
def av():
    return pytest.importorskip("av", reason="PyAV (extra audio) is not installed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return write_tiny_bundle(tmp_path_factory.mktemp("foreign") / "bundle")


def encode(av, *, format, codec, rate_hz=16000, samples=None):
    """Return the bytes of a file that FFmpeg writes, a second of silence at either end."""
    samples = speak(TEXT) if samples is None else samples
    samples = np.concatenate([np.zeros(16000), samples, np.zeros(16000)]).astype(np.float32)
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="mono")
        context = stream.codec_context
        resampler = av.AudioResampler(
            format=context.format, layout="mono", rate=rate_hz, frame_size=context.frame_size or 0
        )
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate = 16000
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return file.getvalue()


KINDS = [("ipod", "aac", 16000), ("mp4", "aac", 44100), ("adts", "aac", 16000), ("webm", "libopus", 48000),
         ("matroska", "pcm_s16le", 16000), ("mov", "pcm_s16le", 16000)]  # fmt: skip


@pytest.mark.parametrize(("format", "codec", "rate_hz"), KINDS)
def test_what_ffmpeg_reads_is_recognised(av, bundle, tmp_path, capsys, format, codec, rate_hz):
    (tmp_path / "a").write_bytes(encode(av, format=format, codec=codec, rate_hz=rate_hz))
    assert transcribe([str(bundle), str(tmp_path / "a")]) == 0
    assert capsys.readouterr().out == f"{TEXT}\n"


@pytest.mark.parametrize(("format", "codec", "rate_hz"), KINDS)
def test_parts_and_lengths_are_exact(av, tmp_path, format, codec, rate_hz):
    (tmp_path / "a").write_bytes(encode(av, format=format, codec=codec, rate_hz=rate_hz))
    blocks = AudioBlocks(tmp_path / "a", block_s=0.1)
    assert (blocks.sample_rate_hz, blocks.duration_s) == (rate_hz, None)
    whole = np.concatenate(list(blocks))
    assert len(whole) / rate_hz == pytest.approx(2 + len(speak(TEXT)) / 16000, abs=0.15)
    assert AudioBlocks(tmp_path / "a").measure_s() == len(whole) / rate_hz
    part = np.concatenate(list(AudioBlocks(tmp_path / "a", start_s=1.25, length_s=0.5)))
    start = round(1.25 * rate_hz)
    assert np.array_equal(part, whole[start : start + round(0.5 * rate_hz)])


@pytest.mark.parametrize(("format", "codec", "rate_hz"), [kind for kind in KINDS if kind[0] in ("ipod", "mov", "webm")])
def test_files_that_follow_each_other_are_all_read_and_cut_ones_refused(av, tmp_path, format, codec, rate_hz):
    data = encode(av, format=format, codec=codec, rate_hz=rate_hz)
    lengths = []
    for content in (data, data + data):
        (tmp_path / "a").write_bytes(content)
        lengths.append(sum(map(len, AudioBlocks(tmp_path / "a"))))
    assert lengths[1] == 2 * lengths[0]
    (tmp_path / "a").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(AudioError, match=r"/a: truncated: \d+ of the \d+ bytes"):
        list(AudioBlocks(tmp_path / "a"))


def test_without_pyav_the_pip_line_is_the_answer(av, bundle, tmp_path, capsys, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(encode(av, format="ipod", codec="aac"))
    monkeypatch.setitem(sys.modules, "av", None)
    assert transcribe([str(bundle), str(tmp_path / "a.m4a")]) == 2
    out, err = capsys.readouterr()
    assert err == (
        f"error: {tmp_path / 'a.m4a'}: libsndfile does not read it, and PyAV is not installed\n"
        'hint: pip install "lottery-asr[audio]"\n'
    )
    assert out == ""


def test_no_playlist_leads_to_another_file(av, tmp_path):
    """FFmpeg would open what a playlist names: files of this machine, and addresses."""
    (tmp_path / "secret.m4a").write_bytes(encode(av, format="ipod", codec="aac"))
    texts = [
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/secret.m4a\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile {tmp_path}/secret.m4a\n",
    ]
    for text in texts:
        # A box in front lets PyAV be asked at all.
        for content in (text.encode(), b"\0\0\0\x14ftypM4A \0\0\0\0M4A " + text.encode()):
            (tmp_path / "a.m4a").write_bytes(content)
            with pytest.raises(AudioError):
                list(AudioBlocks(tmp_path / "a.m4a"))


def test_mutations_are_read_or_refused(av, tmp_path, capfd):
    rng = np.random.default_rng(0)
    num_refused = 0
    for format, codec, rate_hz in KINDS:
        source = encode(av, format=format, codec=codec, rate_hz=rate_hz, samples=np.zeros(1000))
        for _ in range(10):
            data = bytearray(source)
            for at in rng.integers(0, rng.choice([64, len(data)]), rng.integers(1, 6)):
                data[at] = rng.choice([0, 255, rng.integers(256)])
            (tmp_path / "a").write_bytes(data)
            try:
                heard = np.concatenate(list(AudioBlocks(tmp_path / "a", note=lambda text: None)))
            except AudioError:
                num_refused += 1
            else:
                assert np.isfinite(heard).all()
    assert num_refused > 5
    assert capfd.readouterr() == ("", "")
