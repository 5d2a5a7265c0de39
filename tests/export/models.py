"""Small Conformers with masks, and the tickets made of them, that every export test shares."""

import torch

from lottery_train.models import Conformer, ConformerConfig
from lottery_train.pruning import Mask
from lottery_train.ticket import load_ticket, save_ticket
from runtime.tokenizer import WORD_START, Tokenizer

CHUNK_FRAMES = 8
TOKENIZER = Tokenizer(("<blk>", WORD_START, *"abcdefgh"))


def small_config(**fields):
    """Return the config of two alike blocks, wide enough that every matrix product but the head goes to int8."""
    settings = {
        "num_blocks": 2,
        "ff": 256,
        "heads": 4,
        "conv": 128,
        "vocab_size": len(TOKENIZER),
        "model_width": 64,
        "stem_width": 48,
        "head_width": 16,
        "conv_kernel": 7,
        "left_context_frames": 16,
        "max_chunk_frames": 16,
    }
    return ConformerConfig.uniform(**settings | fields)


def random_model(config, *, seed=0, sharpness=1.0):
    """Return a model with nothing at its default: biases, gains, position biases and statistics are drawn too.

    Args:
        sharpness: factor on the output layer; large values decide every frame.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        model = Conformer(config).eval()
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
        model.head.weight *= sharpness
        model.set_normalisation(mean=torch.randn(config.num_mels) - 8, deviation=3 + torch.rand(config.num_mels))
    return model


def drawn_units(model, *, seed=0, kinds=("conv", "ff", "head"), dropped=(), density=0.5):
    """Return group name -> bool keep: units of `kinds` drawn at random, at least one a group, and none of `dropped`."""
    generator = torch.Generator().manual_seed(seed)
    keep_units = {}
    for group in model.unit_groups():
        keep = torch.rand(group.size, generator=generator) < density
        keep[int(torch.randint(group.size, (), generator=generator))] = True
        if group.kind not in kinds:
            keep[:] = True
        if group.name in dropped:
            keep[:] = False
        keep_units[group.name] = keep
    return keep_units


def unit_mask(model, keep_units):
    """Return the Mask that drops units."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    groups = model.unit_groups()
    mask = Mask({name: shapes[name] for group in groups for name in group.tensors})
    for group in groups:
        mask.update(group.expand(keep_units[group.name], shapes=shapes))
    return mask


def write_ticket(folder, model, *, mask, level=3, granularity="unit"):
    """Write a ticket with the model's masked weights and return it, loaded."""
    mask.apply_(model)
    score = {"wer": 0.125, "wer_interval": [0.1, 0.15], "cer": 0.05, "num_utterances": 40, "num_words": 160}
    record = {
        "name": "ticket",
        "level": level,
        "chunk_frames": CHUNK_FRAMES,
        "seed": 7,
        "corpus": "tones",
        "data_fingerprint": "ab" * 32,
        "granularity": granularity,
        "search": {"criterion": "magnitude", "schedule": "constant", "rewind": "step"},
        "metrics": {"dev": score, "test": score},
    }
    save_ticket(folder, config=model.config, weights=model.state_dict(), mask=mask, tokenizer=TOKENIZER, record=record)
    return load_ticket(folder)
