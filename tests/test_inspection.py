"""Layer tables and multiply-accumulates: by hand, and against PyTorch's counter."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vcbench.inspection import count_macs, inspect_network, layer_table


def mcep(frames: int = 20, batch: int = 1) -> Tensor:
    return torch.zeros(batch, 24, frames)


class Swish(nn.Module):
    """A leaf that PyTorch does not know."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class Derived(nn.Conv1d):
    """A layer of PyTorch's under another name."""


def test_a_table_by_hand() -> None:
    network = nn.Sequential(
        Derived(24, 8, 5, stride=2, padding=2), nn.InstanceNorm1d(8, affine=True), Swish()
    )
    first, second = layer_table(network, mcep())
    assert first.to_json() == {
        "name": "0",
        "op": "Conv1d",
        "kernel": "5",
        "stride": "2",
        "channels": "24->8",
        "shuffle": "",
        "norm": "IN affine",
        "activation": "",
        "output": "8x10",
        "parameters": 24 * 8 * 5 + 8 + 16,
        "macs": 10 * 8 * 24 * 5,
    }
    assert (second.op, second.kernel, second.channels, second.parameters) == ("Swish", "", "", 0)
    assert (second.macs, second.output) == (0, "8x10")


class PixelShuffle1d(nn.Module):
    """A plugin's own, told by its name."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (-1, 2)).transpose(2, 3).flatten(2)


def summary(network: nn.Module, frames: int = 20) -> list[tuple[str, ...]]:
    rows = layer_table(network, mcep(frames))
    return [(row.op, row.shuffle, row.norm, row.activation, row.output) for row in rows]


def test_what_follows_a_layer_stands_in_its_row() -> None:
    network = nn.Sequential(
        nn.Conv1d(24, 16, 1), PixelShuffle1d(), nn.Identity(), nn.InstanceNorm1d(8), nn.GLU(1)
    )
    expected = ("Conv1d", "PixelShuffle", "IN", "GLU", "4x40")
    assert summary(network) == [expected]


def test_another_order_than_shuffle_norm_activation_has_rows_of_its_own() -> None:
    network = nn.Sequential(nn.Conv1d(24, 8, 1), nn.ReLU(inplace=True), nn.InstanceNorm1d(8))
    assert summary(network) == [
        ("Conv1d", "", "", "ReLU", "8x20"),
        ("InstanceNorm1d", "", "", "", "8x20"),
    ]
    twice = nn.Sequential(nn.Conv1d(24, 8, 1), nn.ReLU(), nn.Tanh())
    assert [row[0] for row in summary(twice)] == ["Conv1d", "Tanh"]


def test_what_stands_behind_a_sum_is_not_the_convolution_s() -> None:
    class Added(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv1d(24, 24, 1), nn.InstanceNorm1d(24)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x + self.conv(x))

    assert [row[0] for row in summary(Added())] == ["Conv1d", "InstanceNorm1d"]


def test_branches_keep_their_own_followers() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value, self.gate = nn.Conv1d(24, 8, 1), nn.Conv1d(24, 8, 3, padding=1)
            self.norms = nn.ModuleList([nn.InstanceNorm1d(8, affine=True), nn.BatchNorm1d(8)])
            self.sigmoid = nn.Sigmoid()

        def forward(self, x: Tensor) -> Tensor:
            value, gate = self.value(x), self.gate(x)
            return self.norms[0](value) * self.sigmoid(self.norms[1](gate))

    rows = layer_table(Branches(), mcep())
    assert [(r.name, r.norm, r.activation) for r in rows] == [
        ("value", "IN affine", ""),
        ("gate", "BatchNorm", "Sigmoid"),
    ]
    assert [r.parameters for r in rows] == [24 * 8 + 8 + 16, 24 * 8 * 3 + 8 + 16]


def test_a_network_without_memory_is_described_alike() -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv1d(24, 8, 3), nn.GLU(1), nn.Conv1d(4, 24, 1))

    class LooksAtValues(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            assert not bool((x > 0).any())  # which the meta device cannot tell
            return super().forward(x)

    seen = inspect_network(build, n_mcep=24, frames=20)
    assert seen == inspect_network(lambda: LooksAtValues(*build()), n_mcep=24, frames=20)
    assert seen.parameters == 24 * 8 * 3 + 8 + 4 * 24 + 24 == sum(r.parameters for r in seen.layers)
    assert seen.macs == 18 * (24 * 8 * 3 + 4 * 24) == sum(r.macs for r in seen.layers)
    assert inspect_network(build, n_mcep=24, frames=20, layers=False).layers == []


def test_two_dimensions() -> None:
    network = nn.Sequential(nn.Unflatten(1, (1, 24)), nn.Conv2d(1, 4, (6, 3), stride=(1, 2)))
    row = layer_table(network, mcep(21))[1]
    assert (row.kernel, row.stride, row.output) == ("6x3", "1x2", "4x19x10")
    assert row.macs == 4 * 19 * 10 * 6 * 3


def test_rows_come_in_the_order_of_calls_with_names_of_modules() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(3, 3)
            self.last = nn.Conv1d(24, 24, 1)
            self.inner = nn.Sequential(nn.Conv1d(24, 24, 3, padding=1), nn.Identity())

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.inner(self.inner(x)))

    network = Twice()
    rows = layer_table(network, mcep())
    assert [row.name for row in rows] == ["inner.0", "inner.0", "last"]
    # Called twice, it works twice, but its parameters are there once.
    assert [row.macs for row in rows] == [24 * 24 * 3 * 20, 24 * 24 * 3 * 20, 24 * 24 * 20]
    assert [row.parameters for row in rows] == [24 * 24 * 3 + 24, 0, 24 * 24 + 24]
    assert sum(row.macs for row in rows) == count_macs(network, mcep())


def test_frozen_parameters_do_not_count() -> None:
    network = nn.Conv1d(24, 4, 1)
    network.bias.requires_grad_(False)
    assert layer_table(nn.Sequential(network), mcep())[0].parameters == 96


LAYERS: list[nn.Module] = [
    *(
        nn.Conv1d(24, 8, k, stride=s, padding=p, dilation=d, groups=g)
        for k, s, p, d, g in product((1, 4), (1, 3), (0, 2), (1, 2), (1, 4))
    ),
    *(
        nn.ConvTranspose1d(24, 8, k, stride=s, padding=p, output_padding=s - 1, groups=g)
        for k, s, p, g in product((3, 4), (1, 2, 3), (0, 1), (1, 4))
    ),
    nn.ConvTranspose1d(24, 8, 3, stride=2, padding=1),
]


@pytest.mark.parametrize("batch", [1, 3])
def test_one_dimensional_layers_count_as_pytorch_counts(batch: int) -> None:
    for layer in LAYERS:
        network, inputs = nn.Sequential(layer), mcep(batch=batch)
        assert layer_table(network, inputs)[0].macs == count_macs(network, inputs) > 0, layer


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 6, (4, 3), stride=(2, 1), padding=(1, 2)),
        nn.ConvTranspose2d(1, 6, (4, 3), stride=(2, 3), padding=(1, 0)),
        nn.Linear(20, 7),
        nn.Linear(20, 7, bias=False),
    ],
    ids=str,
)
def test_other_layers_count_as_pytorch_counts(layer: nn.Module) -> None:
    network, inputs = nn.Sequential(nn.Unflatten(1, (1, 24)), layer), mcep(batch=2)
    assert layer_table(network, inputs)[1].macs == count_macs(network, inputs) > 0


def test_products_outside_of_layers_are_counted() -> None:
    class Attention(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ (x.transpose(1, 2) @ x)

    assert count_macs(Attention(), mcep(20)) == 2 * 24 * 20 * 20


def test_a_layer_that_returns_its_state_as_well() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(24, 6, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x.transpose(1, 2))[0]

    (row,) = layer_table(Recurrent(), mcep(20))
    assert (row.op, row.output) == ("LSTM", "20x6")
    assert row.parameters == 4 * 6 * (24 + 6 + 2)


def test_looking_leaves_a_network_as_it_was() -> None:
    network = nn.Sequential(nn.Conv1d(24, 24, 1), nn.Dropout(0.5)).train()
    calls: list[Any] = []
    layer_table(network, mcep())
    count_macs(network, mcep())
    network[0].register_forward_hook(lambda *_: calls.append(1))
    network(mcep())
    assert len(calls) == 1
    assert not any(m._forward_hooks for m in (network, network[1]))
    assert len(network[0]._forward_hooks) == 1
    assert network.training
    assert all(p.grad is None for p in network.parameters())


def test_hooks_go_even_if_the_network_fails() -> None:
    network = nn.Sequential(nn.Conv1d(24, 24, 1), nn.Conv1d(3, 3, 1))
    with pytest.raises(RuntimeError, match="expected input"):
        layer_table(network, mcep())
    assert not network[0]._forward_hooks
