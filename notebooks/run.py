"""Run the notebooks through papermill: ``python notebooks/run.py [NAME ...] [-p NAME VALUE] [--out FOLDER]``.

A notebook is written as ``NN_name.py`` and published as ``NN_name.ipynb``: the same cells with their outputs. Without
``--out`` the published file is refreshed at the default parameters. Two runs write the same bytes: times, random cell
ids and versions of Python are removed. The names of the recorded results that the notebook read are written to its
metadata, as ``results``.

Once ``_config.yml`` has the project's address, a cell after the parameters fetches and installs the project where the
package is missing, as on Colab.
"""

import argparse
import json
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
RANDOM_NAME = re.compile(r"\bT_([0-9a-f]{5})(?=[_\W])")  # pandas' ids of styled tables
FETCH = """\
# If the project is missing, as on Colab, clone and install it. `-e` because the folder `studies` is not in the wheel.
import importlib.util, os, subprocess, sys

if importlib.util.find_spec("studies") is None:
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", "{address}", "project"], check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", "./project[experiments]"], check=True)
    importlib.invalidate_caches()
    sys.path.insert(0, os.path.abspath("project"))  # a running kernel does not see an editable install
    os.chdir("project/notebooks")"""
# Runs after the notebook's own cells and is removed again. It imports nothing that the notebook did not import.
LIST_USED_FILES = """\
import json, sys
print(json.dumps(sorted(getattr(sys.modules.get("wmgp.experiments.results.used_files"), "names", ()))))"""
CELL_METADATA = ("tags", "mystnb")  # the keys that stay, as in jupytext.toml


def sources(names: list[str] | None = None) -> list[Path]:
    """Return the notebooks' ``.py`` sources in the book's order, or those with the given names.

    A name without a notebook is a ValueError.
    """
    paths = {path.stem: path for path in sorted(HERE.glob("[0-9][0-9]_*.py"))}
    for name in names or []:
        if name not in paths:
            raise ValueError(f"no notebook is called {name!r}: there are {', '.join(paths)}")
    return [paths[name] for name in names or paths]


def read_source(source: Path) -> nbformat.NotebookNode:
    """Return the notebook of a ``.py`` source, without outputs, for the standard kernel."""
    notebook = jupytext.read(source, fmt="py:percent")
    notebook.metadata["kernelspec"] = dict(KERNEL)
    if address := project_address():
        places = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
        cell = nbformat.v4.new_code_cell(FETCH.format(address=address), metadata={"tags": ["remove-cell"]})
        notebook.cells[places[0] + 1 : places[0] + 1] = [cell]
    return notebook


def project_address() -> str:
    """Return the address where the project is published, or ""."""
    config = yaml.safe_load((HERE.parent / "_config.yml").read_text(encoding="utf-8"))
    return config["sphinx"]["config"]["project_address"]


def parameters(notebook: Path) -> dict[str, dict[str, str]]:
    """Return papermill's view of the parameters of an ``.ipynb``: name -> inferred type, default, help."""
    return {name: dict(parameter) for name, parameter in papermill.inspect_notebook(str(notebook)).items()}


def check(source: Path, names: Iterable[str]) -> None:
    """Raise a ValueError if the notebook lacks a parameter of one of the names, which papermill would only log."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = Path(folder, source.stem + ".ipynb")
        nbformat.write(read_source(source), notebook)
        known = parameters(notebook)
    for name in names:
        if name not in known:
            raise ValueError(f"{source.stem} has no parameter {name!r}: it has {', '.join(known)}")


def run(source: Path, out: Path, values: dict[str, Any] | None = None, progress: bool = False) -> None:
    """Run ``source`` (``.py``) in its own folder and write the executed, stripped notebook to ``out`` (``.ipynb``).

    ``values`` replace the parameters with the same names; an unknown name is a ValueError. A cell that fails raises
    papermill's PapermillExecutionError and leaves ``out`` unchanged.
    """
    check(source, values or {})
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder, source.stem + ".ipynb"), Path(folder, source.stem + ".out.ipynb")
        notebook = read_source(source)
        notebook.cells.append(nbformat.v4.new_code_cell(LIST_USED_FILES))
        nbformat.write(notebook, before)
        papermill.execute_notebook(before, after, values, cwd=source.parent, progress_bar=progress)
        notebook = nbformat.read(after, as_version=4)
        outputs = notebook.cells.pop().outputs
        printed = next(output.text for output in outputs if output.get("name") == "stdout")
        notebook.metadata["results"] = json.loads(printed)
        notebook = strip(notebook)
    temporary = out.with_suffix(".part")
    nbformat.write(notebook, temporary)
    temporary.replace(out)


def strip(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Remove everything that differs between two runs of the same cells on two machines."""
    kept = {"results": notebook.metadata["results"]} if "results" in notebook.metadata else {}
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}, **kept})
    for i, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{i}"
        metadata = {key: cell.metadata[key] for key in CELL_METADATA if cell.metadata.get(key)}
        cell.metadata = nbformat.from_dict(metadata)
        if cell.cell_type == "code":
            cell.outputs = join_streams(cell.outputs)
            for output in cell.outputs:
                if "text/html" in output.get("data", {}):
                    output.data["text/html"] = number_names(output.data["text/html"])
    return notebook


def number_names(text: str) -> str:
    """Replace pandas' random ids of styled tables by numbers in order of appearance."""
    numbers: dict[str, int] = {}
    return RANDOM_NAME.sub(lambda name: f"T_{numbers.setdefault(name[1], len(numbers)):05}", text)


def join_streams(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Join neighbouring pieces of printed text, whose ends depend on the machine's speed."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        before = joined[-1] if joined else None
        if before and output.output_type == before.output_type == "stream" and output.name == before.name:
            before.text += output.text
        else:
            joined.append(output)
    return joined


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(description="Run the notebooks and write them with their outputs.")
    parser.add_argument("names", nargs="*", help="01_l1_is_optimal, ... (default: all)")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to (default: beside the sources)")
    options = parser.parse_args(arguments)
    if options.p and options.out == HERE:
        parser.error("-p needs --out: the published notebooks have the default parameters")
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
