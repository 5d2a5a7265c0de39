"""Whether a run's rewind point lies where its trainings reach it, counted before any of them starts."""

from lottery_train.batching import epoch_batches
from lottery_train.errors import ConfigError


def check_rewind_step(run):
    """Refuse a rewind point at or beyond the end of the dense training, or of a level's.

    Args:
        run: Run; a rewind point that it has already is left to the training that starts from it.
    Raises:
        ConfigError: `--rewind-steps` is too large.
    """
    search, train = run.config.search, run.config.train
    if search.rewind != "step" or run.rewind_path.exists():
        return
    epochs = min(train.epochs, search.level_epochs or train.epochs)
    steps = _fewest_steps(run, epochs=epochs, enough=search.rewind_steps)
    if search.rewind_steps >= steps:
        raise ConfigError(
            f"--rewind-steps is {search.rewind_steps}, expected less than {steps}: the rewind point must lie within "
            f"the dense training and within a level, {epochs} epoch{'s' * (epochs != 1)}",
            hint="rewind to fewer steps (--rewind-steps), or train longer (--epochs, --level-epochs)",
        )


def _fewest_steps(run, *, epochs, enough):
    """Return how many steps so many epochs have at least; counting ends beyond `enough`.

    How many utterances are joined depends on the loss, so it is counted with none joined, and with as many as can be.
    """
    train, steps = run.config.train, 0
    for epoch in range(epochs):
        plans = [
            epoch_batches(
                run.speech.train,
                batch_s=train.batch_s,
                join_probability=probability,
                max_utterance_s=run.speech.max_utterance_s,
                seed=train.seed,
                epoch=epoch,
                world_size=run.process.world_size,
            )
            for probability in {0.0, train.join_probability}
        ]
        steps += min(map(len, plans)) // run.process.world_size
        if steps > enough:
            break
    return steps
