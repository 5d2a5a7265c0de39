"""What a search will do, before anything is trained: the density of every level and layer, and where it ends."""

import math
from dataclasses import dataclass, replace

from lottery_train.errors import ConfigError
from lottery_train.models.build import build_model
from lottery_train.pruning import Constant, Mask, make_criterion, make_granularity, make_schedule, prunable_names, prune
from lottery_train.pruning.schedule import MAX_LEVELS
from lottery_train.start import first_config, first_mask

# The rate of a round that takes everything that can be removed; a schedule's rate is less than 1.
_ALL = 1 - 2**-40


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Densities that a search will reach.

    Args:
        densities: of the prunable weights at each level, level 0 first.
        layers: layer -> its density at each level, ranked on the first weights: trained weights will shift it.
        num_kept: prunable weights kept at each level.
        num_weights: all weights of the dense model.
        asymptote: density that endless rounds approach, or end at where that is the floor.
        floor: density below which the granularity removes nothing; 0 where every weight can go.
    """

    densities: tuple[float, ...]
    layers: dict[str, tuple[float, ...]]
    num_kept: tuple[int, ...]
    num_weights: int
    asymptote: float
    floor: float

    def table(self):
        """Return the forecast as aligned text."""
        levels = range(len(self.densities))
        width = max(len(name) for name in self.layers)
        rows = [["level", *(f"{level}" for level in levels)]]
        rows += [["all prunable", *(f"{density:.2%}" for density in self.densities)]]
        rows += [["kept", *(f"{kept}" for kept in self.num_kept)]]
        rows += [[name, *(f"{density:.2%}" for density in layer)] for name, layer in self.layers.items()]
        lines = [row[0].ljust(width) + "".join(cell.rjust(9) for cell in row[1:]) for row in rows]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """A search on weights that are drawn, not trained."""

    weights: dict
    mask: Mask
    ranking: dict
    schedule: object

    def masks(self, *, rounds):
        """Yield the mask of level 0, 1 … `rounds`; end sooner where nothing is left to remove."""
        mask = self.mask
        yield mask
        for level in range(1, rounds + 1):
            try:
                mask = prune(self.weights, mask, schedule=self.schedule, level=level, **self.ranking)
            except ConfigError:
                return
            yield mask

    def floor(self):
        """Return the density that is left when everything that can be removed is removed at once."""
        *_, last = replace(self, schedule=Constant(_ALL)).masks(rounds=1)
        return last.density

    def shares(self):
        """Return the schedule's groups' fractions of the prunable weights."""
        return self.schedule.shares({name: self.weights[name].numel() for name in self.mask.prunable})


def _plan(config, *, vocab_size):
    search = config.search
    model = build_model(first_config(config, vocab_size=vocab_size), seed=config.train.seed)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    names = prunable_names(model, scope=search.scope)
    granularity = make_granularity(search.granularity, groups=model.unit_groups(), **search.unit_options())
    return _Plan(
        weights=weights,
        mask=first_mask(config, model, dense_mask=granularity.dense_mask(weights, names=names)),
        ranking={
            "criterion": make_criterion(search.criterion, seed=config.train.seed),
            "granularity": granularity,
        },
        schedule=make_schedule(search.schedule, rate=search.rate, decay=search.decay),
    )


def forecast(config, *, vocab_size):
    """Return the Forecast of a RunConfig.

    Raises:
        ConfigError: settings that do not go together, or nothing is left to remove at some level; names the last
            reachable one.
    """
    rounds = config.search.rounds
    plan = _plan(config, vocab_size=vocab_size)
    masks = list(plan.masks(rounds=rounds))
    if len(masks) <= rounds:
        reached = len(masks) - 1
        raise ConfigError(
            f"{rounds} rounds are unreachable: {_floor_text(config, masks[-1].density)}, and level {reached} is there",
            hint=f"ask for {reached} rounds or fewer (--rounds {reached}){_way_out(config)}",
        )
    per_level = [mask.density_by_layer() for mask in masks]
    floor = plan.floor()
    return Forecast(
        densities=tuple(mask.density for mask in masks),
        layers={name.removesuffix(".weight"): tuple(layer[name] for layer in per_level) for name in plan.mask.prunable},
        num_kept=tuple(mask.num_kept for mask in masks),
        num_weights=sum(weight.numel() for weight in plan.weights.values()),
        asymptote=max(floor, plan.schedule.asymptote(shares=plan.shares())),
        floor=floor,
    )


def with_target(config, *, density, vocab_size):
    """Return the settings with as many rounds as a target density needs.

    Raises:
        ConfigError: neither the schedule nor the granularity gets there; names the nearest reachable density.
    """
    plan = _plan(config, vocab_size=vocab_size)
    shares, floor = plan.shares(), plan.floor()
    if 0 < density < floor and plan.schedule.asymptote(shares=shares) < floor:
        level, nearest = next(
            (level, mask.density)
            for level, mask in enumerate(plan.masks(rounds=MAX_LEVELS))
            if mask.density <= floor or level == MAX_LEVELS
        )
        reachable = math.ceil(nearest * 1e4) / 1e4
        raise ConfigError(
            f"target density {density:.4g} is unreachable: {_floor_text(config, floor)}; level {level} keeps "
            f"{nearest:.2%}",
            hint=f"ask for a density of {reachable} ({level} rounds){_way_out(config)}",
        )
    # Coarse cells may bring the density there a round sooner than the schedule says, and the floor end the rounds.
    densities = [mask.density for mask in plan.masks(rounds=plan.schedule.rounds_to(density, shares=shares))]
    rounds = next((level for level, reached in enumerate(densities) if reached <= density), len(densities) - 1)
    return replace(config, search=replace(config.search, rounds=rounds))


def early_bird_note(search, *, density):
    """Return why an early bird would settle whatever was learned, or None.

    Two masks of one density differ in 2 * density of the weights at most (2 * (1 - density) above one half). You et al.
    kept 30 to 70 % of the channels, where that is far above their 0.1; below 5 % it is not.

    Args:
        search: SearchConfig.
        density: of the ticket.
    """
    farthest = 2 * min(density, 1 - density)
    if search.method != "early-bird" or search.early_bird_distance <= farthest:
        return None
    return (
        f"two masks that keep {density:.2%} differ in {farthest:.2%} of the weights at most, which is below "
        f"search.early_bird_distance = {search.early_bird_distance:g}: the early bird settles as soon as it may, "
        f"whatever was learned; a tenth of what can differ, {0.1 * farthest:.2g}, asks what 0.1 asks at one half"
    )


def _floor_text(config, floor):
    return f"{config.search.granularity} granularity keeps at least {floor:.2%} of the prunable weights"


def _way_out(config):
    is_unit = config.search.granularity == "unit"
    return ", or let whole modules go (--set search.can_remove_groups=true)" if is_unit else ""
