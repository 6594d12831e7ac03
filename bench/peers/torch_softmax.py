"""CBOW with the full softmax in PyTorch on the CPU, as well as its users can write it.

`nn.EmbeddingBag` (the mean of the contexts' rows, gradients of those rows alone), a linear layer
without bias, cross-entropy summed over the batch, plain SGD; float32. The ids are tensors before
the clock. Imports NumPy and PyTorch alone, so that an interpreter with no more can run it.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from bench.peers import numpy_softmax
from bench.softmax.batches import Batch, Matrices

_SGEMM_SIZES = (1024, 2048)
_SGEMM_REPEATS = 5


class TorchRung:
    """The model and its optimizers; the layers take the arrays' memory over, nothing is copied."""

    def __init__(
        self, inputs: np.ndarray, outputs: np.ndarray, alpha: float, request: dict[str, Any]
    ) -> None:
        torch.set_num_threads(request["threads"])
        self.hidden = nn.EmbeddingBag.from_pretrained(
            torch.from_numpy(inputs), freeze=False, mode="mean", sparse=True
        )
        self.output = nn.Linear(outputs.shape[1], len(outputs), bias=False, device="meta")
        self.output.weight = nn.Parameter(torch.from_numpy(outputs))
        self.loss = nn.CrossEntropyLoss(reduction="sum")
        # SGD's fused step is for dense gradients; the sparse ones have an optimizer of their own.
        self.optimizers = [
            torch.optim.SGD(self.hidden.parameters(), lr=alpha),
            torch.optim.SGD(self.output.parameters(), lr=alpha, fused=True),
        ]

    def prepare(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """See `numpy_softmax.Rung`."""
        return tuple(
            torch.from_numpy(ids) for ids in (batch.context_ids, batch.starts, batch.center_ids)
        )

    def train(self, prepared: tuple[torch.Tensor, ...]) -> float:
        """See `numpy_softmax.Rung`."""
        context_ids, starts, center_ids = prepared
        loss = self.loss(self.output(self.hidden(context_ids, starts)), center_ids)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()

    def weights(self) -> Matrices:
        """See `numpy_softmax.Rung`."""
        return self.hidden.weight.detach().numpy(), self.output.weight.detach().numpy()

    def details(self) -> dict[str, Any]:
        """See `numpy_softmax.Rung`; `sgemm_gflops` is what PyTorch's own products reach here."""
        return {
            "versions": {"torch": str(torch.__version__), "numpy": np.__version__},
            "threads": torch.get_num_threads(),
            "mkl": torch.backends.mkl.is_available(),
            "onednn": torch.backends.mkldnn.is_available(),
            "sgemm_gflops": _sgemm_gflops(),
        }


def _sgemm_gflops() -> float:
    """The best float32 rate of `torch.mm`, GFLOP/s."""
    rates = []
    for size in _SGEMM_SIZES:
        a, b = torch.rand(size, size), torch.rand(size, size)
        out = torch.mm(a, b)
        for _ in range(_SGEMM_REPEATS):
            began = time.perf_counter()
            torch.mm(a, b, out=out)
            rates.append(2e-9 * size**3 / (time.perf_counter() - began))
    return max(rates)


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Check and time it; see `numpy_softmax.measure`."""
    return numpy_softmax.measure_rung("torch", TorchRung, request)
