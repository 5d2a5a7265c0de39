"""Stands for the package tqdm in bench.pyz: the same loops without a bar."""


class tqdm:
    """An iterable as it is."""

    def __init__(self, iterable=(), **_):
        self._iterable = iterable

    def __iter__(self):
        return iter(self._iterable)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def update(self, count=1):
        """Show nothing."""
