"""Run the notebooks through papermill: ``python notebooks/run.py [NAME ...] [-p NAME VALUE] [--out FOLDER]``.

A notebook is written as ``NN_name.py`` and published as ``NN_name.ipynb``, the same cells with their outputs. Without
``--out`` the published file is refreshed, at the default parameters. What changes from run to run by itself (times,
cell ids, versions of Python) is left out of what is written, so that two runs differ by nothing.

Once ``_config.yml`` names the project's address, a cell is put in after the parameters: where the package is missing,
as on Colab, it fetches the project and installs it.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import papermill
import yaml

HERE = Path(__file__).resolve().parent
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
CHANCE = re.compile(r"\bT_([0-9a-f]{5})(?=[_\W])")  # the names that pandas gives its styled tables
FETCH = """\
# Where the package is missing, as on Colab, the project is fetched and installed.
import importlib.util, os, subprocess, sys

if importlib.util.find_spec("wmgp") is None:
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{address}", "project"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "./project[experiments]"], check=True)
    importlib.invalidate_caches()
    os.chdir("project/notebooks")"""
KEPT = ("tags", "mystnb")  # of a cell's metadata, as in jupytext.toml


def sources(names: list[str] | None = None) -> list[Path]:
    """The notebooks' ``.py`` sources in the book's order, or those whose names are given; a wrong name is an error."""
    found = {path.stem: path for path in sorted(HERE.glob("[0-9][0-9]_*.py"))}
    for name in names or []:
        if name not in found:
            raise ValueError(f"no notebook is called {name!r}: there are {', '.join(found)}")
    return [found[name] for name in names or found]


def read_source(source: Path) -> nbformat.NotebookNode:
    """The notebook of a ``.py`` source, without outputs, for the standard kernel."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata["kernelspec"] = dict(KERNEL)
    if address := project_address():
        places = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
        cell = nbformat.v4.new_code_cell(FETCH.format(address=address), metadata={"tags": ["remove-cell"]})
        notebook.cells[places[0] + 1 : places[0] + 1] = [cell]
    return notebook


def project_address() -> str:
    """Where the project is published; nothing while it is nowhere."""
    config = yaml.safe_load((HERE.parent / "_config.yml").read_text(encoding="utf-8"))
    return config["sphinx"]["config"]["project_address"]


def parameters(notebook: Path) -> dict[str, dict[str, str]]:
    """What papermill finds in the cell tagged ``parameters`` of an ``.ipynb``: name -> inferred type, default, help."""
    return {name: dict(found) for name, found in papermill.inspect_notebook(str(notebook)).items()}


def check(source: Path, names: Iterable[str]) -> None:
    """ValueError where the notebook has no parameter of one of the names, which papermill would pass over."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = Path(folder, source.stem + ".ipynb")
        nbformat.write(read_source(source), notebook)
        known = parameters(notebook)
    for name in names:
        if name not in known:
            raise ValueError(f"{source.stem} has no parameter {name!r}: it has {', '.join(known)}")


def run(source: Path, out: Path, values: dict[str, Any] | None = None, progress: bool = False) -> None:
    """Run ``source`` (``.py``) in its own folder and write the executed, stripped notebook to ``out`` (``.ipynb``).

    ``values`` replace the parameters of the same name; another name is a ValueError. A cell that fails raises
    papermill's PapermillExecutionError, and ``out`` stays as it was.
    """
    check(source, values or {})
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, source.stem + ".ipynb"), Path(folder, source.stem + ".out.ipynb")
        nbformat.write(read_source(source), before)
        papermill.execute_notebook(before, after, values, cwd=source.parent, progress_bar=progress)
        notebook = strip(nbformat.read(after, as_version=4))
    temporary = out.with_suffix(".part")
    nbformat.write(notebook, temporary)
    temporary.replace(out)


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without what differs between two runs of the same cells on two machines."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"
        cell.metadata = nbformat.from_dict({key: cell.metadata[key] for key in KEPT if cell.metadata.get(key)})
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)
            for output in cell.outputs:
                if "text/html" in output.get("data", {}):
                    output.data["text/html"] = number_names(output.data["text/html"])
    return notebook


def number_names(text: str) -> str:
    """A styled table named by its order, where pandas names it by chance."""
    numbers: dict[str, int] = {}
    return CHANCE.sub(lambda name: f"T_{numbers.setdefault(name[1], len(numbers)):05}", text)


def join_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Neighbouring pieces of printed text as one: where the pieces were cut depends on the machine's speed."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if before and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
        else:
            joined.append(output)
    return joined


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Run the notebooks and write them with their outputs.")
    parser.add_argument("names", nargs="*", help="01_l1_is_optimal, ...; all of them where none is named")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to (default: beside the sources)")
    options = parser.parse_args(arguments)
    if options.p and options.out == HERE:
        parser.error("-p needs --out: the published notebooks are the ones at the default parameters")
    values = {name: yaml.safe_load(value) for name, value in options.p}
    try:
        chosen = sources(options.names)
        for source in chosen:
            check(source, values)
        options.out.mkdir(parents=True, exist_ok=True)
        for i, source in enumerate(chosen, 1):
            print(f"[{i}/{len(chosen)}] {source.stem}", flush=True)
            run(source, options.out / f"{source.stem}.ipynb", values, progress=True)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except papermill.PapermillExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
