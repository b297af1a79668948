"""The command line: `wmgp analyze`, `wmgp prune`, `wmgp sweep` and `wmgp claims`."""

import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from . import __version__
from .errors import InputError, printable
from .experiments.claims import cli as claims_cli
from .experiments.sweep import cli
from .report import format_number

if TYPE_CHECKING:
    from .analysis import Analysis
    from .pruning_methods import FlatMasks

PLOT_ENDINGS = (".png", ".pdf", ".svg", ".jpg", ".webp")
POOL_HELP = "What may be pruned: weight_bias (tensors so named), weights (2 dimensions or more), or all."
KEY_HELP = "Where a torch file nests its state dict; needed only when it holds several."

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A .safetensors or torch file, an index of shards, or their folder.")
]
PoolOption = Annotated[str, typer.Option(help=POOL_HELP)]
KeyOption = Annotated[str | None, typer.Option(help=KEY_HELP)]

app = typer.Typer(add_completion=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 2 bad input (one line on stderr), 130 interrupted, 143 terminated."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names come from files, and terminals differ
    sys.exit(_run(arguments))


@contextmanager
def _handle_signals() -> Generator[None, None, None]:
    """Have Ctrl-C stop the threads that read a file too, not the one that waits for them alone.

    What `kill` sends does the same, or a sweep's workers and a prune's hidden folder would be left.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # which alone may
        return

    def stop(number: int, *_: object) -> None:
        if stored := sys.modules.get("wmgp.io.safetensors_files"):
            stored.interrupted.set()
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) not in (signal.SIG_IGN, None)]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if stored := sys.modules.get("wmgp.io.safetensors_files"):
            stored.interrupted.clear()


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
    except BrokenPipeError:  # whoever read the output has seen enough
        _discard_output()
        return 1
    except OSError as error:  # above all a full disk, of the output or of what was compiled
        _discard_output()
        return _print_error(f"{error.filename or 'output'}: cannot be written: {error.strerror or error}")
    except Exception as error:
        usage = getattr(error, "format_message", None)  # click's, or that of the click inside newer typers
        if usage is None:
            raise
        return _print_error(f"{usage().rstrip('.')}; see wmgp --help")


def _discard_output() -> None:
    """Throw away what could not be written, or Python would try once more at its end."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # it is no file
        pass


def _print_error(message: str) -> int:
    print(f"wmgp: error: {printable(message)}", file=sys.stderr)
    return 2


def _print_version(wanted: bool) -> bool:
    if wanted:
        print(f"wmgp {__version__}")
        raise typer.Exit
    return wanted


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
    amounts: Annotated[int, typer.Option(min=2, max=1_000_001, help="Grid points on [0, 1].")] = 101,
    key: KeyOption = None,
    tensors: Annotated[bool, typer.Option("--tensors", help="A table of the tensors too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object and nothing else.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help=f"Draw the front to a file, new or old: {', '.join(PLOT_ENDINGS)}.")
    ] = None,
) -> None:
    """Show how much of SOURCE can be pruned, and at which cosine similarity to what it was."""
    if plot is not None and plot.suffix.lower() not in PLOT_ENDINGS:
        raise InputError(f"{plot}: expected an ending in {', '.join(PLOT_ENDINGS)}")
    analysis = _analyze(source, amounts, pool, key)
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
    method: Annotated[
        str, typer.Option(help="l1, l1_local (each tensor by itself), l1_normalized, lamp, or random.")
    ] = "l1",
    pool: PoolOption = "weight_bias",
    key: KeyOption = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of random pruning.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it exists.")] = False,
) -> None:
    """Write SOURCE to OUT with the smallest weights at zero; names, dtypes, shapes and metadata stay."""
    from .amounts import parse_amount
    from .io.checkpoints import open_checkpoint
    from .io.writing import check_out, save_pruned
    from .parameters import collect
    from .pruning_methods import iter_masks
    from .similarity import cosine_similarity

    choose = parse_amount(amount, method)
    with _prefix_errors_with(source):
        checkpoint = open_checkpoint(source, key)
        parameters = collect(checkpoint.tensors, pool)
    check_out(checkpoint, out, force)
    analysis = _analyze(source, 101, pool, key)
    point = choose(analysis)
    pruned: list[int] = []
    with _progress("pruning") as update:
        masks = iter_masks(parameters, point.amount, method, seed)
        save_pruned(checkpoint, out, _count_pruned(masks, analysis.n_prunable, pruned, update), force)
    if method == "l1":
        found = f"cosine {point.cosine:.4f}, threshold {format_number(point.threshold, '.4g')}"
    else:  # the analysis is of L1: measure what was written
        cosine = cosine_similarity(checkpoint.tensors, open_checkpoint(out, key).tensors)
        found = f"cosine {0 if isnan(cosine) else cosine:.4f}"  # nothing kept has none, and the front calls it 0
    n = sum(pruned)
    print(f"pruned {n:,} of {analysis.n_prunable:,} values ({n / analysis.n_prunable:.4f}) by {method}: {found}")
    alone = ": the shards and their index alone, so copy the other files yourself" if out.is_dir() else ""
    print(f"wrote {printable(str(out))}{alone}")


app.command(cls=cli.Command)(cli.sweep)
app.command()(claims_cli.claims)


def _analyze(source: str, amounts: int, pool: str, key: str | None) -> "Analysis":
    from .analysis import analyze

    with _prefix_errors_with(source), _progress("analyzing") as update:
        return analyze(source, amounts, pool, key, progress=update)


@contextmanager
def _prefix_errors_with(source: str) -> Generator[None, None, None]:
    """Put the file before an error that names only a tensor."""
    try:
        yield
    except InputError as error:
        path = Path(source)
        named = str(error).startswith(tuple(map(printable, (f"{path}:", f"{path}/", f"{path.name}:"))))
        raise error if named else InputError(f"{path}: {error}") from error


def _print_report(analysis: "Analysis", tensors: bool) -> None:
    """Rich tables in a terminal; aligned lines in a file or a pipe, however long."""
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
    """Write the figure whole or not at all."""
    from .plotting import save

    try:
        save(analysis.plot(), path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def _progress(what: str) -> Generator[Callable[[int, int], None], None, None]:
    """A bar on stderr, if that is a terminal, from the second second on; it leaves no trace."""
    began, bar, task = monotonic(), None, None

    def update(done: int, total: int) -> None:
        nonlocal bar, task
        if bar is None and sys.stderr.isatty() and monotonic() - began > 1:
            from rich.console import Console
            from rich.progress import Progress

            bar = Progress(console=Console(stderr=True), transient=True)
            task = bar.add_task(what)
            bar.start()
        if bar is not None and task is not None:
            bar.update(task, completed=done, total=total)

    try:
        yield update
    finally:
        if bar is not None:
            bar.stop()


def _count_pruned(masks: "FlatMasks", total: int, pruned: list[int], update: Callable[[int, int], None]) -> "FlatMasks":
    """The masks, with the number that each prunes put on the list and the progress told."""
    done = 0
    for name, kept in masks:
        yield name, kept
        pruned.append(int(kept.size - kept.sum()))
        done += kept.size
        update(done, total)
