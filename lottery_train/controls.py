"""Controls: what a ticket must beat, trained by the same code and written beside it.

`lottery_train.config.CONTROLS` says what each is. They start from drawn weights (random-ticket, dense-small) even where
the run itself started from another corpus's ticket.
"""

from lottery_train.config import CONTROLS, unfit_control
from lottery_train.errors import ConfigError, TicketError
from lottery_train.models.build import build_model, dense_small_config
from lottery_train.pruner import GradualPruner, Pruner
from lottery_train.search import level_epochs, rounds_of, train_ticket
from lottery_train.start import Start, first_start
from lottery_train.ticket import control_place, is_ticket, load_ticket

_OTHER_WEIGHTS = 1000


def train_control(run, name, *, level):
    """Train one control of the ticket of a level; a finished one is left alone.

    Returns:
        folder of the control's ticket.
    Raises:
        ConfigError: unknown control, one that the run's method has no use for, or level 0 (dense needs none).
        TicketError: the level is not finished.
    """
    if name not in CONTROLS:
        raise ConfigError(f"control is {name!r}, expected one of: {', '.join(CONTROLS)}")
    if level < 1:
        raise ConfigError("level 0 is dense: controls stand beside levels from 1 on")
    folder = run.out / control_place(name, level=level)
    if is_ticket(folder):
        return folder
    if not is_ticket(run.level_folder(level)):
        raise TicketError(f"{run.level_folder(level)}: no finished ticket to set a control beside")
    why_not = unfit_control(run.config.search, name)
    if why_not:
        raise ConfigError(f"control {name}: {why_not}")
    ticket = load_ticket(run.level_folder(level))
    config, pruner, start, epochs = ticket.config, Pruner(ticket.mask), Start(), run.config.train.epochs
    seed_offset = 0
    if name == "random-pruning" and run.config.search.is_one_training:
        pruner, start = _random_pruner(run, ticket), first_start(run)
    elif name == "random-pruning":
        start, epochs = _unpruned_start(run, level=level)
        pruner = Pruner(_random_mask(run, level=level))
    elif name == "random-ticket":
        seed_offset = _OTHER_WEIGHTS
    elif name == "no-rewinding":
        parent = load_ticket(run.level_folder(level - 1))
        start, epochs = Start(weights=parent.weights, is_fine_tuning=True), level_epochs(run)
    elif name == "dense-longer":
        start, epochs = _unpruned_start(run, level=level)
        pruner = Pruner(_dense_mask(run, config))
    else:
        config = dense_small_config(config, num_weights=ticket.record["sizes"]["num_nonzeros"])
        pruner = Pruner(_dense_mask(run, config))
    train_ticket(
        run,
        folder,
        level=level,
        name=name,
        config=config,
        pruner=pruner,
        start=start,
        epochs=epochs,
        seed_offset=seed_offset,
    )
    return folder


def _dense_mask(run, config):
    return run.dense_mask(build_model(config, seed=0))


def _random_pruner(run, ticket):
    """Return the pruner that makes the ticket's rounds when they were made, by chance."""
    rounds, dense_mask = rounds_of(run, criterion="random")
    return GradualPruner(dense_mask, rounds=rounds, times=ticket.record["round_epochs"])


def _unpruned_start(run, *, level):
    """Return the start and length of a training that another mask than the ticket's parents' can begin with.

    The parents' weights are zero where chance keeps them, so where weights are not rewound the control goes back to the
    dense model's, and trains for as many epochs as all levels since had.
    """
    if run.config.search.rewind in ("init", "step"):
        return Start(rewind=run.rewind_path), level_epochs(run)
    dense = load_ticket(run.level_folder(0))
    is_fine_tuning = run.config.search.rewind == "none"
    return Start(weights=dense.weights, is_fine_tuning=is_fine_tuning), level * level_epochs(run)


def _random_mask(run, *, level):
    """Return the mask that the run's schedule and granularity give when chance ranks the weights."""
    rounds, dense_mask = rounds_of(run, criterion="random")
    model = build_model(run.dense_config(), seed=run.config.train.seed)
    return rounds.make(dict(model.named_parameters()), dense_mask, first=1, last=level)
