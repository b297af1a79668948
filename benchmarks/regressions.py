"""Report ratios of the benchmarks that became worse; the exit status does not depend on them.

`python -m benchmarks.regressions BEFORE AFTER` compares the benchmark tables of two folders row by row: the same case,
against the same peer. Ratios depend on the machine, so check the hardware of both tables before you believe a line.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path

from wmgp.errors import InputError, exit_on_input_error

THRESHOLD = 1.25  # times as bad as before: smaller changes are not reported
# Table -> key columns, column of the ratio, and whether a larger ratio is better.
TABLES = {
    "benchmark.csv": (("case", "peer"), "ratio", True),
    "benchmark_sizes.csv": (("what", "values", "peer"), "ratio", True),
    "benchmark_device.csv": (("what", "values"), "ratio", True),
    "benchmark_sweep.csv": (("case", "data", "device"), "ratio", True),
    "benchmark_browser.csv": (("dtype", "parameters"), "ratio", False),
}


def find_regressions(before: Path, after: Path) -> Iterator[str]:
    """Yield a line for each ratio of a table that became worse, and for each missing row."""
    key, ratio, larger = TABLES[after.name]
    was, now = (_read_ratios(path, key, ratio) for path in (before, after))
    for case, old in was.items():
        name = f"{after.name}: {', '.join(case)}"
        if case not in now:
            yield f"{name}: not measured any more"
        elif (old / now[case] if larger else now[case] / old) >= THRESHOLD:
            yield f"{name}: the ratio was {old:.3g} and is {now[case]:.3g}"


def _read_ratios(path: Path, key: tuple[str, ...], ratio: str) -> dict[tuple[str, ...], float]:
    """Return the ratio of each row of a table. InputError if the file is not such a table."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            found = {tuple(row[name] for name in key): float(row[ratio]) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: expected a benchmark's table, with {', '.join((*key, ratio))} ({error})") from error
    if not all(value > 0 and math.isfinite(value) for value in found.values()):
        raise InputError(f"{path}: expected ratios above zero")
    return found


@exit_on_input_error
def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser("python -m benchmarks.regressions", description="Ratios, then and now.")
    parser.add_argument("before", type=Path, help="a folder of tables")
    parser.add_argument("after", type=Path, help="the folder of the same tables, measured again")
    chosen = parser.parse_args(arguments)
    both = [name for name in TABLES if all((folder / name).is_file() for folder in (chosen.before, chosen.after))]
    lines = [line for name in both for line in find_regressions(chosen.before / name, chosen.after / name)]
    print("\n".join(lines) or f"No ratio of {', '.join(both) or 'any table'} is {THRESHOLD:g} times as bad as before.")


if __name__ == "__main__":
    main()
