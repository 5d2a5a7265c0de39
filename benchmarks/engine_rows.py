"""From the times of all contestants to the figures of a row: ratios, cost of a non-zero, share of the machine's peak.

A *row* is a dict of JSON values: one model at one size and chunk length. A *part* holds the rows of one size and chunk
length. The *summary* is what the project promised, at 8 and 24 million weights and 640 ms.
"""

import numpy as np

from benchmarks.engine_models import COMPOSITE

BASELINE = "onnxruntime_int8"
SUBJECT = "engine_int8"
SUMMARY_CHUNK_MS = 640
# Key of the summary -> (row, bar at 8m, bar at 24m; prototype's ratio at 8m, at 24m).
# Source of the last two: DESIGN.md section 8, onnxruntime int8 over the fused prototype, half width over half width.
SUMMARY_ROWS = {
    "dense_int8": ("dense", 2.0, 1.4, 5.40 / 2.15, 9.1 / 6.7),
    "unstructured_10": ("unstructured_10", 4.5, 2.8, 5.40 / 1.15, 9.1 / 3.24),
    "unstructured_5": ("unstructured_5", 6.0, 4.5, 5.40 / 0.87, 9.1 / 1.97),
    "half_int8_vs_ort_half_int8": ("half", 4.0, 2.5, 2.94 / 0.56, 4.7 / 1.85),
    "composite": (COMPOSITE, None, None, None, None),
}
MAX_ERROR_FP32 = 1e-4
MAX_DISK_OVER_BOUND = 1.15


def quantiles(values):
    """Return {"p10", "p50", "p90"} of a sequence of numbers."""
    low, middle, high = map(float, np.percentile(values, [10, 50, 90]))
    return {"p10": low, "p50": middle, "p90": high}


def make_rows(described, *, files, timings, peaks):
    """Return the rows of a part.

    Args:
        described: list of dicts of describe_model.
        files: row name -> contestant -> path.
        timings: row name -> what engine_timing.rounds returns, by "<row name>/<contestant>".
        peaks: what engine_timing.peaks returns.
    """
    rows = []
    for facts in described:
        name, runtimes = facts["name"], {}
        for contestant, path in files[name].items():
            timing = timings[name][f"{name}/{contestant}"]
            runtimes[contestant] = record = {"file_bytes": path.stat().st_size}
            if "error" in timing:
                record["error"] = timing["error"]
                continue
            record["load_ms"] = 1e3 * timing["load_s"]
            record |= {f"{kind}_ms": quantiles(timing[f"{kind}_ms"]) for kind in ("cold", "warm")}
            record |= timing["facts"]
        row = {**facts, "runtimes": runtimes}
        for key, baseline in (("ratio", name), ("ratio_to_dense", "dense")):
            row[key] = _ratios(timings[name], f"{baseline}/{BASELINE}", f"{name}/{SUBJECT}")
        if "cold_ms" in runtimes[SUBJECT]:
            row |= roofline(row, peaks=peaks)
        rows.append(row)
    return rows


def _ratios(timings, baseline, subject):
    """Return {"cold", "warm"} -> quantiles of the time of one over that of the other, round by round; None without."""
    first, second = timings.get(baseline, {}), timings.get(subject, {})
    if "cold_ms" not in first or "cold_ms" not in second:
        return None
    return {kind: quantiles(np.divide(first[f"{kind}_ms"], second[f"{kind}_ms"])) for kind in ("cold", "warm")}


def roofline(row, *, peaks):
    """Return how near the engine comes to what the machine allows, from the cold median.

    Returns:
        dict: `ns_per_nonzero`; `multiply_adds_per_s`, those with weights that are not 0; `intensity`, how many of them
        a byte of weights and caches serves; `attainable_per_s` at that intensity, by memory or arithmetic, whichever
        is less; `share_of_roofline`; and `share_of_fp32_peak`: a format that multiplies one weight at a time has no
        use for sums of four 8-bit products.
    """
    subject = row["runtimes"][SUBJECT]
    seconds = subject["cold_ms"]["p50"] / 1e3
    speed = row["useful_multiply_adds"] / seconds
    intensity = row["useful_multiply_adds"] / (subject["weight_bytes"] + subject["state_bytes"])
    attainable = min(peaks["int8_multiply_adds_per_s"], intensity * peaks["read_bytes_per_s"])
    return {
        "ns_per_nonzero": 1e9 * seconds / row["num_nonzeros"],
        "multiply_adds_per_s": speed,
        "intensity": intensity,
        "attainable_per_s": attainable,
        "share_of_roofline": speed / attainable,
        "share_of_fp32_peak": speed / peaks["fp32_multiply_adds_per_s"],
    }


def promised_ratio(size, name):
    """Return the bar of a row at 640 ms, or None where there is none."""
    bars = {row: dict(zip(("8m", "24m"), each, strict=True)) for row, *each, _, _ in SUMMARY_ROWS.values()}
    return bars.get(name, {}).get(size)


def find_row(parts, size, name):
    """Return a row of the summary's chunk length, or None where it was not measured."""
    part = parts.get(f"{size}_{SUMMARY_CHUNK_MS}", {"rows": ()})
    return next((row for row in part["rows"] if row["name"] == name), None)


def summarise(parts, *, disk):
    """Return the summary: plain numbers, None for what was not measured.

    Ratios are those of medians taken over rounds, weights coming from beyond the second-level cache.
    """
    summary = {}
    for size in ("8m", "24m"):
        for key, (name, *_) in SUMMARY_ROWS.items():
            row = find_row(parts, size, name)
            summary[f"{size}_{key}"] = row["ratio"]["cold"]["p50"] if row and row["ratio"] else None
    errors = [part["fp32_error"]["max"] for part in parts.values() if part["fp32_error"]]
    summary["max_abs_error_fp32"] = max(errors, default=None)
    summary["disk_over_entropy_bound"] = disk["file_over_bound"] if disk else None
    return summary


def check_bars(summary, *, parts, wer=()):
    """Return what was promised beside what was found: list of dicts with `key`, `value`, `bar`, `is_met`.

    `is_met` is None where nothing was measured. Ratios also tell `warm` and the prototype's figure.
    """
    checks = []
    for size, column in (("8m", 1), ("24m", 2)):
        for key, entry in SUMMARY_ROWS.items():
            value, bar, prototype = summary[f"{size}_{key}"], entry[column], entry[column + 2]
            row = find_row(parts, size, entry[0])
            checks.append(
                {
                    "key": f"{size}_{key}",
                    "value": value,
                    "warm": row["ratio"]["warm"]["p50"] if value is not None else None,
                    "bar": bar,
                    "is_met": None if value is None or bar is None else value >= bar,
                    "prototype": prototype,
                    "beats_prototype": None if value is None or prototype is None else value >= prototype,
                }
            )
        is_fastest = _is_composite_fastest(parts, size)
        checks.append({"key": f"{size}_composite_is_fastest", "value": is_fastest, "bar": True, "is_met": is_fastest})
    for key, bar in (("max_abs_error_fp32", MAX_ERROR_FP32), ("disk_over_entropy_bound", MAX_DISK_OVER_BOUND)):
        value = summary[key]
        checks.append({"key": key, "value": value, "bar": bar, "is_met": None if value is None else value <= bar})
    if wer:
        checks.append({"key": "wer_is_equal", "value": is_wer_equal(wer), "bar": True, "is_met": is_wer_equal(wer)})
    return checks


def is_wer_equal(records):
    """Whether the engine in int8 errs as onnxruntime does in float32.

    That is: each ticket's error rate lies within the interval of the reference's, and over all tickets together, where
    chance has less to say, the paired interval of the difference reaches down to 0.

    Args:
        records: what engine_accuracy.word_error_rates returns.
    """
    return records[-1]["engine_int8"]["minus_reference_interval"][0] <= 0 and all(
        record["engine_int8"]["wer"] <= record["onnxruntime_fp32"]["wer_interval"][1] for record in records
    )


def _is_composite_fastest(parts, size):
    """Whether the engine runs the composite faster than every other row; None where it was not measured."""
    if find_row(parts, size, COMPOSITE) is None:
        return None
    # Against the same dense model, which was timed beside each row.
    ratios = {
        row["name"]: row["ratio_to_dense"]["cold"]["p50"]
        for row in parts[f"{size}_{SUMMARY_CHUNK_MS}"]["rows"]
        if row["ratio_to_dense"]
    }
    return max(ratios, key=ratios.get, default=None) == COMPOSITE
