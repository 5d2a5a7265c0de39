"""One process or many: what `torchrun` says about this one."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

# The first process may download a corpus and compute its features while the others wait.
_PATIENCE = timedelta(hours=12)


@dataclass(frozen=True, kw_only=True)
class Process:
    """This process among its peers; a plain run is rank 0 of 1.

    Args:
        rank, world_size: position and number of processes.
        device: where tensors live.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def is_first(self):
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def sum(self, values):
        """Return the sums of a few numbers over all processes, the same on each."""
        if self.world_size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.tolist()

    def barrier(self):
        """Wait for all processes."""
        if self.world_size > 1:
            distributed.barrier()


def join_process_group():
    """Join the group that `torchrun` started (gloo on CPU, nccl on GPU), or return the one process of a plain run."""
    has_gpu = torch.cuda.is_available()
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local_rank) if has_gpu else torch.device("cpu")
    if "RANK" not in os.environ:
        return Process(device=device)
    if has_gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if has_gpu else "gloo", timeout=_PATIENCE)
    return Process(rank=distributed.get_rank(), world_size=distributed.get_world_size(), device=device)


def has_fast_bfloat16(device):
    """Tell whether the hardware multiplies bfloat16 natively (GPU: Ampere on; CPU: AMX or AVX512-BF16)."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))
