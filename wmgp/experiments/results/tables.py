"""Tables of measurements that grow by one row at a time: NAME.csv, with the provenance of its runs in NAME.json."""

import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...errors import InputError
from . import used_files
from .array_files import locked
from .provenance import current_key, provenance, settings_key

COLUMNS = (
    *("network", "data", "seed", "method", "amount", "epochs"),
    *("accuracy_parent", "accuracy_pruned", "accuracy", "loss_pruned", "loss", "cosine_pruned", "cosine"),
    *("agreement", "js", "cka", "min_survival", "seconds", "device", "run"),
)
SWEEP = (*COLUMNS, "loss_parent")  # columns of a sweep's table; other experiments have other columns
TEXT = {"network", "data", "pool", "method", "rule", "variant", "moved", "device", "run"}
WHOLE = {"seed", "epochs", "parent_epochs"}
SHARES = {"amount", "accuracy_parent", "accuracy_pruned", "accuracy", "agreement", "min_survival"}  # in [0, 1]
Cell = str | int | float


def locate(name: str) -> Path:
    """Return the path of results/`name` in the working directory or the nearest folder above that has it.

    Raises InputError if no folder has it.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (path := folder / "results" / name).is_file():
            used_files.record(path)
            return path
    raise InputError(f"results/{name}: expected in {here} or in a folder above it")


def append_row(table: str | Path, row: Mapping[str, Cell], unless: Sequence[str] = ()) -> None:
    """Add `row` (`COLUMNS` and any others) to the table; create the table with its header if it is missing.

    One write under a lock lets processes share a table. A row with the same cells in the columns `unless` is not added
    again. If the disk is full, the table stays unchanged. A last line without a newline, left by an interrupted write,
    is removed first. Raises InputError if the columns differ from the table's.
    """
    if missing := [name for name in COLUMNS if name not in row]:
        raise InputError(f"{table}: a row without the column {missing[0]}")
    with locked(table) as file:
        file.seek(0)
        text = file.read()
        size = text.rfind(b"\n") + 1
        file.truncate(size)
        if not size:
            return _write(file, _line(row) + _line(row.values()), size)
        header = _split(text[: text.index(b"\n")].decode(), table, 1)
        if header != list(row):
            raise InputError(f"{table}: expected a row of the columns {', '.join(header)}; got {', '.join(row)}")
        line = _line(row.values())
        if not unless or not _has(text[:size].decode(), line, [header.index(name) for name in unless]):
            _write(file, line, size)


def _has(text: str, line: str, places: list[int]) -> bool:
    """Return True if the text has a line with the same cells in those columns."""
    (wanted,) = csv.reader([line])
    return any(all(cells[i : i + 1] == [wanted[i]] for i in places) for cells in csv.reader(text.splitlines()))


def _line(cells: Iterable[Cell]) -> str:
    """Return a line of the table; floats have the shortest form that reads back as the same number."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow([repr(float(c)) if isinstance(c, float) else c for c in cells])
    if out.getvalue().count("\n") != 1:
        raise InputError(f"{out.getvalue()!r}: expected a row of one line")
    return out.getvalue()


def _write(file: io.FileIO, line: str, size: int) -> None:
    """Append the line to the file of `size` bytes; if that fails, restore this size and raise OSError."""
    data = line.encode()
    try:
        if file.write(data) != len(data):
            raise OSError(f"{file.name}: no room for another row")
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def read(table: str | Path) -> pd.DataFrame:
    """Return the table, one row per job: text, int64 and float64 columns.

    Raises InputError, naming the line, if one is corrupt or has a share outside [0, 1] or a run without provenance. A
    last line without a newline, left by an interrupted write, is omitted.
    """
    try:
        lines = Path(table).read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{table}: {error}") from error
    if not lines:
        raise InputError(f"{table}: expected a header line")
    used_files.record(table)
    header, runs = _split(lines[0], table, 1), provenance(table)
    if missing := [name for name in COLUMNS if name not in header]:
        raise InputError(f"{table}, line 1: expected a column {missing[0]}")
    rows = [_parsed(header, line, table, number) for number, line in enumerate(lines[1:], start=2)]
    for number, row in enumerate(rows, start=2):
        if row["run"] not in runs:
            raise InputError(f"{table}, line {number}: run {row['run']!r} has no provenance beside the table")
    return pd.DataFrame(rows, columns=pd.Index(header))


def with_facts(table: str | Path) -> pd.DataFrame:
    """Return the table of a sweep with the further columns `start`, `date` and `parent_sha256` of each run."""
    rows, runs = read(table), provenance(table)
    facts = {name: [runs[run][name] for run in rows["run"]] for name in ("start", "date", "parent_sha256")}
    return rows.assign(**facts)


def sweeps(folder: str | Path) -> list[tuple[str, pd.DataFrame]]:
    """Return the sweeps recorded in a folder: table name, and rows (`with_facts`).

    A sweep's rows have the same network, data set, start and number of epochs.
    """
    found = []
    for path in sorted(Path(folder).glob("*.csv")):
        header = next(csv.reader(path.read_text(encoding="utf-8").splitlines()[:1]), [])
        if header == list(SWEEP):
            parts = with_facts(path).groupby(["network", "data", "start", "epochs"], sort=True)
            found += [(path.name, part) for _, part in parts]
    return found


def has_rows(table: str | Path) -> bool:
    """Return True if the table exists and is not empty."""
    return Path(table).exists() and Path(table).stat().st_size > 0


def has_measured(table: str | Path, settings: Mapping[str, Any], **cells: Cell) -> bool:
    """Return True if the table has a row with these cells, of a run with these settings (see `settings_key`)."""
    if not has_rows(table):
        return False
    rows, runs = read(table), provenance(table)
    key = current_key(settings)
    equal = rows["run"].map(lambda run: settings_key(runs[run]) == key)
    for name, cell in cells.items():
        equal &= rows[name] == cell
    return bool(equal.any())


def _parsed(header: list[str], line: str, table: str | Path, number: int) -> dict[str, Cell]:
    """Return a line as a row of typed cells. Raises InputError, naming the line, for an invalid cell."""
    cells = _split(line, table, number)
    if len(cells) != len(header):
        raise InputError(f"{table}, line {number}: expected {len(header)} columns, found {len(cells)}")
    row: dict[str, Cell] = {}
    for name, cell in zip(header, cells, strict=True):
        try:
            row[name] = cell if name in TEXT else int(cell) if name in WHOLE else float(cell)
        except ValueError:
            raise InputError(f"{table}, line {number}: {name} is {cell!r}, expected a number") from None
        if name in SHARES and not 0 <= float(cell) <= 1:
            raise InputError(f"{table}, line {number}: {name} is {cell}, expected 0 to 1")
    return row


def _split(line: str, table: str | Path, number: int) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error as error:
        raise InputError(f"{table}, line {number}: {error}") from error
