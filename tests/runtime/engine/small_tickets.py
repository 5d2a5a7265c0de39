"""A few right ticket files that hold everything a file can hold, and running one on this machine."""

import functools

import numpy as np

from runtime.engine.library import Model, aligned_bytes
from tests.runtime.engine.reference_ticket import INT8, RAW, RAW_FLOAT16
from tests.runtime.engine.ticket_builder import TicketBuilder, matrix_bytes, weights
from tests.runtime.engine.tiny_ticket import random_ticket

# Tiles of 4, 8 and 16 frames, full ones and others, one and two of them a chunk.
CHUNKS = (1, 4, 3, 8, 5, 16, 2, 20)


@functools.cache
def small_tickets():
    """Return the bytes of ten files: one of each format, raw and coded, in float16 too; two with every module."""
    files = []
    for format, chunk in enumerate(CHUNKS):
        builder = TicketBuilder(default=format, config={"chunk_frames": chunk})
        dense = weights(builder.shapes["conv2"], format=format)
        tables = (0 if format >= 2 else RAW, 1 if format in INT8 else RAW)
        builder.tensors["conv2"] = matrix_bytes(format, dense, tables=tables)
        if format in (0, 2):
            halves = (dense if format == 0 else dense[dense != 0]).astype("<f2").tobytes()
            builder.tensors["conv2"] = matrix_bytes(
                format, dense, tables=tables, values=halves, value_table=RAW_FLOAT16
            )
        files.append(builder.bytes())
    return (*files, random_ticket(), random_ticket(precision="int8"))


def step_here(ticket, features_NTF, *, instruction_set=None):
    """Return float32 (N, T', V) of the library that the environment names."""
    model = Model(ticket, instruction_set=instruction_set)
    shape = model.geometry
    states = [model.initial_state() for _ in features_NTF]
    workspace = aligned_bytes(model.workspace_bytes(len(states)))
    starts = range(0, features_NTF.shape[1] - shape.window_frames + 1, 4 * shape.chunk_frames)
    windows = (np.ascontiguousarray(features_NTF[:, at : at + shape.window_frames]) for at in starts)
    return np.concatenate([model.step(window, states, workspace=workspace) for window in windows], 1)
