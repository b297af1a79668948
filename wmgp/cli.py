"""The command line: `wmgp analyze`, `wmgp prune`, `wmgp sweep` and `wmgp claims`."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from . import __version__
from .errors import InputError, printable
from .experiments.claims import cli as claims_cli
from .experiments.sweep import cli as sweep_cli

if TYPE_CHECKING:
    from .analysis import Analysis
    from .pruning_methods import FlatMasks

PLOT_ENDINGS = (".png", ".pdf", ".svg", ".jpg", ".webp")
POOL_HELP = "The prunable tensors: weight_bias (named weight or bias), weights (2 or more dimensions), or all."
INCLUDE_HELP = "Prune the tensors with these names too, also if they look like buffers; repeatable."
EXCLUDE_HELP = "Do not prune the tensors with these names; repeatable."
KEY_HELP = "The key of the state dict in a torch file; needed only if it holds several."

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A .safetensors or torch file, an index of shards, or their folder.")
]
PoolOption = Annotated[str, typer.Option(help=POOL_HELP)]
IncludeOption = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=INCLUDE_HELP)]
ExcludeOption = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=EXCLUDE_HELP)]
KeyOption = Annotated[str | None, typer.Option(help=KEY_HELP)]

app = typer.Typer(add_completion=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 2 bad input (one line on stderr), 130 interrupted, 143 terminated."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names from files may not fit the terminal's encoding
    sys.exit(_run(arguments))


@contextmanager
def _handle_signals() -> Generator[None, None, None]:
    """On Ctrl-C and `kill`, also stop the threads that read files, and raise in the main thread.

    Without a handler, `kill` would leave a sweep's workers and a prune's temporary folder behind.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can set signal handlers
        return

    def stop(number: int, *_: object) -> None:
        if reader := sys.modules.get("wmgp.io.safetensors_files"):
            reader.interrupted.set()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    signals = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    previous = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if reader := sys.modules.get("wmgp.io.safetensors_files"):
            reader.interrupted.clear()


def _run(arguments: Sequence[str] | None) -> int:
    try:
        with _handle_signals():
            code = typer.main.get_command(app).main(arguments, prog_name="wmgp", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except InputError as error:
        return _print_error(str(error))
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except MemoryError:
        return _print_error("not enough memory")
    except BrokenPipeError:  # the reader of the output has exited
        _discard_output()
        return 1
    except OSError as error:  # usually a full disk: of the output, or of numba's cache
        _discard_output()
        return _print_error(f"{error.filename or 'output'}: cannot be written: {error.strerror or error}")
    except Exception as error:
        format_message = getattr(error, "format_message", None)  # click's usage errors; newer typers vendor click
        if format_message is None:
            raise
        return _print_error(f"{format_message().rstrip('.')}; see wmgp --help")


def _discard_output() -> None:
    """Redirect stdout to the null device, or Python would try to flush it again at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # stdout is not a file
        pass


def _print_error(message: str) -> int:
    print(f"wmgp: error: {printable(message)}", file=sys.stderr)
    return 2


def _print_version(requested: bool) -> bool:
    if requested:
        print(f"wmgp {__version__}")
        raise typer.Exit
    return requested


@app.callback()
def _wmgp(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="The version.")
    ] = False,
) -> None:
    """How much of a neural network can be pruned, from its weights alone."""


@app.command()
def analyze(
    source: Source,
    pool: PoolOption = "weight_bias",
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    amounts: Annotated[int, typer.Option(min=2, max=1_000_001, help="Grid points on [0, 1].")] = 101,
    key: KeyOption = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="Also print the table of tensors.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help=f"Draw the front to a file (replaced if it exists): {', '.join(PLOT_ENDINGS)}.")
    ] = None,
) -> None:
    """Show how much of SOURCE can be pruned, and at which cosine similarity to the unpruned network."""
    if plot is not None and plot.suffix.lower() not in PLOT_ENDINGS:
        raise InputError(f"{plot}: expected an ending in {', '.join(PLOT_ENDINGS)}")
    analysis = _analyze(source, amounts, pool, include or (), exclude or (), key)
    if plot is not None:
        _save_plot(analysis, plot)
    if json:
        print(analysis.to_json())
    else:
        _print_report(analysis, tensors)


@app.command()
def prune(
    source: Source,
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="The pruned checkpoint, in the same format; a folder for shards.")
    ],
    amount: Annotated[str, typer.Option(help="optimal, safe, careful, a share such as 0.7, or cosine=0.99.")],
    method: Annotated[str, typer.Option(help="l1, l1_local (per tensor), l1_normalized, lamp, or random.")] = "l1",
    pool: PoolOption = "weight_bias",
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
    key: KeyOption = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of random pruning.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
) -> None:
    """Write SOURCE to OUT with the smallest weights set to zero; names, dtypes, shapes and metadata stay."""
    from .amounts import parse_amount
    from .diagnostics import fully_pruned_warnings, warnings_before_prune
    from .io.checkpoints import open_checkpoint
    from .io.writing import check_out, save_pruned
    from .parameters import collect, collect_with_warnings
    from .pruning_methods import iter_masks
    from .reparametrizations import stored_masks
    from .report import format_number
    from .similarity import cosine_similarity

    point_of = parse_amount(amount, method)
    with _prefix_errors_with(source):
        checkpoint = open_checkpoint(source, key)
        parameters = collect(checkpoint.tensors, pool, None, include or (), exclude or ())
    check_out(checkpoint, out, force)
    analysis = _analyze(source, 101, pool, include or (), exclude or (), key)
    point = point_of(analysis)
    _print_warnings(warnings_before_prune(analysis, point.n_pruned, method))
    counts: dict[str, int] = {}
    with _progress("pruning") as update:
        masks = iter_masks(parameters, point.amount, method, seed)
        masks = _count_pruned(masks, analysis.n_prunable, counts, update)
        save_pruned(checkpoint, out, stored_masks(parameters, masks), force)
    if method == "l1":
        result = f"cosine {point.cosine:.4f}, threshold {format_number(point.threshold, '.4g')}"
    else:  # the analysis knows the cosine of L1 only: measure the written file
        measured = {row["name"] for row in analysis.to_dict()["tensors"]}  # without tensors with NaN or infinity
        written = collect_with_warnings(open_checkpoint(out, key).tensors)  # a pruned tensor can look like a buffer
        before, after = ([p for p in each if p.name in measured] for each in
                         (parameters, written.parameters + written.buffers))  # fmt: skip
        cosine = cosine_similarity(before, after)
        result = f"cosine {0 if isnan(cosine) else cosine:.4f}"  # nan if nothing is kept; the front has 0 there
    n = sum(counts.values())
    print(f"pruned {n:,} of {analysis.n_prunable:,} values ({n / analysis.n_prunable:.4f}) by {method}: {result}")
    fully_pruned = [p.name for p in parameters if p.n and counts.get(p.name) == p.n]
    _print_warnings(fully_pruned_warnings("this", fully_pruned))
    note = ": the shards and their index only, copy the other files yourself" if out.is_dir() else ""
    print(f"wrote {printable(str(out))}{note}")


app.command(cls=sweep_cli.Command)(sweep_cli.sweep)
app.command()(claims_cli.claims)


def _analyze(
    source: str, amounts: int, pool: str, include: Sequence[str], exclude: Sequence[str], key: str | None
) -> "Analysis":
    from .analysis import analyze

    with _prefix_errors_with(source), _progress("analyzing") as update:
        return analyze(source, amounts, pool, include, exclude, key, progress=update)


def _print_warnings(warnings: Iterable[str]) -> None:
    from .report import short_warnings

    for warning in short_warnings(list(warnings)):
        print(f"warning: {warning}")


@contextmanager
def _prefix_errors_with(source: str) -> Generator[None, None, None]:
    """Put the file's name before an error message that lacks it."""
    try:
        yield
    except InputError as error:
        path = Path(source)
        has_name = str(error).startswith(tuple(map(printable, (f"{path}:", f"{path}/", f"{path.name}:"))))
        raise error if has_name else InputError(f"{path}: {error}") from error


def _print_report(analysis: "Analysis", tensors: bool) -> None:
    """Print rich tables to a terminal, and aligned lines to a file or a pipe."""
    from . import report

    if not sys.stdout.isatty():
        print(report.text(analysis))
        if tensors:
            print(f"\n{report.tensors_text(analysis)}")
        return
    from rich.console import Console

    console = Console()
    console.print(report.summary(analysis))
    if tensors:
        console.print(report.tensors(analysis, console.width))


def _save_plot(analysis: "Analysis", path: Path) -> None:
    """Draw the front to a file, atomically."""
    from .plotting import save

    try:
        save(analysis.plot(), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _progress(description: str) -> Generator[Callable[[int, int], None], None, None]:
    """Show a progress bar on stderr after one second, if stderr is a terminal; clear it at the end."""
    start, bar, task = monotonic(), None, None

    def update(done: int, total: int) -> None:
        nonlocal bar, task
        if bar is None and sys.stderr.isatty() and monotonic() - start > 1:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            task = bar.add_task(description)
            bar.start()
        if bar is not None and task is not None:
            bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        if bar is not None:
            bar.stop()


def _count_pruned(
    masks: "FlatMasks", total: int, counts: dict[str, int], update: Callable[[int, int], None]
) -> "FlatMasks":
    """Yield the masks, set `counts` to the number of values that each tensor loses, and report progress."""
    done = 0
    for name, kept in masks:
        yield name, kept
        counts[name] = int(kept.size - kept.sum())
        done += kept.size
        update(done, total)
