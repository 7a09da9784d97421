"""What one cell is given, as `vcbench run` is told."""

from __future__ import annotations

import argparse

import pytest

from vcbench.cli import main, resource_arguments
from vcbench.engines import Resources
from vcbench.errors import UsageError
from vcbench.parallel import threads_per_job
from vcbench.shards import Shard


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    resource_arguments.add(parser)
    return parser.parse_args(arguments)


def test_nothing_is_bounded_that_was_not_asked_for() -> None:
    args = parsed()
    for device, gpus in (("cpu", 0.0), ("cuda", 1.0)):
        found = resource_arguments.resources_of(args, device=device, jobs=2)
        assert found == Resources(threads_per_job(2), gpus)
    assert (args.shard, args.retry_failed, resource_arguments.options_of(args)) == (None, False, {})


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1.5m", 90), ("2min", 120), ("6h", 21600), ("2d", 172800)]
)
def test_times(text: str, seconds: float) -> None:
    assert parsed("--timeout", text).timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("512B", 512), ("1KB", 1000), ("1.5KiB", 1536), ("8GB", 8 * 10**9), ("8 GiB", 2**33)],
)
def test_amounts_of_memory(text: str, size: int) -> None:
    assert parsed("--memory", text).memory == size


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--timeout", "6"], "'6' is not a time such as 90s"),
        (["--timeout", "0h"], "'0h' is not a time such as"),
        (["--timeout", "-1h"], "expected one argument"),
        (["--timeout", "nan h"], "'nan h' is not a time"),
        (["--timeout", "9" * 400 + "h"], "is not a time such as"),
        (["--memory", "8 apples"], "'8 apples' is not an amount of memory such as 512MB"),
        (["--shard", "0/4"], "'0/4' is not a part i/n with i from 1 to n, such as 1/4"),
        (["--shard", "5/4"], "'5/4' is not a part"),
        (["--shard", "1"], "'1' is not a part"),
    ],
)
def test_what_is_no_quantity_is_told(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "demo", *arguments])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "device", "message"),
    [
        (["--cpus", "0"], "cpu", "--cpus 0: must be at least 1"),
        (["--gpus", "1"], "cpu", "--gpus 1: cells train on the cpu; use --device cuda"),
        (["--gpus", "2"], "cuda", "--gpus 2: must be above 0 and at most 1"),
        (["--gpus", "nan"], "cuda", "--gpus nan: must be above 0 and at most 1"),
    ],
)
def test_what_cannot_be_given(arguments: list[str], device: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resource_arguments.resources_of(parsed(*arguments), device=device, jobs=1)


def test_options_of_an_engine() -> None:
    args = parsed("--engine-option", "address=ray://a:1", "--engine-option", "b=c=d")
    assert resource_arguments.options_of(args) == {"address": "ray://a:1", "b": "c=d"}
    for wrong in (["address"], ["=auto"], ["a=1", "a=2"]):
        several = [part for text in wrong for part in ("--engine-option", text)]
        with pytest.raises(UsageError, match="--engine-option"):
            resource_arguments.options_of(parsed(*several))


def test_all_that_was_asked_for_is_given() -> None:
    args = parsed("--cpus", "3", "--gpus", "0.5", "--memory", "1GB", "--timeout", "1h")
    found = resource_arguments.resources_of(args, device="cuda", jobs=7)
    assert found == Resources(3, 0.5, 10**9, 3600.0)
    assert parsed("--shard", "2/3").shard == Shard(2, 3)
