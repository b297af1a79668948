"""Add a folded note below each figure of a notebook: its cell, the command that redraws it, and the results it uses.

The results are the files of `results/` that the notebook read when it was run. `notebooks/run.py` writes their names
into the notebook's metadata. The note gives the commits that measured each file, and the commit of the build.
"""

import json
import subprocess
from functools import cache
from html import escape
from pathlib import Path

import nbformat
from docutils import nodes
from recorded_results import short_commit
from sphinx.application import Sphinx

from wmgp.experiments.results.provenance import measured_by


def results_read(notebook: Path) -> list[str] | None:
    """Return the names in `results/` that a notebook read, or None if its run did not record them."""
    return nbformat.read(notebook, as_version=4).metadata.get("results")


@cache
def measured_at(path: Path) -> list[str]:
    """Return the commits that measured a file, or the files in a folder; an empty list if none is recorded."""
    records = path.rglob("*-seed*.json") if path.is_dir() else [path.with_suffix(".json")]
    commits = set()
    for content in (json.loads(record.read_text(encoding="utf-8")) for record in records if record.is_file()):
        runs = [content] if "commit" in content else list(content.values())
        commits |= {measured_by(run) for run in runs if isinstance(run, dict) and run.get("commit")}
    return sorted(commits)


@cache
def build_commit(source: Path) -> str:
    """Return the commit of this project's checkout that holds the book's sources, or "" outside one."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=source, capture_output=True, text=True).stdout.strip()

    try:
        top = git("rev-parse", "--show-toplevel")
        ours = top and all((Path(top) / name).exists() for name in ("notebooks/run.py", "wmgp/__init__.py"))
        return git("describe", "--always", "--abbrev=40", "--exclude=*", "--dirty") if ours else ""
    except OSError:  # no git
        return ""


def commit_html(commit: str, address: str) -> str:
    """Return the short commit, linked if the project has an address."""
    text = f"<code>{escape(short_commit(commit))}</code>"
    return f'<a href="{address}/commit/{commit.partition("-")[0]}">{text}</a>' if address else text


def note_html(docname: str, cell: int | None, files: dict[str, list[str]] | None, commit: str, address: str) -> str:
    """Return the note; `files` maps each result that the notebook read to the commits that measured it."""
    lines = [
        f"<p>Cell [{cell or ' '}] of <code>{docname}.ipynb</code>. This command draws it again:</p>"
        f"<pre>make notebooks ONLY={Path(docname).name}</pre>"
    ]
    if files:
        items = "".join(
            f"<li><code>results/{escape(name)}</code>"
            + (", measured at commit " + ", ".join(commit_html(one, address) for one in commits) if commits else "")
            + "</li>"
            for name, commits in files.items()
        )
        lines.append(f"<p>The notebook reads</p><ul>{items}</ul>")
    elif files is None:
        lines.append("<p>The results that the notebook reads are not recorded.</p>")
    else:
        lines.append("<p>The notebook reads no recorded results.</p>")
    if commit:
        lines.append(f"<p>This page was built at commit {commit_html(commit, address)}.</p>")
    return f'<details class="provenance"><summary>How this was made</summary>{"".join(lines)}</details>'


def add_notes(app: Sphinx, doctree: nodes.document) -> None:
    """Put a note below each cell that drew a figure."""
    docname = app.env.docname
    notebook, results = Path(app.srcdir, f"{docname}.ipynb"), Path(app.srcdir, "results")
    cells = [cell for cell in doctree.findall(nodes.container) if cell.get("nb_element") == "cell_code"]
    drawing = [cell for cell in cells if cell.next_node(nodes.image)]
    if not drawing or not notebook.is_file():
        return
    names = results_read(notebook)
    files = None if names is None else {name: measured_at(results / name) for name in names}
    for name in files or {}:
        app.env.note_dependency(str(results / name))
    commit = build_commit(Path(app.srcdir))
    for cell in drawing:
        text = note_html(docname, cell.get("exec_count"), files, commit, app.config.project_address)
        cell += nodes.raw("", text, format="html")


def setup(app: Sphinx):
    """Register the step."""
    app.connect("doctree-read", add_notes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
