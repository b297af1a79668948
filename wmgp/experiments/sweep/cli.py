"""The command `wmgp sweep`: its options, and how far it is."""

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

MANY = ("--methods", "--amounts", "--seeds")  # each takes several values, up to the next option
RANGE_LIMIT = 100_000

Words = list[str] | None


class Command(TyperCommand):
    """A command whose options in `MANY` may be followed by several values: `--methods l1 random`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, repeated(args))


def repeated(args: list[str]) -> list[str]:
    """`--methods l1 random` as `--methods l1 --methods random`."""
    out, option = [], ""
    for arg in args:
        if arg.startswith("--"):
            option = arg
        elif option in MANY and out[-1] != option:
            out.append(option)
        out.append(arg)
    return out


def sweep(
    out: Annotated[Path, typer.Option(help="The table of results, NAME.csv, made or added to.")],
    preset: Annotated[
        str | None, typer.Option(help="paper, cpu, quick (two minutes, no data needed), or tiny.")
    ] = None,
    network: Annotated[
        str | None, typer.Option(help="lenet5, lenet_small, resnet18, vgg11_bn or mobilenet_v2.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="digits, mnist, fashion_mnist or cifar10; default: digits.")] = None,
    methods: Annotated[Words, typer.Option(help="l1 random l1_local l1_normalized lamp; default: l1 random.")] = None,
    amounts: Annotated[
        Words, typer.Option(help="Shares, or START:STOP:STEP with both ends; default: 0:1:0.05.")
    ] = None,
    seeds: Annotated[Words, typer.Option(help="Numbers, or FIRST-LAST; default: 0-9.")] = None,
    recipe: Annotated[
        str | None, typer.Option(help="reference, strong or imagenet; default: the network's usual one.")
    ] = None,
    tuning_epochs: Annotated[int | None, typer.Option(min=0, help="Epochs of fine-tuning; default: 1.")] = None,
    tuning_rate: Annotated[
        float | None, typer.Option(help="Learning rate of fine-tuning; default: the recipe's, 0.001 as published.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Processes at a time; default: one a core, on a GPU one for several jobs.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or as torch names it.")] = "auto",
    backend: Annotated[str, typer.Option(help="loky (processes here), dask or ray.")] = "loky",
) -> None:
    """Train networks, prune them, fine-tune them, and add what comes of it to a table; start it again to go on."""
    if backend not in ("loky", "dask", "ray"):
        raise InputError(f"--backend {backend}: expected loky, dask or ray")
    if network is None and preset is None:
        raise InputError("--network or --preset: expected one of them")
    _check_out(out)
    given = {
        "methods": tuple(methods) if methods else None,
        "amounts": _amounts(amounts) if amounts else None,
        "seeds": _seeds(seeds) if seeds else None,
        "data": data,
        "recipe": recipe,
        "tuning_epochs": tuning_epochs,
        "tuning_rate": tuning_rate,
    }
    chosen = _sweeps(preset, network, {name: value for name, value in given.items() if value is not None})
    with require_extra("experiments"):
        from ..._histogram.measurement import cores
        from ..training.loop import choose_device
        from . import runner
        from .progress import show_progress
    if jobs is None:
        jobs = 1 if choose_device(device).type != "cpu" else cores()
    with show_progress() as progress, _plain_warnings():
        rows = runner.run(chosen, out, jobs, device, backend, progress)
    print(f"{rows} rows added to {out}" if rows else f"{out} has every row already")


def _check_out(out: Path) -> None:
    """Raise InputError for what can be no table, before anything is trained."""
    if out.exists() and not out.is_file():
        raise InputError(f"--out {out}: expected a table, NAME.csv; this is a folder, a device or a pipe")
    if out.suffix.lower() != ".csv":
        raise InputError(f"--out {out}: expected a table, NAME.csv; its provenance goes to NAME.json beside it")


def _sweeps(preset: str | None, network: str | None, given: dict[str, Any]) -> "list[Sweep]":
    """The preset's sweeps, of one network where that is named, with what was given in place of their own."""
    from dataclasses import replace

    from .presets import PRESETS, Sweep

    if preset is None:
        return [Sweep(network or "", **given)]
    if preset not in PRESETS:
        raise InputError(f"--preset {preset}: expected one of {', '.join(PRESETS)}")
    sweeps = [each for each in PRESETS[preset] if network in (None, each.network)]
    if not sweeps:
        raise InputError(f"--network {network}: not in preset {preset}")
    return [replace(each, **given) for each in sweeps]


def _amounts(words: list[str]) -> tuple[float, ...]:
    """0:1:0.25 or 0 0.5 0.9 as amounts, rounded to ten digits so that 0.1 is 0.1."""
    found: list[float] = []
    for word in words:
        try:
            first, *rest = (float(part) for part in word.split(":"))
            last, step = rest or (first, 1.0)
            count = (last - first) / step
            if not (0 <= first <= last <= 1 and step > 0 and count < RANGE_LIMIT):
                raise ValueError
        except (ValueError, ZeroDivisionError):
            message = "expected shares in [0, 1], or START:STOP:STEP such as 0:1:0.05"
            raise InputError(f"--amounts {word}: {message}") from None
        found += [round(first + i * step, 10) for i in range(int(count + 1e-9) + 1)]
    return tuple(dict.fromkeys(found))


def _seeds(words: list[str]) -> tuple[int, ...]:
    """0-3 or 0 1 7 as seeds."""
    found: list[int] = []
    for word in words:
        first, dash, last = word.partition("-")
        numbers = (first, last) if dash else (first, first)
        if not all(number.isdecimal() and number.isascii() for number in numbers):
            raise InputError(f"--seeds {word}: expected whole numbers, or FIRST-LAST such as 0-9")
        low, high = map(int, numbers)
        if low > high:
            raise InputError(f"--seeds {word}: expected FIRST-LAST with FIRST not above LAST")
        if high - low >= RANGE_LIMIT:
            raise InputError(f"--seeds {word}: expected at most {RANGE_LIMIT:,} seeds")
        found += range(low, high + 1)
    return tuple(dict.fromkeys(found))


@contextmanager
def _plain_warnings() -> Generator[None, None, None]:
    """A warning is a line for the reader, without the place in the source where it arose."""
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *where: print(f"warning: {message}", file=sys.stderr)
        yield
