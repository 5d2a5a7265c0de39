"""What is fuzzed: every reader of files that others may have written, with right files to mutate.

A reader is a class here or in the two modules beside it: `mutate` makes a file of a random number generator, `read`
hands it to the project as a user's file would be.
"""

import json
import struct

from benchmarks.fuzz_audio_readers import AUDIO_READERS
from benchmarks.fuzz_base import Reader
from benchmarks.fuzz_mutations import mutate_bytes, mutate_json, mutate_text
from benchmarks.fuzz_training_readers import TRAINING_READERS
from runtime.errors import LotteryError

_PROLOGUE_BYTES = 32
# A step's buffers; larger ones are left alone, so that a run comes to an end.
_MOST_BYTES = 1 << 24
_ARPA = b"""\\data\\
ngram 1=4
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-1.2\t</s>
-0.7\tcab\t-0.2

\\2-grams:
-0.4\t<s> cab
-0.5\tcab cab
-0.6\tcab </s>

\\end\\
"""


class ManifestReader(Reader):
    """manifest.json, and what tables and the choice of a model make of it."""

    name, cases, mutator = "manifest", 50_000, staticmethod(mutate_json)

    def prepare(self):
        from runtime.shipped import shipped_bundle
        from tests.tiny_bundle import write_tiny_bundle

        tiny = write_tiny_bundle(self.place / "tiny")
        return [(folder / "manifest.json").read_bytes() for folder in (shipped_bundle(), tiny)]

    def read(self, data, folder):
        from runtime.comparison import describe_bundle
        from runtime.files import parse_json
        from runtime.manifest import Manifest
        from runtime.session import choose_model

        manifest = Manifest.from_json(parse_json(data, source="manifest.json"), source="manifest.json")
        for backend, precision in manifest.models:
            describe_bundle("bundle", manifest=manifest, precision=precision, backend=backend)
            choose_model(manifest, precision=precision, backend=backend)
        json.dumps(manifest.to_json())


class TokensReader(Reader):
    """tokens.txt."""

    name, cases, mutator = "tokens", 40_000, staticmethod(mutate_text)

    def prepare(self):
        from runtime.shipped import shipped_bundle
        from tests.tiny_bundle import TOKENIZER

        TOKENIZER.save(self.place / "tokens.txt")
        return [(self.place / "tokens.txt").read_bytes(), (shipped_bundle() / "tokens.txt").read_bytes()]

    def read(self, data, folder):
        from runtime.tokenizer import Tokenizer

        tokenizer = Tokenizer.from_bytes(data, source="tokens.txt")
        tokenizer.decode(range(len(tokenizer)))


class OnnxReader(Reader):
    """model.onnx up to the door of onnxruntime."""

    name, cases, mutator = "onnx", 40_000, staticmethod(mutate_bytes)

    def prepare(self):
        from tests.runtime.test_model_files import endless_model
        from tests.tiny_bundle import build_model

        return [build_model().SerializeToString(), endless_model().SerializeToString()]

    def read(self, data, folder):
        from runtime.operators import check_model

        check_model(data, source="model.onnx", allow_any_operators=bool(data[-1:] > b"\x80"))


class OrtReader(OnnxReader):
    """model.ort up to the door of onnxruntime."""

    name, cases = "ort", 30_000

    def prepare(self):
        return [ort_model(self.place)]

    def mutate(self, rng):
        # Eight bytes say what it is.
        return mutate_bytes(self.seeds[0], rng=rng, protected=8)


class SessionReader(Reader):
    """model.onnx through onnxruntime, where it is let through: loaded and run."""

    name, cases, mutator = "session", 3_000, staticmethod(mutate_bytes)

    def prepare(self):
        from runtime.manifest import Manifest
        from tests.tiny_bundle import build_model, write_tiny_bundle

        self.manifest = Manifest.load(write_tiny_bundle(self.place / "tiny"))
        return [build_model().SerializeToString()]

    def read(self, data, folder):
        import numpy as np

        from runtime.session import OrtSession

        session = OrtSession(data, manifest=self.manifest)
        window = np.zeros((1, self.manifest.geometry.window_frames, 80), np.float32)
        session.step(window, session.initial_state())


class EngineReader(Reader):
    """model.ticket through the engine: opened and stepped; most with a right checksum, so that it looks further."""

    name, cases = "ticket_engine", 20_000

    def prepare(self):
        from tests.runtime.engine.small_tickets import small_tickets

        return list(small_tickets())

    def mutate(self, rng):
        from tests.runtime.engine.reference_ticket import checksum

        data = rng.choice(self.seeds)
        if rng.random() < 0.6:
            at = rng.randrange(len(data) // 4) * 4
            number = rng.choice((0, 1, 2, 255, 1023, 1024, 16384, 65536, 1 << 24, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
            data = data[:at] + struct.pack("<I", number) + data[at + 4 :]
        else:
            data = mutate_bytes(data, rng=rng, others=self.seeds)
        if len(data) < _PROLOGUE_BYTES or rng.random() < 0.1:
            return data
        body = data[_PROLOGUE_BYTES:]
        return data[:16] + struct.pack("<QQ", len(data), checksum(body)) + body

    def read(self, data, folder):
        import numpy as np

        from runtime.engine.session import EngineSession

        session = EngineSession(data)
        shape = session.geometry
        out_bytes = 4 * shape.chunk_frames * shape.vocab_size
        if max(session.state_bytes, session._model.workspace_bytes(1), out_bytes) <= _MOST_BYTES:
            session.step(np.zeros((1, shape.window_frames, shape.num_mels), np.float32), session.initial_state())


class PhrasesReader(Reader):
    """Hotword and grammar files, as far as a beam search takes them."""

    name, cases, mutator = "phrases", 10_000, staticmethod(mutate_text)

    def prepare(self):
        from tests.tiny_bundle import TOKENIZER

        self.tokenizer = TOKENIZER
        return [b"# rare words\ncab:1.5\nbad dad\nace:-2\n", b"abba\nbead:0.1\nc:20\n"]

    def read(self, data, folder):
        from runtime.grammar import Grammar
        from runtime.hotwords import Hotwords, read_hotwords
        from runtime.phrases import read_phrases

        path = self.write(data, folder, "words.txt")
        try:
            Hotwords(read_hotwords(path)).prepare(self.tokenizer)
        except LotteryError:
            Grammar(read_phrases(path)).prepare(self.tokenizer)


class LanguageModelReader(Reader):
    """ARPA files. (KenLM's binaries are not checked by the library: they are for those who made them.)"""

    name, cases, mutator = "language_model", 4_000, staticmethod(mutate_text)

    def prepare(self):
        from tests.tiny_bundle import TOKENIZER

        self.tokenizer = TOKENIZER
        return [_ARPA]

    def read(self, data, folder):
        from runtime.language_model import LanguageModel

        scorer = LanguageModel(self.write(data, folder, "words.arpa")).prepare(self.tokenizer)
        state, _ = scorer.step(scorer.start(), 2)
        scorer.finish(state)


class SignatureReader(Reader):
    """manifest.json.sig and both kinds of keys."""

    name, cases, mutator = "signature", 8_000, staticmethod(mutate_bytes)

    def prepare(self):
        from runtime.signature import load_private_key, make_keys

        self.keys = make_keys(self.place / "key")
        self.content = b"{}"
        signature = load_private_key(self.keys[0]).sign(self.content)
        return [signature, *(path.read_bytes() for path in self.keys)]

    def read(self, data, folder):
        from runtime.signature import check_signature, load_private_key

        path = self.write(data, folder, "file")
        if len(data) < 100:
            return check_signature(self.content, path=path, key=self.keys[1])
        (self.place / "signature").write_bytes(self.seeds[0])
        try:
            load_private_key(path)
        except LotteryError:
            check_signature(self.content, path=self.place / "signature", key=path)


class DeviceReportReader(Reader):
    """Reports of lottery-bench --device-report, which people send in."""

    name, cases, mutator = "device_report", 8_000, staticmethod(mutate_json)

    def prepare(self):
        from benchmarks.results import CHECKOUT

        return [(CHECKOUT / "benchmarks" / "devices" / "xeon_server.json").read_bytes()]

    def read(self, data, folder):
        from runtime.device_report import read_report

        read_report(self.write(data, folder, "report.json"))


def ort_model(folder):
    """Return a small model in onnxruntime's own format."""
    import onnxruntime

    from tests.tiny_bundle import build_model

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "model.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    onnxruntime.InferenceSession(build_model().SerializeToString(), options, providers=["CPUExecutionProvider"])
    return (folder / "model.ort").read_bytes()


READERS = {
    reader.name: reader
    for reader in (
        ManifestReader, TokensReader, OnnxReader, OrtReader, SessionReader, EngineReader, PhrasesReader,
        LanguageModelReader, SignatureReader, DeviceReportReader, *TRAINING_READERS, *AUDIO_READERS,
    )
}  # fmt: skip
