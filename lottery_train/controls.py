"""Controls: what a ticket must beat, trained by the same code and written beside it.

`lottery_train.config.CONTROLS` says what each is. They start from drawn weights (random-ticket, dense-small) even where
the run itself started from another corpus's ticket.
"""

from lottery_train.config import CONTROLS
from lottery_train.errors import ConfigError, TicketError
from lottery_train.models.build import build_model, dense_small_config
from lottery_train.pruning import prune
from lottery_train.search import Start, level_epochs, train_ticket
from lottery_train.ticket import is_ticket, load_ticket

_OTHER_WEIGHTS = 1000


def train_control(run, name, *, level):
    """Train one control of the ticket of a level; a finished one is left alone.

    Returns:
        folder of the control's ticket.
    Raises:
        ConfigError: unknown control, or level 0 (dense needs none).
        TicketError: the level is not finished.
    """
    if name not in CONTROLS:
        raise ConfigError(f"control is {name!r}, expected one of: {', '.join(CONTROLS)}")
    if level < 1:
        raise ConfigError("level 0 is dense: controls stand beside levels from 1 on")
    folder = run.out / "controls" / f"{name}_{level:02d}"
    if is_ticket(folder):
        return folder
    if not is_ticket(run.level_folder(level)):
        raise TicketError(f"{run.level_folder(level)}: no finished ticket to set a control beside")
    ticket = load_ticket(run.level_folder(level))
    parent = load_ticket(run.level_folder(level - 1))
    common = {"level": level, "name": name}
    if name == "random-pruning":
        start, epochs = _unpruned_start(run, level=level)
        mask = _random_mask(run, level=level)
        train_ticket(run, folder, config=ticket.config, mask=mask, start=start, epochs=epochs, **common)
    elif name == "random-ticket":
        train_ticket(
            run,
            folder,
            config=ticket.config,
            mask=ticket.mask,
            start=Start(),
            epochs=run.config.train.epochs,
            seed_offset=_OTHER_WEIGHTS,
            **common,
        )
    elif name == "no-rewinding":
        start = Start(weights=parent.weights, is_fine_tuning=True)
        train_ticket(
            run, folder, config=ticket.config, mask=ticket.mask, start=start, epochs=level_epochs(run), **common
        )
    else:
        small = dense_small_config(ticket.config, num_weights=ticket.record["sizes"]["num_nonzeros"])
        mask = run.dense_mask(build_model(small, seed=0))
        train_ticket(run, folder, config=small, mask=mask, start=Start(), epochs=run.config.train.epochs, **common)
    return folder


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
    model = build_model(run.dense_config(), seed=run.config.train.seed)
    criterion, granularity, schedule = run.pruning(model, criterion="random")
    mask, weights = run.dense_mask(model), dict(model.named_parameters())
    for round_done in range(1, level + 1):
        mask = prune(weights, mask, criterion=criterion, granularity=granularity, schedule=schedule, level=round_done)
    return mask
