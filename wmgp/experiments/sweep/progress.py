"""Progress of a resumable experiment on stderr: bars with the time left in a terminal, lines elsewhere."""

import sys
from collections.abc import Generator
from contextlib import contextmanager

from .resume import Progress


@contextmanager
def show_progress() -> Generator[Progress, None, None]:
    """Yield a function for `resume`'s argument `progress`; without a terminal it prints a line when a part is done."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console, bars = Console(stderr=True), {}
    if not console.is_terminal:  # some versions of rich end even a disabled bar with an empty line
        yield _print_when_done
        return
    columns = *Bars.get_default_columns(), TextColumn("left,"), MofNCompleteColumn(), TextColumn("in")
    with Bars(*columns, TimeElapsedColumn(), console=console) as shown:

        def update(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = shown.add_task(what, total=total)
            shown.update(bars[what], completed=done, total=total)

        yield update


def _print_when_done(what: str, done: int, total: int) -> None:
    if done == total:
        print(f"{what}: {total} done", file=sys.stderr)
