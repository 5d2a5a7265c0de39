"""What the readers of benchmarks.fuzz have in common."""


class Reader:
    """A reader under test.

    Args:
        place: folder for what `prepare` makes.
    Attributes:
        name: on the command line and in tables.
        cases: how many a whole run has.
        mutator: one of benchmarks.fuzz_mutations.
        seeds: right files, as bytes.
    """

    name, cases, mutator = "", 0, None

    def __init__(self, place):
        self.place = place
        self.seeds = self.prepare()

    def prepare(self):
        """Return the right files."""
        raise NotImplementedError

    def mutate(self, rng):
        """Return the bytes of a file: a function of the state of `rng` alone."""
        return self.mutator(rng.choice(self.seeds), rng=rng, others=self.seeds)

    def read(self, data, folder):
        """Read a file as the project would; LotteryError is as right an answer as any result."""
        raise NotImplementedError

    @staticmethod
    def write(data, folder, name):
        """Write a file and return its path."""
        path = folder / name
        path.write_bytes(data)
        return path
