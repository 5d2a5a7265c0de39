"""Schedules: which fraction of what remains each round removes, as frozen data.

Level t is the ticket after t rounds; level 0 is dense. The rate of round t leads from level t - 1 to level t.
"""

import dataclasses
import itertools
import math

from lottery_train.errors import ConfigError

MAX_LEVELS = 1000
SCHEDULES = (
    "constant",
    "decaying",
    "layerwise",
    "layerwise-decaying",
    "layerwise-modules",
    "layerwise-modules-decaying",
)


class Schedule:
    """What Constant, Decaying and Layerwise share. `shares` are the groups' fractions of the dense prunable weights."""

    num_groups = 1

    def rate(self, level, group=0):
        """Return the nominal fraction of the group's remaining weights that round `level` (from 1) removes."""
        raise NotImplementedError

    def _asymptote(self, *, factor):
        """Return the product over all rounds of (1 - factor * rate)."""
        raise NotImplementedError

    def split(self, sizes):
        """Split the prunable weights into groups that are ranked apart.

        Args:
            sizes: name -> number of weights, in module order.
        Returns:
            One tuple of names for each group, in module order.
        """
        return (tuple(sizes),)

    def shares(self, sizes):
        """Return each group's fraction of the weights in `sizes` (name -> number of weights, in module order)."""
        total = sum(sizes.values())
        return tuple(sum(sizes[name] for name in names) / total for names in self.split(sizes))

    def budgets(self, level, remaining):
        """Return how many weights round `level` removes from each group.

        Args:
            remaining: number of surviving prunable weights of each group.
        """
        # round() as torch.nn.utils.prune does it: half to even.
        return tuple(round(self.rate(level, group) * count) for group, count in enumerate(remaining))

    def remaining(self, level, dense):
        """Return how many weights of each group are left at `level`, counted round by round from the `dense` counts."""
        counts = tuple(dense)
        for past in range(1, level + 1):
            counts = tuple(count - gone for count, gone in zip(counts, self.budgets(past, counts), strict=True))
        return counts

    def densities(self, num_levels, *, shares=None):
        """Return the densities of level 0 ... num_levels, rounding of weights apart."""
        kept = list(self._group_shares(shares))
        result = [1.0]
        for level in range(1, num_levels + 1):
            kept = [k * (1 - self._closed_rate(level, group)) for group, k in enumerate(kept)]
            result.append(sum(kept))
        return result

    def asymptote(self, *, shares=None):
        """Return the density that endless rounds approach and never reach."""
        return sum(
            share * self._asymptote(factor=self._closed_factor(group))
            for group, share in enumerate(self._group_shares(shares))
        )

    def rounds_to(self, target, *, shares=None):
        """Return the first level whose density is at most `target`.

        Raises:
            ConfigError: target is not in (0, 1], or lies at or below the asymptote; names the nearest reachable level.
        """
        if not 0 < target <= 1:
            raise ConfigError(f"target density is {target}, expected a fraction above 0 and at most 1")
        floor = self.asymptote(shares=shares)
        if target <= floor:
            level, density = self._first_at_most(floor * 1.01, shares=shares)
            reachable = math.ceil(density * 1e4) / 1e4
            raise ConfigError(
                f"target density {target:.4g} is unreachable: this schedule approaches {floor:.2%} of the weights and "
                f"never gets below; level {level} keeps {density:.2%}",
                hint=f"ask for a density of {reachable} ({level} rounds), or use a higher rate or a slower decay",
            )
        return self._first_at_most(target, shares=shares)[0]

    def nearest_level(self, target, *, shares=None):
        """Return (level, density) of the level whose density is nearest to `target`; ConfigError as `rounds_to`."""
        level = self.rounds_to(target, shares=shares)
        densities = self.densities(level, shares=shares)
        return min(enumerate(densities[-2:], start=max(level - 1, 0)), key=lambda pair: abs(pair[1] - target))

    def _first_at_most(self, target, *, shares):
        densities = self.densities(MAX_LEVELS, shares=shares)
        for level, density in enumerate(densities):
            if density <= target * (1 + 1e-9):
                return level, density
        raise ConfigError(
            f"density {target:.4g} needs more than {MAX_LEVELS} rounds; level {MAX_LEVELS} keeps {densities[-1]:.2%}",
            hint="use a higher rate or a slower decay",
        )

    def _group_shares(self, shares):
        return (1.0,) if shares is None else tuple(shares)

    def _closed_rate(self, level, group):
        return self.rate(level, group)

    def _closed_factor(self, group):
        return 1.0


def _check_rate(rate):
    if not 0 < rate < 1:
        raise ConfigError(f"pruning rate is {rate}, expected above 0 and below 1")


@dataclasses.dataclass(frozen=True)
class Constant(Schedule):
    """Every round removes the same fraction of what remains (the paper: 0.2)."""

    base_rate: float = 0.2

    def __post_init__(self):
        _check_rate(self.base_rate)

    def rate(self, level, group=0):
        """Return d."""
        return self.base_rate

    def _asymptote(self, *, factor):
        return 0.0


@dataclasses.dataclass(frozen=True)
class Decaying(Schedule):
    """Round t removes d * f^(t - 1) of what remains."""

    base_rate: float = 0.2
    factor: float = 0.9

    def __post_init__(self):
        _check_rate(self.base_rate)
        if not 0 < self.factor < 1:
            raise ConfigError(f"decay factor is {self.factor}, expected above 0 and below 1")

    def rate(self, level, group=0):
        """Return d * f^(level - 1)."""
        return self.base_rate * self.factor ** (level - 1)

    def _asymptote(self, *, factor):
        # log prod_t (1 - d f^t) = - sum_k d^k / (k (1 - f^k)): converges as d^k however slow the decay is.
        d, log_density, k = factor * self.base_rate, 0.0, 1
        while (term := d**k / (k * -math.expm1(k * math.log(self.factor)))) > 1e-18 * max(1.0, log_density):
            log_density += term
            k += 1
        return math.exp(-log_density)


@dataclasses.dataclass(frozen=True)
class Layerwise(Schedule):
    """Consecutive groups of layers (initial, middle, final), each pruned at its own multiple of the base rate.

    Args:
        base: the schedule that gives d of each round.
        factors: multiple of d for each group, in module order.
        split_by: "parameters" (default) cuts where the groups' dense weight counts come nearest to equal, and scales
            the factors in every round so that d of all remaining weights is removed, to one weight. "modules" cuts by
            number of modules, rest in the last group, and takes the factors as they are: the original code's
            behaviour, whose total is not d (its round 1 removes 19.35 % at d = 20 %).
    Raises:
        ConfigError: a rate would reach 1, or there are fewer layers than groups.
    """

    base: Schedule = Constant()
    factors: tuple[float, ...] = (1.1, 1.0, 0.9)
    split_by: str = "parameters"

    def __post_init__(self):
        object.__setattr__(self, "factors", tuple(self.factors))
        if self.split_by not in ("modules", "parameters"):
            raise ConfigError(f"layerwise split is {self.split_by!r}, expected 'parameters' or 'modules'")
        if isinstance(self.base, Layerwise):
            raise ConfigError("a layerwise schedule cannot be the base of another")
        if not self.factors or min(self.factors) <= 0:
            raise ConfigError(f"layerwise factors are {self.factors}, expected numbers above 0")
        spread = max(self.factors) / (min(self.factors) if self.split_by == "parameters" else 1)
        if self.base.rate(1) * spread >= 1:
            raise ConfigError(f"rate {self.base.rate(1)} with factors {self.factors} empties a group in one round")

    @property
    def num_groups(self):
        """Number of groups ranked apart."""
        return len(self.factors)

    def rate(self, level, group=0):
        """Return factor * d, before the scaling of the split by parameters."""
        return self.factors[group] * self.base.rate(level)

    def split(self, sizes):
        """Split the names into `num_groups` consecutive groups."""
        names, count = tuple(sizes), self.num_groups
        if len(names) < count:
            raise ConfigError(f"{len(names)} prunable layers cannot be split into {count} groups")
        if self.split_by == "modules":
            cuts = [part * (len(names) // count) for part in range(1, count)]
        else:
            cuts = _balanced_cuts([sizes[name] for name in names], count)
        edges = [0, *cuts, len(names)]
        return tuple(names[start:stop] for start, stop in itertools.pairwise(edges))

    def budgets(self, level, remaining):
        """Return how many weights round `level` removes from each group."""
        if self.split_by == "modules":
            return super().budgets(level, remaining)
        total = round(self.base.rate(level) * sum(remaining))
        weighted = [factor * count for factor, count in zip(self.factors, remaining, strict=True)]
        ideal = [total * weight / max(sum(weighted), 1) for weight in weighted]
        budgets = [math.floor(amount) for amount in ideal]
        by_remainder = sorted(range(len(ideal)), key=lambda group: (budgets[group] - ideal[group], group))
        for group in by_remainder[: total - sum(budgets)]:
            budgets[group] += 1
        return tuple(budgets)

    def _asymptote(self, *, factor):
        return self.base._asymptote(factor=factor)

    def _group_shares(self, shares):
        if self.split_by == "parameters":
            return (1.0,)
        if shares is None:
            raise ValueError("a split by modules needs the groups' shares: schedule.shares(sizes)")
        return tuple(shares)

    def _closed_rate(self, level, group):
        return self.base.rate(level) * self._closed_factor(group)

    def _closed_factor(self, group):
        return 1.0 if self.split_by == "parameters" else self.factors[group]


def _balanced_cuts(sizes, count):
    """Return the cuts whose running sums come nearest to the equal parts, every group holding a layer."""
    sums = [sum(sizes[:end]) for end in range(len(sizes) + 1)]
    cuts = []
    for part in range(1, count):
        first, last = (cuts[-1] if cuts else 0) + 1, len(sizes) - (count - part)
        cuts.append(min(range(first, last + 1), key=lambda end: abs(sums[end] - sums[-1] * part / count)))
    return cuts


def make_schedule(name, *, rate=0.2, decay=0.9):
    """Return the schedule of that name (see SCHEDULES); `-modules` is the parity preset, `decay` is for `-decaying`.

    Raises:
        ConfigError: unknown name, or a value out of range.
    """
    if name not in SCHEDULES:
        raise ConfigError(f"schedule is {name!r}, expected one of: {', '.join(SCHEDULES)}")
    base = Decaying(rate, decay) if name.endswith("decaying") else Constant(rate)
    if not name.startswith("layerwise"):
        return base
    return Layerwise(base, split_by="modules" if "modules" in name else "parameters")
