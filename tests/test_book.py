"""The book: both builds, every page in a browser, and the directives for recorded results."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from books import DESK, PHONE, ROOT, SOURCES, build, documents, html_files, small_book

from wmgp.experiments.results.array_files import write_arrays
from wmgp.experiments.results.tables import SWEEP
from wmgp.report import OUTCOMES

pytestmark = pytest.mark.slow

IMAGES = {"image/svg+xml", "image/png"}


@pytest.fixture(scope="module")
def made() -> Path:
    """The pages of ``make book``, if it was run on these sources."""
    pages = ROOT / "_build" / "html"
    if not (pages / "index.html").is_file():
        pytest.skip("no book in _build: `make book` has not been run")
    sources = [f for name in SOURCES for f in [ROOT / name, *(ROOT / name).rglob("*")] if f.is_file()]
    written = (pages / "index.html").stat().st_mtime
    if any(f.stat().st_mtime > written for f in sources if "__pycache__" not in f.parts):
        pytest.skip("the book in _build is older than its sources: run `make book` again")
    return pages


@pytest.fixture
def pages(request) -> Path:
    """The pages of the build in the test's parameters."""
    return request.getfixturevalue(request.param)


both = pytest.mark.parametrize("pages", ["plain", "made"], indirect=True)


@both
def test_every_page_of_the_contents_exists(pages):
    assert [name for name in documents() if not (pages / f"{name}.html").is_file()] == []
    assert f"{documents()[0]}.html" in (pages / "index.html").read_text()


@both
def test_every_notebook_is_published_with_its_outputs(pages):
    for name in [name for name in documents() if name.startswith("notebooks/")]:
        notebook = nbformat.read(pages / "_sources" / f"{name}.ipynb", as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        assert all(cell.execution_count for cell in code), name
        html = (pages / f"{name}.html").read_text()
        images = sum(not IMAGES.isdisjoint(out.get("data", {})) for cell in code for out in cell.outputs)
        assert html.count("_images/") >= images > 0, name


def test_a_plain_build_publishes_the_committed_notebooks_unchanged(plain):
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert (plain / "_sources" / "notebooks" / notebook.name).read_bytes() == notebook.read_bytes()


def test_the_parameters_tables_list_the_notebooks_parameters(plain):
    text = re.sub("<[^>]+>", "", (plain / "book" / "papermill.html").read_text())
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(notebook, as_version=4).cells
        cell = next(cell for cell in cells if "parameters" in cell.metadata.get("tags", []))
        names = re.findall(r"^(\w+)(?::[^=]+)? =", cell.source, re.MULTILINE)
        assert names and all(name in text.partition(notebook.stem)[2] for name in names), notebook.stem


def test_no_page_loads_from_another_host(plain):
    loads = re.compile(r"""<(?:script|img|iframe)[^>]+src=["'](?:https?:)?//|<link[^>]+href=["'](?:https?:)?//""")
    found = {page.name: loads.findall(page.read_text()) for page in plain.rglob("*.html")}
    assert {name: what for name, what in found.items() if what} == {}


def visit(browser, files: list[Path], viewport: dict[str, int], look) -> dict[str, list[Any]]:
    """Open each file and return the errors while it loaded and the result of ``look(page)``, by the file's name."""
    context = browser.new_context(viewport=viewport)
    page = context.new_page()
    wrong: list[str] = []
    page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or wrong.append(f"requests {r.url}"))
    page.on("requestfailed", lambda r: wrong.append(f"failed: {r.url}"))
    page.on("console", lambda m: m.type == "error" and wrong.append(f"console: {m.text}"))
    page.on("pageerror", lambda e: wrong.append(f"error: {e}"))
    report = {}
    for file in files:
        page.goto(file.as_uri(), wait_until="load")
        page.evaluate("window.MathJax ? MathJax.startup.promise.then(() => null) : null")
        page.wait_for_timeout(50)
        report[file.stem] = [*wrong, *look(page)]
        wrong.clear()
    context.close()
    return {name: found for name, found in report.items() if found}


@both
def test_pages_load_and_fit_a_phone(browser, pages):
    def look(page):
        width = page.evaluate("document.scrollingElement.scrollWidth")
        return [f"{width} pixels wide"] if width > PHONE["width"] else []

    assert visit(browser, html_files(pages), PHONE, look) == {}


@both
def test_pages_load_on_a_desktop_and_their_figures_have_alt_text(browser, pages):
    def look(page):
        alts = page.eval_on_selector_all(".bd-article img", "images => images.map(i => i.alt)")
        return [
            f"a figure without alt text: {alt!r}" for alt in alts if not alt.strip() or alt.endswith((".png", ".svg"))
        ]

    assert visit(browser, html_files(pages), DESK, look) == {}


def test_the_first_page_redirects_home_and_search_works_offline(browser, plain):
    page = browser.new_page()
    page.goto((plain / "index.html").as_uri())
    page.wait_for_url(f"**/{documents()[0]}.html")
    page.goto((plain / "search.html").as_uri() + "?q=kurtosis")
    page.wait_for_selector("#search-results li")
    page.close()


def test_a_wide_page_and_a_missing_image_are_reported(browser, tmp_path):
    (tmp_path / "bad.html").write_text("<div style='width: 900px'>x</div><img src='gone.png'>")
    width = "document.scrollingElement.scrollWidth"
    found = visit(browser, [tmp_path / "bad.html"], PHONE, lambda page: [page.evaluate(width)])
    assert found["bad"][-1] >= 900 and any("gone.png" in str(line) for line in found["bad"])


@pytest.mark.parametrize("address", ["", "https://github.com/Someone/wmgp"])
def test_the_address_is_one_setting(tmp_path, address):
    html = (build(small_book(tmp_path, "# A page\n\nIts first words.", address)) / "page.html").read_text()
    needed = ['property="og:url"', "https://someone.github.io/wmgp/page.html", "mybinder.org/v2/gh/Someone/wmgp/main"]
    assert [text in html for text in needed] == [bool(address)] * 3


RECORDED = """# A page

{result}`speed.csv | network=small | times | ,.0f` and {result}`facts.json | depth.best | .2f` stand in a line, and
{result}`facts.json | depth.ends.1 | .1f` and {result}`outcomes.json | networks.tuned | d` in the next.

```{results-table} speed.csv
:columns: network, times = times faster
:rows: device=cpu
:format: times = ,.1f

Both *networks*.
```

```{recorded-output} said.txt
```
"""


def test_recorded_values_are_shown_with_their_provenance(tmp_path):
    results = small_book(tmp_path, RECORDED) / "results"
    (results / "speed.csv").write_text("network,times,device,run\nsmall,12345.6,cpu,a\nlarge,,cpu,a\nlarge,1,cuda,b\n")
    runs = {"a": {"commit": "0123456789-dirty", "cpu": "A processor", "gpu": None, "threads": 2, "date": "2026-01-02"}}
    (results / "speed.json").write_text(json.dumps(runs | {"b": {"commit": "feed"}}))
    (results / "facts.json").write_text('{"depth": {"best": 0.456, "ends": [0, 2.25]}}')
    (results / "said.txt").write_text("$ wmgp <file>\n")
    text = re.sub("<[^>]+>|\n", "", (build(tmp_path) / "page.html").read_text())
    tuned = json.loads(OUTCOMES.read_text())["networks"]["tuned"]
    assert f"12,346 and 0.46 stand in a line, and2.2 and {tuned} in the next." in text and "$ wmgp &lt;file&gt;" in text
    assert "Both networks. From results/speed.csv: commit 0123456-dirty, on A processor, 2 threads, 2026-01-02." in text
    assert "networktimes fastersmall12,345.6large" in text.replace(" ", "").replace("timesfaster", "times faster")


def test_the_parents_table(tmp_path):
    """Seeds of one recipe share a row, other recipes have their own; JPEG copies of CIFAR-10 need the same accuracy."""
    text = "# A page\n\n```{parents-table}\nThe parents.\n```"
    parents = small_book(tmp_path, text) / "results" / "parents"
    common = {
        "network": "resnet18", "data": "cifar10-jpeg", "start": "scratch", "batch_size": 512, "learning_rate": 0.2,
        "device": "cpu", "cpu": "A processor", "gpu": None, "commit": "0123456789", "date": "2026-01-02",
    }  # fmt: skip
    cases = ((0, 15, 0.81, "600.0"), (1, 15, 0.83, "660.0"), (2, 3, 0.5, "120.0"))
    for seed, epochs, accuracy, seconds in cases:
        record = {**common, "seed": seed, "epochs": epochs, "accuracy": accuracy, "seconds": seconds}
        folder = parents / ("" if epochs == 15 else "0a0a0a0a")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"resnet18-cifar10-jpeg-seed{seed}.json").write_text(json.dumps(record))
    html = (build(tmp_path) / "page.html").read_text()
    rows = [re.findall(r"<td><p>(.*?)</p></td>", line) for line in re.findall(r"(?s)<tr.*?</tr>", html)][1:]
    alike = ["512", "0.2"]
    assert rows == [
        ["resnet18", "cifar10-jpeg", "scratch", "3", *alike, "1", "50.0%", "78%", "2.0", "cpu"],
        ["resnet18", "cifar10-jpeg", "scratch", "15", *alike, "2", "82.0% (81.0% to 83.0%)", "78%", "10.5", "cpu"],
    ]
    said = "The parents. From results/parents: commit 0123456, on A processor, 2026-01-02."
    assert said in re.sub("<[^>]+>", "", html)


def test_the_sweeps_table(tmp_path):
    text = "# A page\n\n```{sweeps-table}\nThe sweeps.\n```"
    results = small_book(tmp_path, text) / "results"
    names = ("network", "data", "seed", "method", "amount", "seconds", "device", "run")
    jobs = [("resnet18", "cifar10-jpeg", s, m, a, 1200, "cpu", "a") for s in (0, 1, 3) for m in ("l1", "random")
            for a in (0, 0.5, 1)]  # fmt: skip
    jobs += [("mobilenet_v2", "cifar10", 0, "lamp", a, 3600, "cuda", "b") for a in (0.3, 0.9)]
    jobs += [("mobilenet_v2", "imagenet-sample", 0, "l1", a, 180, "cpu", "c") for a in (0.5, 0.6)]
    lines = [",".join(SWEEP)]
    for job in jobs:
        epochs = {"epochs": {"a": 1, "b": 10, "c": 0}[job[-1]]}
        cells = dict.fromkeys(SWEEP, 1) | dict(zip(names, job, strict=True)) | epochs
        lines.append(",".join(str(cells[name]) for name in SWEEP))
    (results / "both.csv").write_text("\n".join(lines) + "\n")
    (results / "speed.csv").write_text("network,ratio,run\nsmall,1,a\n")
    starts = {"a": "scratch", "b": "IMAGENET1K_V1", "c": "IMAGENET1K_V1"}
    dates = {"a": "2026-01-02", "b": "2026-01-03", "c": "2026-01-04"}
    facts = {
        run: {"start": starts[run], "date": dates[run], "parent_sha256": "", "command": f"measure {starts[run]}"}
        for run in starts
    }
    (results / "both.json").write_text(json.dumps(facts))
    html = (build(tmp_path) / "page.html").read_text()
    rows = [re.findall(r"<td><p>(.*?)</p></td>", line) for line in re.findall(r"(?s)<tr.*?</tr>", html)][1:]
    start = "mobilenet_v2 from ImageNet"
    mobile = [start, "cifar10", "", "lamp", "0.3 0.9", "0", "10", "2", "2.0", "cuda", "2026-01-03"]
    untuned = [start, "imagenet-sample", "", "l1", "0.5 0.6", "0", "0", "2", "0.1", "cpu", "2026-01-04"]
    resnet = ["resnet18", "cifar10-jpeg", "1%", "l1, random", "0:1:0.5", "0-1 3", "1", "18", "6.0", "cpu", "2026-01-02"]
    assert [row[1:] for row in rows] == [mobile, untuned, resnet]
    commands = re.findall("^measure .*", re.sub("<[^>]+>", "", html), re.MULTILINE)
    assert commands == ["measure IMAGENET1K_V1", "measure scratch"]  # each command once


def test_the_table_of_other_results(tmp_path):
    results = small_book(tmp_path, "# A page\n\n```{other-results-table}\nThe others.\n```") / "results"
    common = {"device": "cpu", "commit": "0123456789", "date": "2026-01-02", "command": "measure the runs"}
    runs = {f"{n}": {**common, "network": "lenet5", "data": "mnist", "seed": n, "wall_seconds": 30} for n in (0, 1, 2)}
    runs["2"]["date"] = "2026-01-05"
    surfaces = {**common, "command": "measure surfaces", "network": "resnet18", "data": "cifar10-jpeg", "seeds": [1, 3]}
    weights = {"provenance": {"network": "mine", "data": "a file", "commit": "0", "date": "2026-01-03"}, "analysis": {}}
    for name, content in {"reference_run": runs, "mobilenet_v2": weights, "speed": runs}.items():
        (results / f"{name}.json").write_text(json.dumps(content))
    write_arrays(results / "landscape_resnet18_cifar10.npz", {}, surfaces)
    write_arrays(results / "functions_lenet5_mnist.npz", {}, runs["0"])
    html = (build(tmp_path) / "page.html").read_text()
    rows = [re.findall(r"<td><p>(.*?)</p></td>", line) for line in re.findall(r"(?s)<tr.*?</tr>", html)][1:]
    assert rows == [
        ["reference_run", "LeNet-5", "MNIST", "0-2", "cpu", "2026-01-02 to 2026-01-05", "1.5"],
        ["mobilenet_v2", "mine", "a file", "", "cpu", "2026-01-03", ""],
        ["functions_lenet5_mnist", "LeNet-5", "MNIST", "0", "cpu", "2026-01-02", "0.5"],
        ["landscape_resnet18_cifar10", "ResNet18", "CIFAR-10 (JPEG)", "1 3", "cpu", "2026-01-02", ""],
    ]
    commands = re.findall("^measure .*", re.sub("<[^>]+>", "", html), re.MULTILINE)
    assert commands == ["measure the runs", "measure surfaces"]


def test_missing_parents_stop_the_build(tmp_path):
    with pytest.raises(AssertionError, match="no JSON file in results/parents"):
        build(small_book(tmp_path, "# A page\n\n```{parents-table}\n```"))


def test_a_value_that_is_not_recorded_stops_the_build(tmp_path):
    text = "# A page\n\n{result}`gone.csv | network=a | times | .1f`\n\n```{results-table} gone.csv\n```"
    with pytest.raises(AssertionError) as error:
        build(small_book(tmp_path, text))
    assert str(error.value).count("no file results/gone.csv") >= 2
