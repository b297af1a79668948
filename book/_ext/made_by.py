"""Below each figure of a notebook's page, folded away: its cell, the command that draws it again, what it rests on.

That is the files of ``results/`` that the notebook's code names or whose readers it calls, each with the commits that
measured it, and the commit from which the book is built, where that is a checkout.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path

import nbformat
from docutils import nodes
from recorded import short
from sphinx.application import Sphinx

from wmgp.experiments.results.provenance import measured_by
from wmgp.experiments.results.tables import sweeps

PARENTS = "parents"
FILES = re.compile(r"[\w-]+\*?\.(?:csv|json|npz|txt)")  # a file's name, or the pattern of several
# What a notebook may call that knows by itself which files it reads.
READERS = {"lenet5": PARENTS, "lenet5_seeds": PARENTS, "records": PARENTS, "report": "mobilenet_v2.json"}


def trees(notebook: Path) -> Iterator[ast.AST]:
    """Every node of the syntax of a notebook's code."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if cell.cell_type == "code":
            yield from ast.walk(ast.parse(cell.source))


all_sweeps = cache(sweeps)  # once a build


def named(node: ast.AST, folder: Path) -> list[str]:
    """The names in the folder of what a piece of code stands for."""
    if isinstance(node, ast.Attribute):
        if node.attr == "sweeps":
            return sorted({name for name, _ in all_sweeps(folder)})
        return [READERS[node.attr]] if node.attr in READERS else []
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return []
    text = node.value.strip()
    if text.partition("/")[0] == PARENTS:
        return [PARENTS]
    return sorted(path.name for path in folder.glob(text)) if FILES.fullmatch(text) else []


def reads(notebook: Path, folder: Path) -> list[str]:
    """The names in `folder` of what a notebook reads, in the order in which its code comes to them."""
    return list(dict.fromkeys(name for node in trees(notebook) for name in named(node, folder)))


@cache
def commits(path: Path) -> list[str]:
    """The commits that measured a file, or the records in a folder; none where nothing was measured."""
    records = path.rglob("*-seed*.json") if path.is_dir() else [path.with_suffix(".json")]
    found = set()
    for said in (json.loads(record.read_text(encoding="utf-8")) for record in records if record.is_file()):
        runs = [said] if "commit" in said else list(said.values())
        found |= {measured_by(run) for run in runs if isinstance(run, dict) and run.get("commit")}
    return sorted(found)


@cache
def built_from(source: Path) -> str:
    """The commit of the checkout in which the book's sources lie; "" where they lie in none of this project."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=source, capture_output=True, text=True)
        return done.stdout.strip()

    try:
        top = git("rev-parse", "--show-toplevel")
        ours = top and all((Path(top) / name).exists() for name in ("notebooks/run.py", "wmgp/__init__.py"))
        return git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty") if ours else ""
    except OSError:  # no git
        return ""


def linked(commit: str, address: str) -> str:
    """A commit as a page shows it, a link where the project has an address."""
    text = f"<code>{escape(short(commit))}</code>"
    return f'<a href="{address}/commit/{commit.partition("-")[0]}">{text}</a>' if address else text


def words(docname: str, cell: int | None, files: dict[str, list[str]], built: str, address: str) -> str:
    """What is below a figure; `files` are the names of what the notebook reads, with their commits."""
    lines = [
        f"<p>Cell [{cell or ' '}] of <code>{docname}.ipynb</code>, drawn again by</p>"
        f"<pre>make notebooks ONLY={Path(docname).name}</pre>"
    ]
    if files:
        items = "".join(
            f"<li><code>results/{escape(name)}</code>"
            + (", measured at commit " + ", ".join(linked(commit, address) for commit in found) if found else "")
            + "</li>"
            for name, found in files.items()
        )
        lines.append(f"<p>The notebook reads</p><ul>{items}</ul>")
    else:
        lines.append("<p>The notebook reads no recorded results.</p>")
    if built:
        lines.append(f"<p>This page was built at commit {linked(built, address)}.</p>")
    return f'<details class="made"><summary>How this was made</summary>{"".join(lines)}</details>'


def add(app: Sphinx, doctree: nodes.document) -> None:
    """Put it below the output of each cell that drew a figure."""
    docname = app.env.docname
    notebook, results = Path(app.srcdir, f"{docname}.ipynb"), Path(app.srcdir, "results")
    cells = [cell for cell in doctree.findall(nodes.container) if cell.get("nb_element") == "cell_code"]
    drawn = [cell for cell in cells if cell.next_node(nodes.image)]
    if not drawn or not notebook.is_file():
        return
    files = {name: commits(results / name) for name in reads(notebook, results)}
    for name in files:
        app.env.note_dependency(str(results / name))
    built = built_from(Path(app.srcdir))
    for cell in drawn:
        text = words(docname, cell.get("exec_count"), files, built, app.config.project_address)
        cell += nodes.raw("", text, format="html")


def setup(app: Sphinx):
    """Register the step."""
    app.connect("doctree-read", add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
