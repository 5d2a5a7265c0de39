"""The files that the runtimes read: tickets of the engine, ONNX graphs in fp32 and int8, kept from run to run.

Converting a graph takes far longer than timing it, and its nodes do not depend on where zeros are. So the graph of a
shape is converted once, by the code of lottery-export, and the zeros of each mask are put into its weights.
"""

import hashlib
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import onnx
from onnx import numpy_helper

from benchmarks.engine_models import count_nonzeros, multiply_adds
from benchmarks.results import CHECKOUT
from export.container import Container
from export.graph import export_onnx, quantize
from export.streaming import StreamingStep
from export.ticket_file import write_ticket
from runtime.files import sha256_file, write_atomic

# What decides the content of the files: another state of these, other files.
_MODEL_SOURCES = (
    "lottery_train/models/conformer.py",
    "lottery_train/models/conformer_encoder.py",
    "lottery_train/models/layers.py",
    "export/folding.py",
)
GRAPH_SOURCES = (*_MODEL_SOURCES, "export/container.py", "export/graph.py", "export/streaming.py")
TICKET_SOURCES = (
    *_MODEL_SOURCES,
    "export/frequency_tables.py",
    "export/ticket_file.py",
    "export/weight_coding.py",
    "export/weight_formats.py",
)


class Cache:
    """A folder of files that are made once.

    Args:
        folder: where they lie; made if it is not there.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, name, make):
        """Return the path of a file; `make` returns its bytes where it is not there yet."""
        path = self.folder / name
        if not path.is_file():
            write_atomic(path, make())
        return path


def model_key(model, *, sources=GRAPH_SOURCES + TICKET_SOURCES):
    """Return a short text that tells models, and states of the code that writes their files, apart."""
    digest = hashlib.sha256(json.dumps(model.config.to_json()).encode())
    for tensor in model.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    for source in sources:
        digest.update(sha256_file(CHECKOUT / source).encode())
    return digest.hexdigest()[:16]


def write_tickets(model, *, chunk_frames, precisions, cache):
    """Return what the engine needs of a model.

    Args:
        model: Conformer.
        chunk_frames: encoder frames (40 ms) a chunk.
        precisions: some of "int8", "fp32".
        cache: Cache.
    Returns:
        (precision -> path, Counter of the formats of the int8 file's matrices).
    """
    key, paths, formats = model_key(model, sources=TICKET_SOURCES), {}, None
    for precision in precisions:
        records_path = cache.folder / f"{key}.{chunk_frames}.{precision}.json"

        def make(precision=precision, records_path=records_path):
            data, records = write_ticket(model, chunk_frames=chunk_frames, precision=precision)
            write_atomic(records_path, json.dumps(Counter(record["format"] for record in records.values())))
            return data

        paths[precision] = cache.path(f"{key}.{chunk_frames}.{precision}.ticket", make)
        if precision == "int8":
            formats = json.loads(records_path.read_text())
    return paths, formats


def write_graphs(model, *, chunk_frames, cache):
    """Return {"fp32", "int8"} -> path of a model's ONNX graph, converted as lottery-export does."""
    key = model_key(model, sources=GRAPH_SOURCES)
    fp32 = cache.path(
        f"{key}.{chunk_frames}.fp32.onnx",
        lambda: export_onnx(model, chunk_frames=chunk_frames).SerializeToString(deterministic=True),
    )
    int8 = cache.path(
        f"{key}.{chunk_frames}.int8.onnx", lambda: quantize(onnx.load(fp32)).SerializeToString(deterministic=True)
    )
    return {"fp32": fp32, "int8": int8}


def write_masked_graphs(model, *, graphs, chunk_frames, folder):
    """Put the zeros of a model into the graphs of the same model without them.

    The int8 graph keeps the scales of the model without zeros: its integers are those of the conversion, or 0.

    Args:
        model: Conformer, whose weights are those of `graphs`, or 0.
        graphs: {"fp32", "int8"} -> path, as write_graphs returns it.
        chunk_frames: that of the graphs.
        folder: where the new graphs are written, under the same names.
    Returns:
        {"fp32", "int8"} -> path.
    Raises:
        ValueError: a matrix of the model is not in a graph.
    """
    step = StreamingStep(model, container=Container(config=model.config, chunk_frames=chunk_frames))
    zeros = {name: (weight == 0).numpy() for name, weight in step.state_dict().items() if name.endswith(".weight")}
    zeros = {name: is_zero for name, is_zero in zeros.items() if is_zero.any()}
    paths = {}
    for precision, path in graphs.items():
        graph, found = onnx.load(path), set()
        for tensor in graph.graph.initializer:
            name = tensor.name.removesuffix("_quantized")
            if name in zeros:
                values = numpy_helper.to_array(tensor).copy()
                values[zeros[name]] = 0
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
                found.add(name)
        if found != set(zeros):
            raise ValueError(f"{path}: no weights named {', '.join(sorted(set(zeros) - found))}")
        paths[precision] = Path(folder) / Path(path).name
        paths[precision].write_bytes(graph.SerializeToString())
    return paths


def describe_model(variant, model, *, chunk_frames, formats):
    """Return the facts of a row that no measurement tells: dict of JSON values."""
    num_nonzeros, num_weights = count_nonzeros(model)
    useful, dense = multiply_adds(model, chunk_frames=chunk_frames)
    return {
        **asdict(variant),
        "num_nonzeros": num_nonzeros,
        "num_weights": num_weights,
        "useful_multiply_adds": useful,
        "dense_multiply_adds": dense,
        "formats": formats,
    }
