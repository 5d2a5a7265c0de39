"""The same model in the ticket engine, onnxruntime and OpenVINO: one thread each, state carried from chunk to chunk.

Imported by the measuring process alone, so that nothing of training or export lies in its memory.
"""

import time

import numpy as np

# What is measured; the part before "_" is the runtime, the rest how the weights are multiplied. OpenVINO left to itself
# multiplies in bfloat16 where the processor does: that is "default".
CONTESTANTS = (
    "engine_int8",
    "engine_fp32",
    "onnxruntime_int8",
    "onnxruntime_fp32",
    "openvino_fp32",
    "openvino_default",
    "openvino_int8",
)


def open_model(contestant, path):
    """Load a file: an EngineModel, OrtModel or OpenVinoModel, whose `run` takes one chunk.

    Args:
        contestant: one of CONTESTANTS.
        path: ticket file, or ONNX file.
    Raises:
        ImportError: the runtime is not installed.
        Exception: whatever the runtime raises where it refuses the file.
    """
    runtime, _, form = contestant.partition("_")
    if runtime == "engine":
        return EngineModel(path)
    return OrtModel(path) if runtime == "onnxruntime" else OpenVinoModel(path, is_fp32=form == "fp32")


def import_runtime(contestant):
    """Import a runtime: its own time and memory are no model's."""
    runtime = contestant.partition("_")[0]
    if runtime == "engine":
        from runtime.engine import library, session  # noqa: F401

        library.load()
    elif runtime == "onnxruntime":
        import onnxruntime  # noqa: F401
    else:
        import openvino

        openvino.Core()


class EngineModel:
    """A ticket file in the engine."""

    def __init__(self, path):
        from runtime.engine.session import EngineSession

        self._session = EngineSession(path)
        self._state = self._session.initial_state()
        self.facts = {
            "weight_bytes": self._session.weight_bytes,
            "state_bytes": self._session.state_bytes,
            "instruction_set": self._session.instruction_set,
        }

    def run(self, x_NTF):
        """Run one chunk; float32 (1, T, V)."""
        logprobs, self._state = self._session.step(x_NTF, self._state)
        return logprobs


class OrtModel:
    """An ONNX file in onnxruntime, set up as runtime.session.OrtSession does."""

    def __init__(self, path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        inputs = self._session.get_inputs()
        self._names = [given.name for given in inputs]
        # An axis whose size is text is the batch.
        self._state = [
            np.zeros(
                [size if isinstance(size, int) else 1 for size in given.shape],
                np.int64 if "int64" in given.type else np.float32,
            )
            for given in inputs[1:]
        ]
        self.facts = {}

    def run(self, x_NTF):
        """Run one chunk; float32 (1, T, V)."""
        logprobs, *self._state = self._session.run(None, dict(zip(self._names, [x_NTF, *self._state], strict=True)))
        return logprobs


class OpenVinoModel:
    """An ONNX file in OpenVINO: shapes fixed to one stream, latency hint, nothing copied between the steps.

    Args:
        path: the file.
        is_fp32: multiply in float32 even where the processor has bfloat16.
    """

    def __init__(self, path, *, is_fp32):
        import openvino

        core = openvino.Core()
        model = core.read_model(path)
        shapes = {
            given.any_name: [1 if size.is_dynamic else size.get_length() for size in given.partial_shape]
            for given in model.inputs
        }
        model.reshape({name: openvino.PartialShape(shape) for name, shape in shapes.items()})
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": "1"}
        if is_fp32:
            settings["INFERENCE_PRECISION_HINT"] = "f32"
        compiled = core.compile_model(model, "CPU", settings)
        self._state = [
            np.zeros(shapes[given.any_name], given.element_type.to_dtype()) for given in list(compiled.inputs)[1:]
        ]
        # Two in turn: what one returns is the other's input where it lies.
        self._requests = [compiled.create_infer_request(), compiled.create_infer_request()]
        self.facts = {"precision": str(compiled.get_property("INFERENCE_PRECISION_HINT").to_string())}

    def run(self, x_NTF):
        """Run one chunk; float32 (1, T, V), overwritten by the next step but one."""
        self._requests.reverse()
        outputs = self._requests[0].infer([x_NTF, *self._state], share_inputs=True, share_outputs=True)
        logprobs, *self._state = (outputs[number] for number in range(len(outputs)))
        return logprobs


def timed_open(contestant, path):
    """Return (model, seconds to load it)."""
    start = time.perf_counter()
    model = open_model(contestant, path)
    return model, time.perf_counter() - start
