"""Reproducible measurements; run from the checkout's root, such as `python -m benchmarks.latency`."""
