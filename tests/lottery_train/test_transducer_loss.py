"""The transducer loss against the sum over every alignment, written out one by one, and against torchaudio's."""

import itertools

import pytest
import torch

from lottery_train.models import transducer_loss
from lottery_train.models.transducer_loss import transducer_losses

# (frames, symbols) of each utterance: the largest lattice, no symbol, one frame, more symbols than frames.
SIZES = ((4, 3), (3, 0), (1, 2), (2, 3))


def make_batch(*, vocab=5, sizes=SIZES, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    frames, symbols = (torch.tensor(part) for part in zip(*sizes, strict=True))
    shape = (len(sizes), int(frames.max()), int(symbols.max()) + 1, vocab)
    logits = torch.randn(shape, generator=generator, dtype=dtype) * 2
    targets = torch.randint(1, vocab, (len(sizes), shape[2] - 1), generator=generator)
    return logits.requires_grad_(), targets, frames, symbols


def enumerated_loss(logits_TUV, targets, *, num_frames, num_symbols, blank=0):
    """Return minus the log of the sum of the probabilities of all orders of blanks and symbols; the last is a blank."""
    logprobs = logits_TUV.log_softmax(-1)
    paths = []
    for places in itertools.combinations(range(num_frames + num_symbols - 1), num_symbols):
        t = u = 0
        total = 0.0
        for step in range(num_frames + num_symbols):
            is_symbol = step in places
            total = total + logprobs[t, u, targets[u] if is_symbol else blank]
            t, u = (t, u + 1) if is_symbol else (t + 1, u)
        assert (t, u) == (num_frames, num_symbols)
        paths.append(total)
    return -torch.logsumexp(torch.stack(paths), 0)


def enumerated(logits, targets, frames, symbols, *, blank=0):
    rows = zip(logits, targets, frames.tolist(), symbols.tolist(), strict=True)
    return torch.stack([enumerated_loss(row, ids, num_frames=t, num_symbols=u, blank=blank) for row, ids, t, u in rows])


@pytest.mark.parametrize("seed", range(3))
def test_loss_and_gradient_equal_the_enumeration_of_all_alignments(seed):
    logits, targets, frames, symbols = make_batch(seed=seed)
    losses = transducer_losses(logits, targets, input_lengths=frames, target_lengths=symbols)
    expected = enumerated(logits, targets, frames, symbols)
    torch.testing.assert_close(losses, expected)
    weights = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    found = torch.autograd.grad((losses * weights).sum(), logits)
    torch.testing.assert_close(found, torch.autograd.grad((expected * weights).sum(), logits))


def test_the_blank_may_be_any_symbol():
    logits, targets, frames, symbols = make_batch()
    targets = targets - 1
    losses = transducer_losses(logits, targets, input_lengths=frames, target_lengths=symbols, blank=4)
    torch.testing.assert_close(losses, enumerated(logits, targets, frames, symbols, blank=4))


def test_gradcheck():
    logits, targets, frames, symbols = make_batch(vocab=3, sizes=((3, 2), (2, 1)))
    assert torch.autograd.gradcheck(
        lambda x: transducer_losses(x, targets, input_lengths=frames, target_lengths=symbols), (logits,)
    )


def test_long_lattices_in_float32_equal_float64():
    sizes = ((150, 40), (90, 25))
    exact, targets, frames, symbols = make_batch(vocab=30, sizes=sizes)
    lengths = {"input_lengths": frames, "target_lengths": symbols}
    rounded = exact.detach().float().requires_grad_()
    expected, found = (transducer_losses(x, targets, **lengths) for x in (exact, rounded))
    # Sums of 190 terms of some 1e2, each exact to 6e-8 of it.
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=0)
    grads = [torch.autograd.grad(loss.sum(), x)[0].double() for loss, x in ((expected, exact), (found, rounded))]
    torch.testing.assert_close(grads[1], grads[0], rtol=0, atol=1e-3)
    assert grads[0][1, 90:].eq(0).all()
    assert grads[0][1, :, 26:].eq(0).all()


def test_what_lies_beyond_the_lengths_does_not_matter():
    logits, targets, frames, symbols = make_batch()
    padded = torch.nn.functional.pad(logits.detach(), (0, 0, 0, 2, 0, 3), value=9.0)
    wider = torch.nn.functional.pad(targets, (0, 2))
    found = transducer_losses(padded, wider, input_lengths=frames, target_lengths=symbols)
    torch.testing.assert_close(found, enumerated(logits, targets, frames, symbols))


def test_shapes_that_do_not_fit_are_refused():
    logits, targets, frames, symbols = make_batch()
    with pytest.raises(ValueError, match=r"targets of shape \(4, 2\)"):
        transducer_losses(logits, targets[:, 1:], input_lengths=frames, target_lengths=symbols)
    for wrong in ({"input_lengths": frames + 1}, {"input_lengths": frames * 0}, {"target_lengths": symbols + 1}):
        with pytest.raises(ValueError, match="does not fit"):
            transducer_losses(logits, targets, **{"input_lengths": frames, "target_lengths": symbols} | wrong)


def test_torchaudio_agrees_where_its_operators_load():
    compiled = transducer_loss._compiled_loss()
    if compiled is None:
        pytest.skip("torchaudio's compiled operators cannot be loaded beside this build of torch")
    logits, targets, frames, symbols = make_batch(sizes=((30, 9), (20, 4)), dtype=torch.float32)
    own = transducer_loss._TransducerLoss.apply(logits, targets, frames, symbols, 0)
    theirs = compiled(logits, targets.int(), frames.int(), symbols.int(), blank=0, reduction="none")
    torch.testing.assert_close(theirs, own)


def test_a_compiled_loss_is_preferred_and_given_what_it_takes(monkeypatch):
    logits, targets, frames, symbols = make_batch(dtype=torch.float32)
    calls = []

    def compiled(*arguments, **options):
        calls.append((arguments, options))
        return torch.zeros(4)

    monkeypatch.setattr(transducer_loss, "_compiled_loss", lambda: compiled)
    transducer_losses(logits, targets, input_lengths=frames, target_lengths=symbols)
    ((arguments, options),) = calls
    assert [value.dtype for value in arguments] == [torch.float32, torch.int32, torch.int32, torch.int32]
    assert options == {"blank": 0, "reduction": "none"}
