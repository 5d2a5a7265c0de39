"""The readers of training and export under test: tickets, checkpoints, runs, corpora, archives."""

import gzip
import hashlib
import io
import json
import struct
import tarfile

from benchmarks.fuzz_base import Reader
from benchmarks.fuzz_mutations import mutate_bytes, mutate_json, mutate_text


def mutate_safetensors(data, *, rng, others=()):
    """Return a safetensors file after a change of its header's JSON, of its length, or of bytes."""
    if rng.random() < 0.3:
        return mutate_bytes(data, rng=rng, others=others)
    size = struct.unpack_from("<Q", data)[0]
    header, body = data[8 : 8 + size], data[8 + size :]
    if rng.random() < 0.3:
        value = json.loads(header)
        # A mask keeps its own header in a text.
        texts = value.get("__metadata__", {})
        if texts:
            key = rng.choice(list(texts))
            texts[key] = mutate_json(texts[key].encode(), rng=rng).decode("utf-8", "replace")
            header = json.dumps(value).encode()
        else:
            header = header.replace(b"F32", rng.choice((b"F8", b"F8_E4M3", b"F16", b"I64", b"BOOL", b"U8", b"F4")), 1)
    else:
        header = mutate_json(header, rng=rng)
    return struct.pack("<Q", len(header)) + header + body


class _TicketReader(Reader):
    """A ticket of which one file is another; ticket.json agrees with its size and hash."""

    file = "ticket.json"

    def prepare(self):
        import torch

        from tests.export.models import drawn_units, random_model, small_config, unit_mask, write_ticket

        torch.set_num_threads(1)
        config = small_config(
            num_blocks=1, ff=8, heads=1, conv=8, model_width=8, stem_width=4, head_width=4, num_mels=80
        )
        model = random_model(config)
        self.ticket = self.place / "level_01"
        write_ticket(self.ticket, model, mask=unit_mask(model, drawn_units(model)))
        self.record = json.loads((self.ticket / "ticket.json").read_bytes())
        return [(self.ticket / self.file).read_bytes()]

    def read(self, data, folder):
        from lottery_train.ticket import load_ticket

        (self.ticket / self.file).write_bytes(data)
        if self.file in self.record["files"]:
            entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            record = self.record | {"files": self.record["files"] | {self.file: entry}}
            (self.ticket / "ticket.json").write_text(json.dumps(record))
        self.use(load_ticket(self.ticket))

    def use(self, ticket):
        """Do what lottery-export and the report do with a ticket."""
        from export.card import _error_rates, _method
        from lottery_train.report import read_records, size_table

        _error_rates(ticket.record, chunk_ms=640)
        _method(ticket.record, provenance={"density": 0.5, "level": 1, "granularity": "unit", "structured": True})
        if "epochs" in ticket.record and {"dev", "test"} <= set(ticket.record.get("metrics", ())):
            levels, _ = read_records(self.place)
            size_table(levels)
        ticket.build_model()


class TicketReader(_TicketReader):
    """ticket.json."""

    name, cases, mutator = "ticket_json", 3_000, staticmethod(mutate_json)


class MaskReader(_TicketReader):
    """mask.safetensors."""

    name, cases, mutator, file = "mask", 2_000, staticmethod(mutate_safetensors), "mask.safetensors"


class WeightsReader(_TicketReader):
    """weights.safetensors."""

    name, cases, mutator, file = "weights", 2_000, staticmethod(mutate_safetensors), "weights.safetensors"


class CheckpointReader(Reader):
    """Checkpoints and rewind points: weights, moments, position."""

    name, cases, mutator = "checkpoint", 2_000, staticmethod(mutate_safetensors)

    def prepare(self):
        import torch

        from lottery_train.checkpoint import save_checkpoint
        from lottery_train.position import Position

        torch.set_num_threads(1)
        self.model = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), fused=True)
        self.model(torch.ones(1, 3)).sum().backward()
        self.optimizer.step()
        position = Position(best=[[0.5, 1.0, "epoch_0001.safetensors"]], mask_distances=[[1, None], [2, 0.5]])
        save_checkpoint(self.place / "c", model=self.model, optimizer=self.optimizer, state=vars(position))
        return [(self.place / "c").read_bytes()]

    def read(self, data, folder):
        from lottery_train.checkpoint import load_checkpoint
        from lottery_train.position import read_position

        path = self.write(data, folder, "checkpoint.safetensors")
        read_position(path, state=load_checkpoint(path, model=self.model, optimizer=self.optimizer))
        self.optimizer.step()


class ConfigReader(Reader):
    """config.json of a run."""

    name, cases, mutator = "run_config", 5_000, staticmethod(mutate_json)

    def prepare(self):
        from lottery_train.config import ModelConfig, RunConfig

        configs = [RunConfig(model=ModelConfig(backbone=name)) for name in ("conformer", "cnn-lstm", "rnnt")]
        return [json.dumps(config.to_json()).encode() for config in configs]

    def read(self, data, folder):
        from lottery_train.config import RunConfig
        from runtime.files import parse_json

        json.dumps(RunConfig.from_json(parse_json(data, source="config.json")).to_json())


class MetricsReader(Reader):
    """metrics.jsonl of a run, and its curves."""

    name, cases, mutator = "metrics", 4_000, staticmethod(mutate_text)

    def prepare(self):
        line = {"level": "level_00", "step": 3, "epoch": 1, "loss": 2.5, "dev_wer": 0.5}
        return [b"".join(json.dumps(line | {"epoch": n, "step": n}).encode() + b"\n" for n in range(4))]

    def read(self, data, folder):
        from lottery_train.metrics import read_metrics
        from lottery_train.report import curve_points

        curve_points(read_metrics(self.write(data, folder, "metrics.jsonl")))


class CorpusManifestReader(Reader):
    """Corpus manifests: strictly, and leaving out what cannot be used."""

    name, cases = "corpus_manifest", 8_000

    def prepare(self):
        from tests.tiny_bundle import TOKENIZER

        self.tokenizer = TOKENIZER
        line = {
            "audio_filepath": "a.wav",
            "duration": 1.0,
            "text": "cab bad",
            "speaker": "s",
            "lang": "en",
            "offset": 0.5,
        }
        return [json.dumps(line | {"text": text}).encode() for text in ("cab", "bad dad", "ace")]

    def mutate(self, rng):
        mutators = (mutate_json, mutate_text, lambda data, rng: data)
        lines = [rng.choice(mutators)(rng.choice(self.seeds), rng=rng) for _ in range(3)]
        data = rng.choice((b"\n", b"\n", b"\r\n", b"\n\n")).join(lines)
        return mutate_bytes(data, rng=rng) if rng.random() < 0.2 else data

    def read(self, data, folder):
        from lottery_train.corpora import check_characters, read_manifest

        (folder / "a.wav").touch()
        path = self.write(data, folder, "train.jsonl")
        utterances, skipped = read_manifest(path, on_error="skip")
        _, unspelled = check_characters(utterances, tokenizer=self.tokenizer)
        for item in [*skipped, *unspelled]:
            if not str(item).isprintable():
                raise ValueError(f"not printable: {str(item)!r}")
        read_manifest(path)


class _IndexReader(Reader):
    """The index of a corpus in its official layout, with one recording."""

    mutator = staticmethod(mutate_text)
    corpus = place_of_index = audio = ""
    texts = ()

    def prepare(self):
        import numpy as np
        import soundfile

        for path in (self.place / self.audio, self.place / self.place_of_index):
            path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(self.place / self.audio, np.zeros(4000), 16000, format="WAV")
        return [text.encode() for text in self.texts]

    def read(self, data, folder):
        from lottery_train.corpora import IMPORTERS

        (self.place / self.place_of_index).write_bytes(data)
        _, skipped = IMPORTERS[self.corpus].read_corpus(self.place)
        for item in skipped:
            if not str(item).isprintable():
                raise ValueError(f"not printable: {str(item)!r}")


class FolderReader(_IndexReader):
    """metadata.csv."""

    name, cases, corpus, place_of_index, audio = "metadata_csv", 2_000, "folder", "metadata.csv", "a.wav"
    texts = ('file,text,split,speaker\na.wav,"cab, bad",train,s\na.wav,ace,dev,t\n', "file,text\na.wav,ace\na.wav,b\n")


class CommonVoiceReader(_IndexReader):
    """train.tsv of Common Voice."""

    name, cases, corpus, place_of_index, audio = "common_voice_tsv", 2_000, "common_voice", "train.tsv", "clips/a.wav"
    texts = ('client_id\tpath\tsentence\tlocale\nx\ta.wav\tcab bad\ten\ny\ta.wav\tace "of\ten\n',)


class MiniLibriSpeechReader(_IndexReader):
    """Transcripts of LibriSpeech."""

    name, cases, corpus = "librispeech_index", 2_000, "mini_librispeech"
    place_of_index, audio = "train-clean-5/1/2/1-2.trans.txt", "train-clean-5/1/2/1-2-0000.flac"
    texts = ("1-2-0000 CAB BAD\n1-2-0001 ACE\n",)

    def prepare(self):
        seeds = super().prepare()
        for speaker in ("3", "4"):
            chapter = self.place / "dev-clean-2" / speaker / "5"
            chapter.mkdir(parents=True)
            (chapter / f"{speaker}-5.trans.txt").write_text(f"{speaker}-5-0000 ACE\n")
            (chapter / f"{speaker}-5-0000.flac").write_bytes((self.place / self.audio).read_bytes())
        return seeds


class ArchiveReader(Reader):
    """Archives of corpora; most are compressed after the change, so that tar sees it."""

    name, cases = "archive", 2_000

    def prepare(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in ("an4/etc/a.txt", "an4/" + "long/" * 30 + "b.txt", "an4/\u00fc.txt"):
                info = tarfile.TarInfo(name)
                info.size, info.mtime = 40, 1.5
                tar.addfile(info, io.BytesIO(b"x" * 40))
            link = tarfile.TarInfo("an4/link")
            link.type, link.linkname = tarfile.SYMTYPE, "etc/a.txt"
            tar.addfile(link)
        return [buffer.getvalue()]

    def mutate(self, rng):
        if rng.random() < 0.2:
            return mutate_bytes(gzip.compress(self.seeds[0], mtime=0), rng=rng)
        data = bytearray(mutate_bytes(self.seeds[0], rng=rng))
        for at in range(0, len(data) - 511, 512):
            # Right sums: a header that was changed is read.
            if data[at + 257 : at + 262] == b"ustar":
                data[at + 148 : at + 156] = b" " * 8
                data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
        return gzip.compress(bytes(data), compresslevel=1, mtime=0)

    def read(self, data, folder):
        import shutil

        from lottery_train.corpora.download import unpack

        out = folder / "out" / "inner"
        out.mkdir(parents=True)
        try:
            unpack(self.write(data, folder, "a.tar.gz"), folder=out)
        finally:
            outside = [path for path in folder.rglob("*") if path.name not in ("out", "inner", "a.tar.gz")]
            is_inside = all(path.is_relative_to(out) for path in outside)
            shutil.rmtree(folder / "out")
        if not is_inside:
            raise ValueError("a file was written outside")


TRAINING_READERS = (
    TicketReader, MaskReader, WeightsReader, CheckpointReader, ConfigReader, MetricsReader, CorpusManifestReader,
    FolderReader, CommonVoiceReader, MiniLibriSpeechReader, ArchiveReader,
)  # fmt: skip
