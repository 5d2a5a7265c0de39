"""Which operators a bundle's model may have: those that lottery-export writes, and no loops among them."""

from runtime.errors import BundleError
from runtime.foreign import short
from runtime.onnx_file import ModelFileError, onnx_operators
from runtime.ort_file import is_ort, ort_operators

# What the exporter writes at opset 18, fp32 and int8; a test exports and compares. None of them holds a graph, so that
# no model repeats anything: its time is bounded by its size.
EXPORTED_OPERATORS = frozenset(
    ("", name)
    for name in (
        "Add", "Cast", "Concat", "Conv", "Div", "DynamicQuantizeLinear", "Gather", "GreaterOrEqual", "Identity",
        "LayerNormalization", "LogSoftmax", "MatMul", "MatMulInteger", "Mul", "Pow", "ReduceMean", "Reshape", "Sigmoid",
        "Slice", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Transpose", "Unsqueeze", "Where",
    )
)  # fmt: skip
# What onnxruntime makes of them in an .ort file.
FUSED_OPERATORS = frozenset(
    {
        ("", "Gemm"),
        ("", "SimplifiedLayerNormalization"),
        ("com.microsoft", "DynamicQuantizeMatMul"),
        ("com.microsoft", "FusedMatMul"),
        ("com.microsoft", "QuickGelu"),
    }
)
_ALLOW = (
    "if you trust whoever made it: --allow-any-operators, or allow_any_operators=True; otherwise re-run lottery-export"
)


def check_model(data, *, source, allow_any_operators=False):
    """Look into a model file before onnxruntime does.

    Args:
        data: content of the file, as bytes.
        source: what to call it in errors.
        allow_any_operators: accept a graph that lottery-export did not write, loops and branches too.
    Returns:
        "ONNX" or "ORT", as onnxruntime calls the formats: decided by the content, as onnxruntime does.
    Raises:
        BundleError: damaged, data outside the file, or an operator that lottery-export does not write.
    """
    form = "ORT" if is_ort(data) else "ONNX"
    try:
        operators = ort_operators(data) if form == "ORT" else onnx_operators(data)
    except ModelFileError as error:
        raise BundleError(
            f"{source}: refused before onnxruntime reads it: {error}",
            hint="copy the whole bundle again, or re-run lottery-export on the ticket",
        ) from error
    allowed = EXPORTED_OPERATORS | FUSED_OPERATORS if form == "ORT" else EXPORTED_OPERATORS
    unknown = sorted(operators - allowed)
    if unknown and not allow_any_operators:
        names = ", ".join(f"{domain}.{name}" if domain else name for domain, name in unknown[:8])
        raise BundleError(
            f"{source}: holds operators that lottery-export does not write: {short(names, is_quoted=False)}",
            hint=_ALLOW,
        )
    return form
