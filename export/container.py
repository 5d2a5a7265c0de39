"""The container: how the caches of a streaming Conformer travel between two chunks.

The layout is that of sherpa-onnx's streaming zipformer2-CTC models, so that one file runs in our runtime, in
sherpa-onnx and in the browser. It declares one encoder layer; the caches of all blocks, whatever their widths, lie side
by side in it: keys and values in `cached_key_0`, convolution caches in the channels of `cached_conv1_0` and then
`cached_conv2_0`. The other states have sizes that sherpa-onnx computes itself; they are carried along unread.
Axes: N streams, L frames of left context, E half of all convolution channels, R cached frames of the convolution.
Source: sherpa-onnx csrc/online-zipformer2-ctc-model.cc (names, order, shapes and metadata of the states).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from export.errors import ExportError
from lottery_train.models.config import ConformerConfig
from runtime.manifest import MAX_CHUNK_FRAMES, Geometry, StateSpec

FEATURES_NAME = "x"
LOGPROBS_NAME = "log_probs"
_DTYPES = {"float32": torch.float32, "int64": torch.int64}
# sherpa-onnx allocates these for Zipformer's convolutional front end whatever the metadata say.
_EMBED_SHAPE = (128, 3, 19)


@dataclass(frozen=True, kw_only=True)
class Container:
    """Sizes of every input and output of an exported model.

    Args:
        config: ConformerConfig of the model that is exported (after shrinking).
        chunk_frames: encoder frames (40 ms) a chunk.
    Raises:
        ExportError: the chunk is too short or too long, or the convolutions keep no past, which the container needs.
    """

    config: ConformerConfig
    chunk_frames: int

    def __post_init__(self):
        if not 1 <= self.chunk_frames <= MAX_CHUNK_FRAMES:
            raise ExportError(f"the chunk is {self.chunk_frames} frames of 40 ms, expected 1 to {MAX_CHUNK_FRAMES}")
        if self.config.conv_reach < 1:
            raise ExportError(f"conv_kernel is {self.config.conv_kernel}, the container needs at least 3")

    @property
    def geometry(self):
        """How the model is fed: runtime.manifest.Geometry."""
        return Geometry(
            chunk_frames=self.chunk_frames,
            left_context=self.config.left_context_frames,
            vocab_size=self.config.vocab_size,
            num_mels=self.config.num_mels,
        )

    @property
    def key_widths(self):
        """Keys and values of one frame, for each block: 2 * heads * head_width."""
        return [2 * widths.heads * self.config.head_width for widths in self.config.blocks]

    @property
    def conv_widths(self):
        """Convolution channels of each block."""
        return [widths.conv for widths in self.config.blocks]

    @property
    def encoder_dims(self):
        """E: half of all convolution channels, rounded up to a multiple of 4: sherpa-onnx computes 3E/4."""
        return 4 * max(1, -(-sum(self.conv_widths) // 8))

    @property
    def states(self):
        """The recurrent inputs after `x`, in order: tuple of StateSpec."""
        left, half, reach = self.config.left_context_frames, self.encoder_dims, self.config.conv_reach
        shapes = {
            "cached_key_0": (left, -1, max(1, sum(self.key_widths))),
            "cached_nonlin_attn_0": (1, -1, left, 3 * half // 4),
            "cached_val1_0": (left, -1, 1),
            "cached_val2_0": (left, -1, 1),
            "cached_conv1_0": (-1, half, reach),
            "cached_conv2_0": (-1, half, reach),
            "embed_states": (-1, *_EMBED_SHAPE),
        }
        specs = [StateSpec(name=name, shape=shape) for name, shape in shapes.items()]
        return (*specs, StateSpec(name="processed_lens", shape=(-1,), dtype="int64"))

    @property
    def metadata(self):
        """The metadata that sherpa-onnx reads its geometry from: name -> text."""
        left, half, reach = self.config.left_context_frames, self.encoder_dims, self.config.conv_reach
        values = {
            "model_type": "zipformer2",
            "model_author": "lottery-asr",
            "version": 1,
            "comment": "streaming Conformer-CTC in the zipformer2-CTC container",
            "T": self.geometry.window_frames,
            "decode_chunk_len": self.geometry.shift_frames,
            "num_encoder_layers": 1,
            "encoder_dims": half,
            "cnn_module_kernels": 2 * reach,
            "left_context_len": left,
            "num_heads": 1,
            "query_head_dims": max(1, sum(self.key_widths)),
            "value_head_dims": 1,
        }
        return {name: str(value) for name, value in values.items()}

    def initial_states(self, batch):
        """Return the states of streams that have seen nothing: list of zero tensors."""
        return [
            torch.zeros([batch if size == -1 else size for size in spec.shape], dtype=_DTYPES[spec.dtype])
            for spec in self.states
        ]

    def pack(self, caches, *, num_past):
        """Lay the caches of `Conformer.step` out as states.

        Args:
            caches: (attention (N, L, 2*H*K), convolution (N, C, R)) for each block.
            num_past: int64 (N,), encoder frames already seen.
        Returns:
            list of tensors, as `states` says.
        """
        states = self.initial_states(len(num_past))
        if sum(self.key_widths):
            states[0] = torch.cat([attention for attention, _ in caches], -1).transpose(0, 1)
        channels = torch.cat([conv for _, conv in caches], 1)
        channels = F.pad(channels, (0, 0, 0, 2 * self.encoder_dims - channels.shape[1]))
        states[4], states[5] = channels.split(self.encoder_dims, 1)
        states[7] = num_past
        return states

    def unpack(self, states):
        """Return (caches, num_past) as `Conformer.step` takes them; the inverse of `pack`."""
        keys = states[0].transpose(0, 1)[..., : sum(self.key_widths)].split(self.key_widths, -1)
        channels = torch.cat([states[4], states[5]], 1)[:, : sum(self.conv_widths)].split(self.conv_widths, 1)
        return list(zip(keys, channels, strict=True)), states[7]
