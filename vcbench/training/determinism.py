"""`--deterministic`: only algorithms that give the same numbers every time, in one scope.

On a CPU, training gives the same numbers on the same machine with the same number of threads in any
case: the tests train twice and compare. On a GPU, cuDNN may choose among algorithms by timing them,
and some kernels add in an order that is not fixed; whether this scope removes all of that for the
architectures here, and at what price, has not been measured: there was no GPU to measure on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vcbench.errors import CellFailure
from vcbench.training.cell import Cell

# One of the two values that the documentation of `torch.use_deterministic_algorithms` names.
CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(cell: Cell) -> Iterator[None]:
    """Inside, PyTorch refuses what it cannot repeat, if `cell` asks for it; outside, nothing has
    changed. To be entered before anything is computed on a GPU: cuBLAS reads its variable once.

    Raises `CellFailure` if an operation of the cell's networks has no deterministic algorithm.
    """
    if not cell.deterministic:
        yield
        return
    name, value = CUBLAS
    workspace = os.environ.get(name)
    algorithms = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    cudnn = (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark)
    os.environ[name] = value
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    except RuntimeError as error:
        if "use_deterministic_algorithms" not in str(error):
            raise
        reason = " ".join(str(error).split())
        raise CellFailure(f"{cell.id}: cannot be trained with --deterministic: {reason}") from None
    finally:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
        if workspace is None:
            del os.environ[name]
        else:
            os.environ[name] = workspace
