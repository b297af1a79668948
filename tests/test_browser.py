"""The analysis page in headless Chromium, opened from file://, gives the same results as the package."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_unsupported_formats import PACKED

import wmgp
from benchmarks import browser as benchmark_browser
from benchmarks.browser import SCRIPTS_FOLDER
from studies.shared import pretrained
from wmgp import closed_forms, plotting, report
from wmgp.errors import InputError

pytestmark = pytest.mark.slow

POOLS = ("weight_bias", "weights", "all")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# A minimal page like the theme's; the scripts have the same relative address as for a page in book/.
SHELL = """<!doctype html><html lang="en" data-theme="{theme}"><meta charset="utf-8"><title>x</title>
<meta name="viewport" content="width=device-width"><body style="margin: 1rem"><article>{body}</article></html>"""


@pytest.fixture(scope="module")
def browser():
    try:
        with benchmark_browser.chromium() as browser:
            yield browser
    except InputError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> str:
    """Return the file:// address of the page."""
    body = (SCRIPTS_FOLDER / "page.html").read_text().replace("../_static/analyze/", f"{SCRIPTS_FOLDER.as_uri()}/")
    path = tmp_path_factory.mktemp("page") / "analyze.html"
    path.write_text(SHELL.format(theme="light", body=body))
    return path.as_uri()


@pytest.fixture
def opened(browser, address):
    """Open the page with a state in its URL; errors and network requests on the page fail the test at its end."""
    wrong, contexts = [], []

    def open_page(state: str = "", viewport: dict[str, int] = DESK, before: str = ""):
        contexts.append(browser.new_context(viewport=viewport))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on("request", lambda r: r.url.startswith(("file:", "data:", "blob:")) or wrong.append(f"asks for {r.url}"))
        page.on("console", lambda m: m.type == "error" and wrong.append(m.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        if before:
            page.add_init_script(before)
        page.goto(address + state)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture(scope="module")
def transformer(tmp_path_factory) -> Path:
    """Return a file with a 3-layer transformer, whose attention projections are outside the paper's pool."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(96, 4, 256)
    path = tmp_path_factory.mktemp("transformer") / "transformer.safetensors"
    save_file(torch.nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory) -> Path:
    """Return MobileNetV2's ImageNet weights with buffers as a safetensors file."""
    found = pretrained.mobilenet_v2_file()
    if found is None:
        pytest.skip(f"needs {pretrained.MOBILENET_FILE} where TORCH_HOME says")
    path = tmp_path_factory.mktemp("mobilenet") / "mobilenet_v2.safetensors"
    save_file(torch.load(found, weights_only=True), path)
    return path


def analyzed(page, *paths: Path, pool: str = "weight_bias") -> None:
    """Give files to the page and wait for its report."""
    page.set_input_files("#files", list(map(str, paths)))
    page.wait_for_function(
        "document.querySelector('#error:not([hidden])') || !document.querySelector('#result').hidden"
    )
    if pool != "weight_bias":
        page.select_option("#pool", pool)
        page.wait_for_function("!document.querySelector('#result').hidden")
    assert page.inner_text("#error") == ""


def rows(page, where: str) -> list[list[str]]:
    """Return the cells of a table's body, visible or not."""
    script = "rows => rows.map(r => [...r.cells].map(c => c.textContent))"
    return page.eval_on_selector_all(f"{where} tbody tr", script)


def downloaded(page, kind: str) -> Path:
    with page.expect_download() as caught:
        page.click(f"[data-kind={kind}]")
    return Path(caught.value.path())


def compare(ours, theirs, where: str = "report") -> None:
    """Check that two structures are equal, with a tolerance of 1e-9 (relative or absolute) for floats."""
    if isinstance(theirs, dict):
        assert list(ours) == list(theirs), where
        for key in theirs:
            compare(ours[key], theirs[key], f"{where}.{key}")
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs), where
        for i, value in enumerate(theirs):
            compare(ours[i], value, f"{where}[{i}]")
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9), where
    else:
        assert ours == theirs, where


def same_as_the_package(page, analysis: wmgp.Analysis, **differing: str) -> None:
    """Check the downloaded report to 1e-9, except for `differing`, and every visible cell exactly."""
    compare(json.loads(downloaded(page, "json").read_text()), {**analysis.to_dict(), **differing})
    with downloaded(page, "csv").open() as file:
        front = {name: [float(x or "nan") for x in column] for name, *column in zip(*csv.reader(file), strict=True)}
    for name, values in front.items():
        np.testing.assert_allclose(values, getattr(analysis.front, name), rtol=0, atol=1e-9, err_msg=name)
    points = [list(row) for row in report._point_rows(analysis)]
    assert [row[:5] for row in rows(page, "#points")][:4] == points
    assert [tuple(row) for row in rows(page, "#facts")] == report._facts(analysis)
    assert [tuple(row) for row in rows(page, "#tensors")] == list(report._tensor_rows(analysis))
    shown = page.eval_on_selector_all("#warnings li", "items => items.map(i => i.textContent)")
    assert shown == [f"Warning: {warning}" for warning in report.short_warnings(analysis.warnings)]


@pytest.mark.parametrize("pool", POOLS)
def test_mobilenet_report_equals_the_package(opened, mobilenet, pool):
    page = opened()
    analyzed(page, mobilenet, pool=pool)
    same_as_the_package(page, wmgp.analyze(mobilenet, pool=pool))


@pytest.mark.parametrize("pool", POOLS)
def test_transformer_report_equals_the_package(opened, transformer, pool):
    page = opened()
    analyzed(page, transformer, pool=pool)
    same_as_the_package(page, wmgp.analyze(transformer, pool=pool))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_reports_of_other_dtypes_equal_the_package(opened, transformer, tmp_path, dtype):
    from safetensors.torch import load_file

    save_file({k: v.to(getattr(torch, dtype)) for k, v in load_file(transformer).items()}, tmp_path / "m.safetensors")
    page = opened()
    analyzed(page, tmp_path / "m.safetensors")
    same_as_the_package(page, wmgp.analyze(tmp_path / "m.safetensors"))


def sharded(folder: Path, whole: Path) -> list[Path]:
    """Distribute the tensors of a file over three shards with an index; return the shards."""
    from safetensors.torch import load_file

    state = list(load_file(whole).items())
    names = [f"model-{i + 1:05}-of-00003.safetensors" for i in range(3)]
    for i, name in enumerate(names):
        save_file(dict(state[i::3]), folder / name)
    table = {key: names[i % 3] for i, (key, _) in enumerate(state)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": table}))
    return [folder / name for name in names]


def test_shards_are_one_checkpoint_with_and_without_index(opened, transformer, tmp_path):
    shards = sharded(tmp_path, transformer)
    index = tmp_path / "model.safetensors.index.json"
    page = opened()
    analyzed(page, *shards, index)
    assert page.inner_text("#name") == "4 files"
    same_as_the_package(page, wmgp.analyze(tmp_path), source="4 files")  # the page does not know the folder's name
    index.unlink()
    analyzed(page, *reversed(shards))
    same_as_the_package(page, wmgp.analyze(tmp_path), source="3 files")
    page.set_input_files("#files", [str(shards[0]), str(shards[0])])
    page.wait_for_selector("#error:not([hidden])")
    assert "two files of this name" in page.inner_text("#error")


def header_of(entries: dict[str, Any], data: bytes = b"") -> bytes:
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


INVALID_FILES = {
    "empty": (b"", "the file is empty"),
    "huge header": (b"\xff" * 7 + b"\x7f{", "absurdly large"),
    "cut header": ((1000).to_bytes(8, "little") + b"{}", "beyond the end of the file"),
    "no json": ((5).to_bytes(8, "little") + b"{oops", "is not JSON"),
    "overlap": (header_of({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)), "overlap"),
    "negative": (header_of({"a": entry("F32", [1], -4, 0)}, bytes(4)), "not negative"),
    "outside": (header_of({"a": entry("F32", [9], 0, 36)}, bytes(4)), "may be truncated"),
    "wrong dtype": (header_of({"a": entry("F64", [1], 0, 4)}, bytes(4)), "do not agree"),
    "no dtype": (header_of({"a": entry("Q4", [1], 0, 4)}, bytes(4)), "is unknown"),
    "overflow": (header_of({"a": entry("F32", [2**40, 2**40], 0, 4)}, bytes(4)), "overflows"),
    "not finite": (header_of({"a.weight": entry("F32", [1], 0, 4)}, b"\0\0\xc0\x7f"), "a.weight: expected finite"),
    "markup": (
        header_of({"<img src=x>.weight": entry("C64", [1], 0, 8)}, bytes(8)),
        "<img src=x>.weight: complex64",
    ),
    "torch": (b"PK\x03\x04" + bytes(60), "torch.save"),
}


def test_invalid_files_are_rejected_in_one_line(opened, transformer, tmp_path):
    page = opened()
    twice = b'{"a":%b,"a":%b}' % ((json.dumps(entry("F32", [1], 0, 4)).encode(),) * 2)
    cases = INVALID_FILES | {
        "twice": (len(twice).to_bytes(8, "little") + twice + bytes(4), 'the name "a" occurs twice')
    }
    cases["cut"] = (transformer.read_bytes()[:-1], "may be truncated")
    for name, (contents, message) in cases.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(contents)
        with pytest.raises(InputError):
            wmgp.analyze(path)
        page.set_input_files("#files", str(path))
        page.wait_for_selector("#error:not([hidden])")
        text = page.inner_text("#error")
        assert message in text and "\n" not in text and (path.name in text or ".weight" in text), (name, text)
        assert page.is_hidden("#result") and page.is_hidden("#working")
        page.select_option("#source", "normal")
    analyzed(page, transformer)


def test_packed_weights_are_rejected_with_the_package_message(opened, tmp_path):
    page = opened()
    for case, (state, *_) in PACKED.items():
        path = tmp_path / f"{case}.safetensors"
        save_file({"embed.weight": torch.ones(3), **{name: tensor.clone() for name, tensor in state.items()}}, path)
        with pytest.raises(InputError) as caught:
            wmgp.analyze(path)
        page.set_input_files("#files", str(path))
        page.wait_for_selector("#error:not([hidden])")
        assert page.inner_text("#error") == str(caught.value).replace(str(path), path.name)
        page.select_option("#source", "normal")


def zeros(path: Path, n: int) -> Path:
    """Write a sparse file: a checkpoint of one value followed by zeros."""
    head = header_of({"a.weight": entry("F32", [n], 0, 4 * n)}, np.float32(1).tobytes())
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) - 4 + 4 * n)
    return path


def test_progress_is_shown_and_the_analysis_can_be_cancelled(opened, transformer, tmp_path):
    page = opened()
    page.set_input_files("#files", str(zeros(tmp_path / "huge.safetensors", 1 << 29)))  # 2 GiB
    page.wait_for_function("document.querySelector('#progress').value > 0")
    assert page.is_visible("#cancel") and re.fullmatch(r"\d+%", page.inner_text("#progress-text"))
    page.click("#cancel")
    assert page.inner_text("#error") == "Cancelled." and page.is_hidden("#working")
    page.wait_for_timeout(100)
    assert page.is_hidden("#result")
    analyzed(page, transformer)


def test_a_file_can_be_dropped(opened, transformer):
    page = opened()
    drop = """async bytes => {
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], "dropped.safetensors"));
        for (const kind of ["dragover", "drop"])
            document.querySelector("#drop").dispatchEvent(new DragEvent(kind, {dataTransfer: data, cancelable: true}));
    }"""
    page.evaluate(drop, list(transformer.read_bytes()[:100]))
    page.wait_for_selector("#error:not([hidden])")
    assert "dropped.safetensors" in page.inner_text("#error")


def test_without_workers_the_analysis_runs_in_the_page(opened, transformer):
    page = opened(before="window.Worker = class { constructor() { throw new Error('forbidden'); } };")
    analyzed(page, transformer)
    same_as_the_package(page, wmgp.analyze(transformer))


DISTRIBUTIONS = {
    "source=normal": closed_forms.normal(), "source=laplace": closed_forms.laplace(),
    "source=uniform": closed_forms.uniform(), "source=generalised&tail=0.7": closed_forms.generalised_normal(0.7),
    "source=student&tail=3": closed_forms.student_t(3),
}  # fmt: skip


@pytest.mark.parametrize("state", DISTRIBUTIONS)
def test_distributions_equal_the_closed_forms(opened, state):
    law, page = DISTRIBUTIONS[state], opened(f"#{state}&amount=0.6")
    found = {name: [float(x) if x[:1].isdigit() else x for x in cells] for name, *cells in rows(page, "#points")}
    best = law.optimal
    threshold = float(f"{best.threshold:.4g}")
    expected = [round(best.amount, 4), round(best.cosine, 4), threshold, "-", round(best.distance, 4)]
    assert found["optimal (paper)"] == expected
    assert found["cosine 0.99"][0] == found["careful"][0] == round(law.amount_at(0.99), 4)
    assert found["your amount"][:2] == [0.6, round(float(law.cosine(0.6)), 4)]
    assert [row[:2] for row in rows(page, "#facts")] == [["kurtosis", f"{law.kurtosis:.2f}"]]
    front = rows(page, "#front-table")
    expected = [
        [f"{a:.2f}", f"{c:.6f}"] for a, c in zip(np.arange(101) / 100, law.cosine(np.arange(101) / 100), strict=True)
    ]
    assert [row[:2] for row in front] == expected


def test_keyboard_moves_the_sliders_and_the_link_restores_the_state(opened):
    page = opened("#source=generalised&tail=2&amount=0.5")
    before = page.inner_text("#points tbody")
    page.focus("#tail")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#tail-value") == "1.9" and page.inner_text("#points tbody") != before
    page.focus("#amount")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('#summary').textContent.includes('50.1%')")
    law = closed_forms.generalised_normal(1.9)
    cosine, distance = float(law.cosine(0.501)), float(law.distance(0.501))
    assert page.inner_text("#summary") == (
        f"Pruning 50.1% of the weights keeps {100 * cosine**2:.1f}% of the energy: "
        f"cosine {cosine:.4f}, distance to utopia {distance:.4f}."
    )
    state = page.evaluate("location.hash")
    assert state == "#source=generalised&tail=1.9&amount=0.501&pool=weight_bias"
    again = opened(state)
    assert again.inner_text("#points tbody") == page.inner_text("#points tbody")
    page.click("#reset")
    assert "amount=" not in page.evaluate("location.hash")
    other = opened("#source=files&pool=weights&amount=7&tail=x")
    assert other.input_value("#pool") == "weights" and "Choose the files" in other.inner_text("#error")
    assert opened("#source=constructor&tail=-1").input_value("#source") == "normal"


def test_the_point_of_an_amount_equals_the_package(opened, transformer):
    page = opened()
    analyzed(page, transformer)
    page.evaluate("a => { amount.value = a; amount.dispatchEvent(new Event('input')); }", 0.713)
    point = wmgp.analyze(transformer).at_amount(0.713)
    assert rows(page, "#points")[-1][1:5] == list(report._point_row("", point))[1:]


def test_chart_and_report_can_be_downloaded(opened):
    page = opened("#source=laplace")
    svg = downloaded(page, "svg").read_text()
    assert svg.startswith("<svg ") and "smallest magnitudes first" in svg and 'width="480"' in svg
    assert downloaded(page, "png").read_bytes().startswith(b"\x89PNG\r\n")
    found = json.loads(downloaded(page, "json").read_text())
    assert found["optimal"]["amount"] == pytest.approx(closed_forms.laplace().optimal.amount, abs=1e-9)
    assert found["safe"] is None and found["tensors"] == []


def test_controls_have_labels_and_a_visible_focus(opened, transformer):
    page = opened()
    analyzed(page, transformer)
    nameless = """() => [...document.querySelectorAll("#analyzer :is(input, select, button, progress, [role=region])")]
        .filter(e => !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map(e => e.id)"""
    assert page.evaluate(nameless) == []
    for drawing in ("#front svg", "#energy svg"):
        ids = page.get_attribute(drawing, "aria-labelledby").split()
        assert [bool(page.text_content(f"[id='{name}']").strip()) for name in ids] == [True, True]
        assert page.get_attribute(drawing, "role") == "img"
    assert page.get_attribute("#summary", "aria-live") == "polite" and page.get_attribute("#error", "role") == "alert"
    focused = []
    for _ in range(8):
        page.keyboard.press("Tab")
        look = "() => [document.activeElement.id, getComputedStyle(document.activeElement).outlineWidth]"
        focused.append(page.evaluate(look))
    assert {"files", "source", "pool", "amount"} <= {name for name, _ in focused}
    assert all(float(width.removesuffix("px")) >= 1 for _, width in focused)
    ids = page.eval_on_selector_all("[id]", "elements => elements.map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_chart_colours_equal_the_package():
    named = re.search(r"const COLOURS = {([^}]*)}", (SCRIPTS_FOLDER / "plotting.js").read_text())
    assert named is not None
    assert set(re.findall(r"#\w{6}", named[1])) == {*plotting.PALETTE[:5], plotting.GUIDE["color"]}


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_the_page_fits(opened, transformer, viewport):
    page = opened(viewport=viewport)
    analyzed(page, transformer)
    for details in ("#tensors", "#front-table"):
        page.click(f"{details} summary")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= viewport["width"]
    page.emulate_media(media="print")
    assert page.is_hidden("#drop") and page.is_hidden("[data-kind=png]") and page.is_visible("#points")


TRY_CONNECTIONS = """async () => {
    const ask = async () => {
        const told = resolve => addEventListener("securitypolicyviolation", e => resolve(e.violatedDirective));
        const refused = new Promise(told);
        const sent = fetch("http://127.0.0.1:9/", {mode: "no-cors"}).then(() => "sent", () => refused);
        return Promise.race([sent, new Promise(resolve => setTimeout(resolve, 5000, "not refused"))]);
    };
    const text = `(${ask})().then(postMessage)`;
    const worker = new Worker(URL.createObjectURL(new Blob([text])));
    return [await ask(), await new Promise(resolve => (worker.onmessage = event => resolve(event.data)))];
}"""


def test_nothing_can_leave_the_page(browser, address):
    page = browser.new_page()
    page.goto(address)
    assert "Nothing is uploaded" in page.inner_text("#drop")
    assert page.evaluate(TRY_CONNECTIONS) == ["connect-src", "connect-src"]
    page.close()
