"""A few right ticket files that hold everything a file can hold, for tests that break them."""

import functools

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
