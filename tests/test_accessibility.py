"""Accessibility: axe-core finds no violation of WCAG 2.0 and 2.1, levels A and AA, on a page of each kind.

The rules include contrast and alt text. They run in light and in dark mode.
"""

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from books import DESK

pytestmark = pytest.mark.slow

PAGES = ["book/index", "notebooks/02_how_much", "book/theorem", "book/claims", "book/analyze", "book/api", "search"]
RUN_AXE = """() => axe.run({
    runOnly: {type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}, resultTypes: ["violations"],
})"""
# MathJax makes formulas of hundreds of boxes, which take axe minutes.
EMPTY_FORMULAS = "() => document.querySelectorAll('mjx-container').forEach(box => box.replaceChildren('x'))"


def violations(page) -> list[str]:
    """Return axe's violations: rule, element and reason."""
    found = page.evaluate(RUN_AXE)["violations"]
    return [f"{v['id']} at {n['target'][-1]}: {n['failureSummary']}" for v in found for n in v["nodes"]]


@pytest.fixture
def page(browser):
    """An empty page of a desktop's size."""
    context = browser.new_context(viewport=DESK, reduced_motion="reduce")
    context.set_default_timeout(120_000)
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(page, plain, name):
    page.goto((plain / f"{name}.html").as_uri() + ("?q=kurtosis" if name == "search" else ""))
    if name == "search":
        page.wait_for_selector("#search-results li")
    if name == "book/analyze":
        page.wait_for_selector("#result:not([hidden])")
    page.evaluate("window.MathJax ? MathJax.startup.promise.then(() => null) : null")
    page.evaluate(EMPTY_FORMULAS)
    page.evaluate(AXE_FILE_PATH.read_text())
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
        page.wait_for_timeout(300)  # colours change gradually
        found[scheme] = violations(page)
    assert found == {"light": [], "dark": []}


def test_axe_finds_violations(page):
    page.set_content('<html lang="en"><title>x</title><img src="data:,"><p style="color: #aaa">pale</p><input></html>')
    page.evaluate(AXE_FILE_PATH.read_text())
    assert [line.partition(" ")[0] for line in violations(page)] == ["color-contrast", "image-alt", "label"]
