"""What a transducer has beside its encoder: a predictor of what was said so far, and the joiner of the two.

A predictor's state is one tensor (B, S), so that decoding can keep it for some utterances and advance it for others.
Shapes: B batch, T encoder frames, U target symbols, D encoder width, E embedding width, P predictor width, J joiner
width, V symbols.
"""

import torch
import torch.nn.functional as F
from torch import nn

from lottery_train.models.layers import ChannelDropout
from lottery_train.models.lstm_encoder import lstm_group, make_lstm
from lottery_train.units import Member, UnitGroup

_START = 0  # the blank's embedding stands for the start: the blank is never fed back


class StatelessPredictor(nn.Module):
    """Sees the last few symbols alone.

    Source: Ghodsi et al. 2020, "RNN-Transducer with Stateless Prediction Network".
    """

    def __init__(self, config):
        super().__init__()
        self.context = config.context
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_width)
        self.project = nn.Linear(config.context * config.embedding_width, config.predictor_width)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, ids_BU):
        """Return (B, U + 1, P): what is expected after 0 … U symbols."""
        embedded = self.embedding(F.pad(ids_BU, (self.context, 0), value=_START))
        columns = ids_BU.shape[1] + 1
        windows = torch.cat([embedded[:, place : place + columns] for place in range(self.context)], -1)
        return self.dropout(F.silu(self.project(windows)))

    def start(self, batch):
        """Return (B, P) and the state of utterances of which nothing was said yet."""
        ids_BC = torch.full((batch, self.context), _START, device=self.embedding.weight.device)
        return self._output(ids_BC), ids_BC

    def advance(self, symbols_B, state):
        """Return (B, P) and the state after one more symbol each."""
        ids_BC = torch.cat([state[:, 1:], symbols_B[:, None]], 1)
        return self._output(ids_BC), ids_BC

    def _output(self, ids_BC):
        return F.silu(self.project(self.embedding(ids_BC).flatten(1)))

    def unit_groups(self, *, consumer):
        """Return the neurons behind the embeddings."""
        size = self.project.out_features
        members = (
            Member.strided("project.weight", size=size),
            Member.strided("project.bias", size=size),
            Member.strided(consumer, size=size, axis=1),
        )
        return [UnitGroup(name="project", kind="ff", size=size, members=members)]


class LstmPredictor(nn.Module):
    """Remembers everything that was said. Source: Graves 2012."""

    def __init__(self, config):
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_width)
        self.lstm = make_lstm(config.embedding_width, config.predictor_width)
        self.dropout = ChannelDropout(config.dropout)

    def forward(self, ids_BU):
        """Return (B, U + 1, P): what is expected after 0 … U symbols."""
        with torch.autocast(ids_BU.device.type, enabled=False):
            outputs, _ = self.lstm(self.embedding(F.pad(ids_BU, (1, 0), value=_START)))
        return self.dropout(outputs)

    def start(self, batch):
        """Return (B, P) and the state of utterances of which nothing was said yet."""
        weight = self.embedding.weight
        symbols_B = torch.full((batch,), _START, device=weight.device)
        return self.advance(symbols_B, weight.new_zeros(batch, 2 * self.lstm.hidden_size))

    def advance(self, symbols_B, state):
        """Return (B, P) and the state after one more symbol each."""
        cells = tuple(part[None].contiguous() for part in state.chunk(2, 1))
        outputs, cells = self.lstm(self.embedding(symbols_B)[:, None], cells)
        return outputs[:, 0], torch.cat([part[0] for part in cells], 1)

    def unit_groups(self, *, consumer):
        """Return the units of the LSTM."""
        return [lstm_group("lstm", self.lstm.hidden_size, outputs=[(consumer, 1)])]


PREDICTORS = {"lstm": LstmPredictor, "stateless": StatelessPredictor}


class Joiner(nn.Module):
    """Sum of both sides, tanh, one score a symbol."""

    def __init__(self, encoder_width, config):
        super().__init__()
        self.encoder = nn.Linear(encoder_width, config.joiner_width)
        self.predictor = nn.Linear(config.predictor_width, config.joiner_width, bias=False)
        self.out = nn.Linear(config.joiner_width, config.vocab_size)

    def forward(self, encoded, predicted):
        """Return scores (…, V) of what `encoder` and `predictor` made (…, J) of either side."""
        return self.out(torch.tanh(encoded + predicted))

    def unit_groups(self):
        """Return the neurons in the middle."""
        size = self.encoder.out_features
        members = (
            Member.strided("encoder.weight", size=size),
            Member.strided("encoder.bias", size=size),
            Member.strided("predictor.weight", size=size),
            Member.strided("out.weight", size=size, axis=1),
        )
        return [UnitGroup(name="neurons", kind="ff", size=size, members=members)]
