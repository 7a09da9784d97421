"""The precision of networks, and the scopes that set it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from test_step import batches, system
from torch import Tensor

from vcbench.training.cell import Recipe
from vcbench.training.precision import float32_products


def losses(folder: Path, precision: str) -> list[dict[str, Tensor]]:
    gan = system("one-d", folder, torch.float32, precision=precision)
    return [gan.step(*b, i) for i, b in enumerate(batches(torch.float32)[:4])]


def test_bf16_computes_otherwise_and_nearly_the_same(tmp_path: Path) -> None:
    exact, rounded = losses(tmp_path, "float32"), losses(tmp_path, "bf16")
    for a, b in zip(exact, rounded, strict=True):
        assert all(value.dtype == torch.float32 for value in b.values())
        assert any(not torch.equal(a[name], b[name]) for name in a)
        for name, value in a.items():
            torch.testing.assert_close(b[name], value, rtol=0.05, atol=0.02)


def test_bf16_keeps_weights_and_gradients_in_float32(tmp_path: Path) -> None:
    gan = system("one-d", tmp_path, torch.float32, precision="bf16")
    gan.step(*batches(torch.float32)[0], 0)
    assert {p.dtype for p in gan.networks.parameters()} == {torch.float32}
    assert {p.grad.dtype for p in gan.networks.parameters() if p.grad is not None} == {
        torch.float32
    }
    found = gan.validate(*batches(torch.float32)[1])
    assert {value.dtype for value in found.values()} == {torch.float32}


def test_tf32_is_float32_on_a_cpu(tmp_path: Path) -> None:
    torch.testing.assert_close(
        losses(tmp_path, "tf32"), losses(tmp_path, "float32"), rtol=0, atol=0
    )


@pytest.mark.parametrize(("precision", "rounded"), [("float32", False), ("tf32", True)])
def test_the_scope_sets_what_gpus_do_and_restores_it(precision: str, rounded: bool) -> None:
    def now() -> tuple[bool, bool]:
        return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32

    before = now()
    recipe = Recipe.from_json(
        {"iterations": 1, "adam_betas": [0.5, 0.9], "loss_stages": [], "precision": precision}
    )
    with pytest.raises(KeyError), float32_products(recipe):
        assert now() == (rounded, rounded)
        raise KeyError
    assert now() == before
