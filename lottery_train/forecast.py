"""What a search will do, before anything is trained: the density of every level and layer, and where the schedule
ends."""

from dataclasses import dataclass, replace

from lottery_train.models.build import build_model, dense_config
from lottery_train.pruning import make_criterion, make_granularity, make_schedule, prunable_names, prune


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Densities that a search will reach.

    Args:
        densities: of the prunable weights at each level, level 0 first.
        layers: layer -> its density at each level, ranked on the first weights: trained weights will shift it.
        num_kept: prunable weights kept at each level.
        num_weights: all weights of the dense model.
        asymptote: density that endless rounds approach.
    """

    densities: tuple[float, ...]
    layers: dict[str, tuple[float, ...]]
    num_kept: tuple[int, ...]
    num_weights: int
    asymptote: float

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


def forecast(config, *, vocab_size):
    """Return the Forecast of a RunConfig.

    Raises:
        ConfigError: a setting is out of range, or nothing is left to remove at some level.
    """
    search = config.search
    model = build_model(dense_config(config.model, vocab_size=vocab_size), seed=config.train.seed)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    criterion = make_criterion(search.criterion, seed=config.train.seed)
    granularity = make_granularity(search.granularity, groups=model.unit_groups())
    schedule = make_schedule(search.schedule, rate=search.rate, decay=search.decay)
    mask = granularity.dense_mask(weights, names=prunable_names(model, scope=search.scope))
    shares = schedule.shares({name: weights[name].numel() for name in mask.prunable})
    masks = [mask]
    for level in range(1, search.rounds + 1):
        mask = prune(weights, mask, criterion=criterion, granularity=granularity, schedule=schedule, level=level)
        masks.append(mask)
    per_level = [mask.density_by_layer() for mask in masks]
    return Forecast(
        densities=tuple(mask.density for mask in masks),
        layers={name.removesuffix(".weight"): tuple(layer[name] for layer in per_level) for name in mask.prunable},
        num_kept=tuple(mask.num_kept for mask in masks),
        num_weights=sum(weight.numel() for weight in weights.values()),
        asymptote=schedule.asymptote(shares=shares),
    )


def with_target(config, *, density, vocab_size):
    """Return the settings with as many rounds as a target density needs.

    Raises:
        ConfigError: the schedule never gets there; names the nearest reachable density.
    """
    search = config.search
    schedule = make_schedule(search.schedule, rate=search.rate, decay=search.decay)
    model = build_model(dense_config(config.model, vocab_size=vocab_size), seed=config.train.seed)
    names = prunable_names(model, scope=search.scope)
    sizes = {name: dict(model.named_parameters())[name].numel() for name in names}
    rounds = schedule.rounds_to(density, shares=schedule.shares(sizes))
    return replace(config, search=replace(search, rounds=rounds))
