"""Sound files under test, read as lottery-transcribe and as lottery-train read them."""

import io

from benchmarks.fuzz_base import Reader
from benchmarks.fuzz_mutations import mutate_bytes
from runtime.errors import LotteryError


class _AudioReader(Reader):
    """One container; its files are a fifth of a second of noise and tone."""

    mutator = staticmethod(mutate_bytes)
    formats, suffix = (), ""

    def prepare(self):
        import numpy as np
        import soundfile

        time_s = np.arange(3200) / 16000
        samples = 0.3 * np.sin(2 * np.pi * 440 * time_s) + 0.05 * np.random.default_rng(0).normal(size=3200)
        files = []
        for form, subtype, channels in self.formats:
            buffer = io.BytesIO()
            soundfile.write(buffer, np.stack([samples] * channels, 1), 16000, format=form, subtype=subtype)
            files.append(buffer.getvalue())
        return files

    def read(self, data, folder):
        from lottery_train.corpora.audio import load_audio, measure_duration_s
        from lottery_train.corpora.manifest import Utterance
        from runtime.audio import read_blocks

        path = self.write(data, folder, f"clip{self.suffix}")
        answers = []
        for read in (
            lambda: [None for _ in read_blocks(path)],
            lambda: measure_duration_s(path),
            lambda: load_audio(Utterance(audio_path=path, duration_s=0.2, text="a")),
            lambda: load_audio(Utterance(audio_path=path, duration_s=0.1, text="a", offset_s=0.05)),
        ):
            try:
                read()
            except LotteryError as error:
                answers.append(error)
        if answers:
            raise answers[0]


class WavReader(_AudioReader):
    """WAV, integers and floats; AIFF and W64, which libsndfile knows by their content."""

    name, cases, suffix = "wav", 3_000, ".wav"
    formats = (
        ("WAV", "PCM_16", 1), ("WAV", "FLOAT", 2), ("WAV", "PCM_24", 1), ("WAV", "ULAW", 1), ("W64", "PCM_16", 1),
        ("AIFF", "PCM_16", 1), ("NIST", "PCM_16", 1), ("RF64", "PCM_16", 1), ("AU", "PCM_16", 1), ("CAF", "PCM_16", 1),
    )  # fmt: skip


class FlacReader(_AudioReader):
    """FLAC."""

    name, cases, suffix, formats = "flac", 2_000, ".flac", (("FLAC", "PCM_16", 1), ("FLAC", "PCM_24", 2))


class OggReader(_AudioReader):
    """Ogg Vorbis and Opus; half of them with right sums, so that the decoders see what was changed."""

    name, cases, suffix, formats = "ogg", 3_000, ".ogg", (("OGG", "VORBIS", 1), ("OGG", "OPUS", 1))

    def mutate(self, rng):
        data = super().mutate(rng)
        return _with_sums(data) if rng.random() < 0.5 else data


def _with_sums(data):
    """Return an Ogg file with the sum of every page made right. Source: RFC 3533, section 6."""
    data = bytearray(data)
    at = data.find(b"OggS")
    while at >= 0 and at + 27 <= len(data):
        lacing = data[at + 27 : at + 27 + data[at + 26]]
        end = at + 27 + len(lacing) + sum(lacing)
        data[at + 22 : at + 26] = bytes(4)
        value = 0
        for byte in data[at:end]:
            value = (value << 8 & 0xFFFFFFFF) ^ _CRC[value >> 24 ^ byte]
        data[at + 22 : at + 26] = value.to_bytes(4, "little")
        at = data.find(b"OggS", max(end, at + 4))
    return bytes(data)


def _crc_of(byte):
    value = byte << 24
    for _ in range(8):
        value = (value << 1 ^ 0x04C11DB7 if value & 0x80000000 else value << 1) & 0xFFFFFFFF
    return value


_CRC = [_crc_of(byte) for byte in range(256)]


class Mp3Reader(_AudioReader):
    """MP3."""

    name, cases, suffix, formats = "mp3", 2_000, ".mp3", (("MP3", "MPEG_LAYER_III", 1),)


class FfmpegReader(_AudioReader):
    """What FFmpeg reads where libsndfile does not: MP4, Matroska, AAC."""

    name, cases, suffix = "ffmpeg", 2_000, ".m4a"
    formats = (("mp4", "aac"), ("adts", "aac"), ("matroska", "aac"), ("matroska", "libopus"), ("matroska", "pcm_s16le"))

    def prepare(self):
        import av
        import numpy as np

        samples = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4096) / 16000)
        files = []
        for container, codec in self.formats:
            buffer, is_float = io.BytesIO(), codec == "aac"
            with av.open(buffer, "w", format=container) as output:
                stream = output.add_stream(codec, rate=16000, layout="mono")
                form = "fltp" if is_float else "s16"
                stream.codec_context.format = form
                array = samples.astype(np.float32) if is_float else np.round(samples * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(array[None], format=form, layout="mono")
                frame.sample_rate, frame.pts = 16000, 0
                for packet in (*stream.encode(frame), *stream.encode(None)):
                    output.mux(packet)
            files.append(buffer.getvalue())
        return files


AUDIO_READERS = (WavReader, FlacReader, OggReader, Mp3Reader, FfmpegReader)
