"""The home page: its numbers equal the package's and the claims', and its widget animates only when it should."""

import re
import sys
from typing import Any

import numpy as np
import pytest
import torch
from books import PHONE, ROOT
from safetensors.torch import load_file

import wmgp
from wmgp.experiments.claims import collection, formatting

sys.path.insert(0, str(ROOT / "book" / "_ext"))

import pruning_widget

pytestmark = pytest.mark.slow

PARENT = ROOT / "results" / "parents" / "lenet5-mnist-seed0.safetensors"
PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>x</title>
<link rel="stylesheet" href="{static}/pruning_widget.css"><body><figure class="pruning-widget">{picture}</figure>
<script>const seen = [], look = () => seen.push(Number(document.querySelector("input").value));
new MutationObserver(look).observe(document.querySelector(".readout"), {{childList: true}});</script>
<script src="{static}/pruning_widget.js"></script></body></html>"""


@pytest.fixture(scope="module")
def data() -> dict[str, Any]:
    """The widget's data of a recorded network."""
    return pruning_widget.compute(PARENT)


def test_the_widget_shows_the_package_s_values(data):
    analysis = wmgp.analyze(PARENT, amounts=101)
    np.testing.assert_allclose(data["l1"], analysis.front.cosine, atol=6e-5)
    np.testing.assert_allclose(data["random"], np.sqrt(1 - np.linspace(0, 1, 101)), atol=0.02)
    assert data["optimum"] == round(100 * analysis.optimal.amount)
    assert all(l1 >= random for l1, random in zip(data["l1"], data["random"], strict=True))
    values = torch.cat([tensor.flatten() for tensor in load_file(PARENT).values()])
    wide = np.quantile(values.abs().numpy(), pruning_widget.SHOWN_SHARE)
    assert sum(data["bins"]) == pytest.approx(pruning_widget.SHOWN_SHARE * len(values), abs=2)
    inside = (values.abs() <= data["threshold"][50] / 50 * wide).double().mean()
    assert inside == pytest.approx(0.5, abs=0.01)  # the threshold at 50% prunes half of the weights
    assert data["threshold"][0] == 0 and data["threshold"] == sorted(data["threshold"]) and data["threshold"][100] == 50


def test_without_a_script_the_widget_shows_the_optimum(data):
    picture = pruning_widget.widget_html(data)
    best = data["optimum"]
    assert pruning_widget.readout(best, data["l1"][best], data["random"][best]) in picture
    assert f'cx="{best}" cy="{100 - 100 * data["l1"][best]:.2f}"' in picture
    assert '<div class="controls" hidden>' in picture
    assert re.findall(r'<svg[^>]*role="img" aria-label="[^"]{20,}"', picture) and picture.count("<svg") == 3


@pytest.fixture
def opened(browser, data, tmp_path):
    """Open the widget alone with a preference for motion; an error on the page fails the test at its end."""
    wrong, contexts = [], []

    def open_page(motion: str, viewport: dict[str, int] = PHONE):
        path = tmp_path / "page.html"
        static = (ROOT / "book" / "_static").as_uri()
        path.write_text(PAGE.format(static=static, picture=pruning_widget.widget_html(data)))
        contexts.append(browser.new_context(viewport=viewport, reduced_motion=motion))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def test_the_widget_follows_the_slider_and_the_keyboard(opened, data):
    page = opened("reduce")
    page.wait_for_timeout(300)
    assert page.input_value("input") == str(data["optimum"]) and page.evaluate("seen") == []  # nothing has moved
    page.fill("input", "40")
    text = pruning_widget.readout(40, data["l1"][40], data["random"][40])
    assert page.inner_text(".readout") == text == page.get_attribute("input", "aria-valuetext")
    assert page.get_attribute(".random .remaining", "transform") == "scale(1 0.6)"
    assert float(page.get_attribute(".above", "x")) == data["threshold"][40]
    assert float(page.get_attribute(".mark.l1", "cy")) == pytest.approx(100 - 100 * data["l1"][40])
    page.focus("input")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".readout").startswith("41% pruned.")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    page.focus("button")
    page.keyboard.press("Enter")  # a reader may start the animation
    page.wait_for_function("document.querySelector('.pruning-widget input').value < 30")
    page.keyboard.press("Enter")
    assert page.inner_text("button") == "Play"


def test_the_widget_plays_once_and_ends_at_the_optimum(opened, data):
    page = opened("no-preference")
    best = data["optimum"]
    page.wait_for_function(
        f"seen.length > 2 && seen.at(-1) == {best} && document.querySelector('button').innerText == 'Play'"
    )
    seen = page.evaluate("seen")
    assert seen[0] == 0 and max(seen) > best
    page.wait_for_timeout(200)
    assert page.evaluate("seen.length") == len(seen)
    assert page.inner_text(".readout") == pruning_widget.readout(best, data["l1"][best], data["random"][best])
    assert page.get_attribute(".random .remaining", "transform") == f"scale(1 {1 - best / 100})"


def test_the_home_page_counts_the_checks_of_each_claim(plain):
    html = (plain / "book" / "index.html").read_text()
    rows = collection.collect(ROOT / "results")
    verdicts = collection.overall(rows)
    assert f"Of {len(rows)} checks: {formatting.format_verdict_counts(rows)}." in re.sub("<[^>]+>", "", html)
    for id, claim in collection.CLAIMS.items():
        mine = [row for row in rows if row.id == id]
        line = next(line for line in re.findall(r"(?s)<tr.*?</tr>", html) if f'href="claims.html#{id.lower()}"' in line)
        text = re.sub("<[^>]+>", "", line).replace("’", "'")
        assert (
            claim in text and verdicts[id] in text and f'aria-label="{formatting.format_verdict_counts(mine)}"' in line
        )
        assert line.count("<i class=") == len(mine)


def test_the_home_page_has_three_cards_and_a_widget_with_its_files(plain):
    html = (plain / "book" / "index.html").read_text()
    cards = re.search(r'(?s)class="[^"]*\bhome-cards\b.*?<section', html)
    assert cards is not None
    assert re.findall(r"sd-card-title[^>]*>\s*([\w-]+)", cards[0]) == ["Read", "Re-run", "Use"]
    for place in re.findall(r'href="([^"#]+)"', cards[0]):
        assert (plain / "book" / place).is_file(), place
    assert (
        "pruning_widget.js" in html
        and "pruning_widget.css" in html
        and 'figure class="pruning-widget" aria-label=' in html
    )
    assert "pruning_widget.js" not in (plain / "book" / "paper.html").read_text()
