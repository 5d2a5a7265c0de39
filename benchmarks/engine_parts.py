"""One part of the benchmark, a size at a chunk length: its files, its contestants, and what is measured of them."""

import sys
from pathlib import Path

from tqdm import tqdm

from benchmarks.engine_files import describe_model, write_graphs, write_masked_graphs, write_tickets
from benchmarks.engine_models import (
    COMPOSITE,
    config_of,
    draw_model,
    drawn_models,
    halve,
    multiply_adds,
    peak_config,
    ticket_models,
)
from benchmarks.engine_rows import BASELINE, make_rows
from benchmarks.engine_timing import PEAK_CHUNK_FRAMES, measure

ERROR_CHUNKS = 104
# Rows that every runtime takes part in at every chunk length; the others do so at the longest one. Zeros are nothing to
# the other runtimes, so these rows tell the rest.
_MAIN_ROWS = ("dense", "unstructured_10", "half", COMPOSITE)
# OpenVINO takes long to load int8 graphs, and does not run them faster.
_OPENVINO_INT8_ROWS = ("dense", "half")
_FOOTPRINTS = ("engine_int8", "onnxruntime_int8")


def choose_contestants(name, *, is_longest, is_trained=False):
    """Return what a row is measured with: contestant -> what kind of file it reads, (kind, precision).

    Args:
        name: of the row.
        is_longest: the chunk is the longest that is measured.
        is_trained: the row is a trained ticket.
    """
    found = {"engine_int8": ("ticket", "int8"), "onnxruntime_int8": ("graph", "int8")}
    if is_trained or name in ("dense", "unstructured_10"):
        found["engine_fp32"] = ("ticket", "fp32")
    if is_longest or name in _MAIN_ROWS:
        found["onnxruntime_fp32"] = found["openvino_fp32"] = found["openvino_default"] = ("graph", "fp32")
    if is_longest and name in _OPENVINO_INT8_ROWS:
        found["openvino_int8"] = ("graph", "int8")
    return found


def prepare(size, *, chunks, tickets, longest, cache, scratch):
    """Write the files of a size.

    Args:
        size: one of SIZES, or "tiny".
        chunks: encoder frames of each chunk length.
        tickets: folders of trained tickets, which take the place of drawn models; empty for drawn models.
        longest: the chunk in which every runtime takes part.
        cache: Cache of files that are kept.
        scratch: folder of files that are not.
    Returns:
        chunk -> (list of what describe_model returns, row name -> contestant -> path).
    """
    found = {chunk: ([], {}) for chunk in chunks}
    bases = {} if tickets else {False: draw_model(config_of(size)), True: draw_model(halve(config_of(size)))}
    for variant, model in ticket_models(tickets) if tickets else drawn_models(size):
        print(f"{size}: writing {variant.label}", file=sys.stderr)
        for chunk in chunks:
            contestants = choose_contestants(variant.name, is_longest=chunk == longest, is_trained=bool(tickets))
            precisions = {precision for kind, precision in contestants.values() if kind == "ticket"}
            paths, formats = write_tickets(model, chunk_frames=chunk, precisions=sorted(precisions), cache=cache)
            files = {("ticket", precision): path for precision, path in paths.items()}
            graphs = write_graphs(bases.get(variant.is_half, model), chunk_frames=chunk, cache=cache)
            if bases and variant.density < 1:
                folder = Path(scratch) / f"{size}_{variant.name}"
                folder.mkdir(exist_ok=True)
                graphs = write_masked_graphs(model, graphs=graphs, chunk_frames=chunk, folder=folder)
            files |= {("graph", precision): path for precision, path in graphs.items()}
            described, by_row = found[chunk]
            described.append(describe_model(variant, model, chunk_frames=chunk, formats=formats))
            by_row[variant.name] = {contestant: files[kind] for contestant, kind in contestants.items()}
    return found


def measure_part(described, files, *, chunk, num_rounds, peaks, has_footprints):
    """Time the models of one size and chunk length.

    Returns:
        dict of JSON values: `rows`, and `fp32_error`: the worst difference of the engine in float32.
    """
    timings = {}
    for name in tqdm(files, desc="rows", unit="row", disable=not sys.stderr.isatty()):
        # Each row beside the dense model of the baseline, in a process of their own: dozens of models side by side
        # would not fit in any cache, and memory is not where a device that runs one model keeps its weights.
        models = {f"{name}/{contestant}": (contestant, path) for contestant, path in files[name].items()}
        models[f"dense/{BASELINE}"] = (BASELINE, files["dense"][BASELINE])
        models = [[key, contestant, str(path)] for key, (contestant, path) in models.items()]
        timings[name] = measure("rounds", models=models, chunk_frames=chunk, num_rounds=num_rounds)
    rows = make_rows(described, files=files, timings=timings, peaks=peaks)
    errors = []
    for row in rows:
        paths = files[row["name"]]
        if "engine_fp32" in paths and "onnxruntime_fp32" in paths:
            pair = [[name, str(paths[name])] for name in ("onnxruntime_fp32", "engine_fp32")]
            errors.append(
                measure("error", reference=pair[0], other=pair[1], chunk_frames=chunk, num_chunks=ERROR_CHUNKS)
            )
            row["fp32_error"] = errors[-1]
        for contestant, path in paths.items() if has_footprints else ():
            record = row["runtimes"][contestant]
            if "error" not in record and (contestant in _FOOTPRINTS or row["name"] == "dense"):
                record["footprint"] = measure("footprint", contestant=contestant, path=str(path), chunk_frames=chunk)
    return {"rows": rows, "fp32_error": max(errors, key=lambda each: each["max"], default=None)}


def measure_peaks(cache):
    """Return what engine_timing.peaks measures, and how fast the engine's int8 product is where all is in cache."""
    model = draw_model(peak_config())
    paths, _ = write_tickets(model, chunk_frames=PEAK_CHUNK_FRAMES, precisions=["int8"], cache=cache)
    peaks = measure("peaks", path=str(paths["int8"]))
    work = multiply_adds(model, chunk_frames=PEAK_CHUNK_FRAMES)[1]
    return {**peaks, "engine_int8_multiply_adds_per_s": work / (1e-3 * peaks["engine_step_ms"])}
