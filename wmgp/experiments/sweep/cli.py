"""The command `wmgp sweep`."""

import sys
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ...errors import InputError, require_extra

if TYPE_CHECKING:
    from .presets import Sweep

MULTI_VALUE_OPTIONS = ("--methods", "--amounts", "--seeds")  # each takes values up to the next option
RANGE_LIMIT = 100_000

Values = list[str] | None


class Command(TyperCommand):
    """A command whose `MULTI_VALUE_OPTIONS` take several values: `--methods l1 random`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, repeat_options(args))


def repeat_options(args: list[str]) -> list[str]:
    """Return the arguments with `--methods l1 random` as `--methods l1 --methods random`."""
    out, option = [], ""
    for arg in args:
        if arg.startswith("--"):
            option = arg
        elif option in MULTI_VALUE_OPTIONS and out[-1] != option:
            out.append(option)
        out.append(arg)
    return out


def sweep(
    out: Annotated[Path, typer.Option(help="Table of results, NAME.csv: created, or extended by the missing rows.")],
    preset: Annotated[
        str | None, typer.Option(help="paper, cpu, quick (two minutes, needs no downloads) or tiny.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="lenet5, lenet_small, resnet18, vgg11_bn or mobilenet_v2.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="digits, mnist, fashion_mnist or cifar10; default: digits.")] = None,
    methods: Annotated[Values, typer.Option(help="l1 random l1_local l1_normalized lamp; default: l1 random.")] = None,
    amounts: Annotated[
        Values,
        typer.Option(help="Amounts (pruned share, 0 to 1), or START:STOP:STEP, ends included; default: 0:1:0.05."),
    ] = None,
    seeds: Annotated[Values, typer.Option(help="Seeds, or FIRST-LAST; default: 0-9.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Recipe of the parent: reference, strong or imagenet; default: the network's.")
    ] = None,
    tuning_epochs: Annotated[int | None, typer.Option(min=0, help="Epochs of fine-tuning; default: 1.")] = None,
    tuning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of fine-tuning; default: the recipe's, 0.001 in the paper.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; default: one per CPU core, or 1 on a GPU.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or another device of torch.")] = "auto",
    backend: Annotated[str, typer.Option(help="loky (local processes), dask or ray.")] = "loky",
) -> None:
    """Train, prune and fine-tune networks, and add the results to a table. Run it again to continue."""
    if backend not in ("loky", "dask", "ray"):
        raise InputError(f"--backend {backend}: expected loky, dask or ray")
    if network is None and preset is None:
        raise InputError("--network or --preset: expected one of them")
    _check_out(out)
    overrides = {
        "methods": tuple(methods) if methods else None,
        "amounts": parse_amounts(amounts) if amounts else None,
        "seeds": parse_seeds(seeds) if seeds else None,
        "data": data,
        "recipe": recipe,
        "tuning_epochs": tuning_epochs,
        "tuning_rate": tuning_rate,
    }
    sweeps = _sweeps(preset, network, {name: value for name, value in overrides.items() if value is not None})
    with require_extra("experiments"):
        from ..._histogram.blocks import count_cores
        from ..training.loop import choose_device
        from . import runner
        from .progress import show_progress
    if jobs is None:
        jobs = 1 if choose_device(device).type != "cpu" else count_cores()
    with show_progress() as progress, _plain_warnings():
        rows = runner.run(sweeps, out, jobs, device, backend, progress)
    print(f"{rows} rows added to {out}" if rows else f"{out} has every row already")


def _check_out(out: Path) -> None:
    """Raise InputError before any training if `out` cannot be a table."""
    if out.exists() and not out.is_file():
        raise InputError(f"--out {out}: expected a table, NAME.csv; this is a folder, a device or a pipe")
    if out.suffix.lower() != ".csv":
        raise InputError(f"--out {out}: expected a table, NAME.csv; its provenance goes to NAME.json beside it")


def _sweeps(preset: str | None, network: str | None, overrides: dict[str, Any]) -> "list[Sweep]":
    """Return the preset's sweeps, only those of `network` if it is given, with the fields in `overrides`."""
    from dataclasses import replace

    from .presets import PRESETS, Sweep

    if preset is None:
        return [Sweep(network or "", **overrides)]
    if preset not in PRESETS:
        raise InputError(f"--preset {preset}: expected one of {', '.join(PRESETS)}")
    sweeps = [sweep for sweep in PRESETS[preset] if network in (None, sweep.network)]
    if not sweeps:
        raise InputError(f"--network {network}: not in preset {preset}")
    return [replace(sweep, **overrides) for sweep in sweeps]


def parse_amounts(values: list[str]) -> tuple[float, ...]:
    """Return the amounts of values such as "0:1:0.25" or "0.9", rounded to ten digits to give exactly 0.1.

    Raises InputError if a value is not in [0, 1] or not START:STOP:STEP.
    """
    amounts: list[float] = []
    for value in values:
        try:
            first, *rest = (float(part) for part in value.split(":"))
            last, step = rest or (first, 1.0)
            count = (last - first) / step
            if not (0 <= first <= last <= 1 and step > 0 and count < RANGE_LIMIT):
                raise ValueError
        except (ValueError, ZeroDivisionError):
            message = "expected shares in [0, 1], or START:STOP:STEP such as 0:1:0.05"
            raise InputError(f"--amounts {value}: {message}") from None
        amounts += [round(first + i * step, 10) for i in range(int(count + 1e-9) + 1)]
    return tuple(dict.fromkeys(amounts))


def parse_seeds(values: list[str]) -> tuple[int, ...]:
    """Return the seeds of values such as "0-3" or "7". Raises InputError for any other text."""
    seeds: list[int] = []
    for value in values:
        first, dash, last = value.partition("-")
        numbers = (first, last) if dash else (first, first)
        if not all(number.isdecimal() and number.isascii() for number in numbers):
            raise InputError(f"--seeds {value}: expected whole numbers, or FIRST-LAST such as 0-9")
        low, high = map(int, numbers)
        if low > high:
            raise InputError(f"--seeds {value}: expected FIRST-LAST with FIRST not above LAST")
        if high - low >= RANGE_LIMIT:
            raise InputError(f"--seeds {value}: expected at most {RANGE_LIMIT:,} seeds")
        seeds += range(low, high + 1)
    return tuple(dict.fromkeys(seeds))


@contextmanager
def _plain_warnings() -> Generator[None, None, None]:
    """Print warnings as one line, without their location in the source."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *where: print(f"warning: {message}", file=sys.stderr)
        yield
