"""What a plugin must leave alone: the random state and the settings of the whole process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch


class Setting(NamedTuple):
    """Something global: how it is called, read, and put back."""

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    is_readable: bool = True  # its values tell a person something


def _numpy_state() -> tuple[Any, ...]:
    algorithm, keys, *rest = np.random.get_state(legacy=True)
    return (algorithm, np.asarray(keys).tobytes(), *rest)


def _restore_numpy(state: tuple[Any, ...]) -> None:
    algorithm, keys, *rest = state
    np.random.set_state((algorithm, np.frombuffer(keys, dtype=np.uint32), *rest))


def _determinism() -> tuple[bool, bool]:
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    return torch.are_deterministic_algorithms_enabled(), warn_only


def _flag(owner: Any, name: str, label: str) -> Setting:
    return Setting(label, lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


SETTINGS = (
    Setting("Python's random state", random.getstate, random.setstate, is_readable=False),
    Setting("NumPy's random state", _numpy_state, _restore_numpy, is_readable=False),
    Setting("torch.get_default_dtype()", torch.get_default_dtype, torch.set_default_dtype),
    Setting("torch.get_default_device()", torch.get_default_device, torch.set_default_device),
    Setting("torch.get_num_threads()", torch.get_num_threads, torch.set_num_threads),
    Setting("torch.is_grad_enabled()", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting(
        "torch.is_anomaly_enabled()", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly
    ),
    Setting(
        "torch.use_deterministic_algorithms (on, warn_only)",
        _determinism,
        lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
    ),
    Setting(
        "torch.get_float32_matmul_precision()",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    _flag(torch.backends.cudnn, "enabled", "torch.backends.cudnn.enabled"),
    _flag(torch.backends.cudnn, "benchmark", "torch.backends.cudnn.benchmark"),
    _flag(torch.backends.cudnn, "deterministic", "torch.backends.cudnn.deterministic"),
)


def snapshot() -> list[Any]:
    """The value of each of `SETTINGS`."""
    return [setting.read() for setting in SETTINGS]


def changes(before: list[Any], after: list[Any]) -> list[str]:
    """What differs between two snapshots, in words; empty where nothing does."""
    return [
        f"{setting.name} from {old} to {new}" if setting.is_readable else setting.name
        for setting, old, new in zip(SETTINGS, before, after, strict=True)
        if old != new
    ]


@contextmanager
def preserved() -> Iterator[None]:
    """Whatever happens inside, `SETTINGS` and PyTorch's random state are afterwards as before."""
    before = snapshot()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for setting, old in zip(SETTINGS, before, strict=True):
            if setting.read() != old:
                setting.restore(old)
