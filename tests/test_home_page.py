"""The home page: its numbers are the package's and the claims', and its picture moves only where it should."""

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

import kept_weights

PARENT = ROOT / "results" / "parents" / "lenet5-mnist-seed0.safetensors"
PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8"><title>x</title>
<link rel="stylesheet" href="{static}/kept.css"><body><figure class="kept">{picture}</figure>
<script>const seen = [], look = () => seen.push(Number(document.querySelector("input").value));
new MutationObserver(look).observe(document.querySelector(".said"), {{childList: true}});</script>
<script src="{static}/kept.js"></script></body></html>"""


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the picture shows of a recorded network."""
    return kept_weights.measured(PARENT)


def test_the_picture_shows_what_the_package_says(found):
    analysis = wmgp.analyze(PARENT, amounts=101)
    np.testing.assert_allclose(found["l1"], analysis.front.cosine, atol=6e-5)
    np.testing.assert_allclose(found["random"], np.sqrt(1 - np.linspace(0, 1, 101)), atol=0.02)
    assert found["best"] == round(100 * analysis.optimal.amount)
    assert all(l1 >= random for l1, random in zip(found["l1"], found["random"], strict=True))
    values = torch.cat([tensor.flatten() for tensor in load_file(PARENT).values()])
    wide = np.quantile(values.abs().numpy(), kept_weights.SHOWN)
    assert sum(found["bins"]) == pytest.approx(kept_weights.SHOWN * len(values), abs=2)
    inside = (values.abs() <= found["gap"][50] / 50 * wide).double().mean()
    assert inside == pytest.approx(0.5, abs=0.01)  # half of the weights lie in the gap that half of them leave
    assert found["gap"][0] == 0 and found["gap"] == sorted(found["gap"]) and found["gap"][100] == 50


def test_the_picture_stands_still_at_the_optimum_without_a_script(found):
    picture = kept_weights.picture(found)
    best = found["best"]
    assert kept_weights.said_of(best, found["l1"][best], found["random"][best]) in picture
    assert f'cx="{best}" cy="{100 - 100 * found["l1"][best]:.2f}"' in picture
    assert '<div class="controls" hidden>' in picture
    assert re.findall(r'<svg[^>]*role="img" aria-label="[^"]{20,}"', picture) and picture.count("<svg") == 3


@pytest.fixture
def opened(browser, found, tmp_path):
    """Open the picture by itself, with motion welcome or not; an error on the page fails the test at its end."""
    wrong, contexts = [], []

    def open_page(motion: str, viewport: dict[str, int] = PHONE):
        path = tmp_path / "page.html"
        static = (ROOT / "book" / "_static").as_uri()
        path.write_text(PAGE.format(static=static, picture=kept_weights.picture(found)))
        contexts.append(browser.new_context(viewport=viewport, reduced_motion=motion))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []


def test_the_picture_follows_the_slider_and_the_keyboard(opened, found):
    page = opened("reduce")
    page.wait_for_timeout(300)
    assert page.input_value("input") == str(found["best"]) and page.evaluate("seen") == []  # nothing has moved
    page.fill("input", "40")
    said = kept_weights.said_of(40, found["l1"][40], found["random"][40])
    assert page.inner_text(".said") == said == page.get_attribute("input", "aria-valuetext")
    assert page.get_attribute(".random .left", "transform") == "scale(1 0.6)"
    assert float(page.get_attribute(".above", "x")) == found["gap"][40]
    assert float(page.get_attribute(".mark.l1", "cy")) == pytest.approx(100 - 100 * found["l1"][40])
    page.focus("input")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".said").startswith("41% pruned.")
    assert page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]
    page.focus("button")
    page.keyboard.press("Enter")  # who asks for motion gets it
    page.wait_for_function("document.querySelector('.kept input').value < 30")
    page.keyboard.press("Enter")
    assert page.inner_text("button") == "Play"


def test_the_picture_moves_once_by_itself_and_ends_where_it_stood(opened, found):
    page = opened("no-preference")
    best = found["best"]
    page.wait_for_function(
        f"seen.length > 2 && seen.at(-1) == {best} && document.querySelector('button').innerText == 'Play'"
    )
    seen = page.evaluate("seen")
    assert seen[0] == 0 and max(seen) > best
    page.wait_for_timeout(200)
    assert page.evaluate("seen.length") == len(seen)
    assert page.inner_text(".said") == kept_weights.said_of(best, found["l1"][best], found["random"][best])
    assert page.get_attribute(".random .left", "transform") == f"scale(1 {1 - best / 100})"


def test_the_home_page_counts_what_the_claims_say(plain):
    html = (plain / "book" / "index.html").read_text()
    rows = collection.collect(ROOT / "results")
    verdicts = collection.overall(rows)
    assert f"Of {len(rows)} figures: {formatting.counted(rows)}." in re.sub("<[^>]+>", "", html)
    for id, claim in collection.CLAIMS.items():
        mine = [row for row in rows if row.id == id]
        line = next(line for line in re.findall(r"(?s)<tr.*?</tr>", html) if f'href="claims.html#{id.lower()}"' in line)
        text = re.sub("<[^>]+>", "", line).replace("’", "'")
        assert claim in text and verdicts[id] in text and f'aria-label="{formatting.counted(mine)}"' in line
        assert line.count("<i class=") == len(mine)


def test_the_home_page_has_three_doors_and_a_picture_with_its_files(plain):
    html = (plain / "book" / "index.html").read_text()
    doors = re.search(r'(?s)class="[^"]*\bdoors\b.*?<section', html)
    assert doors is not None
    assert re.findall(r"sd-card-title[^>]*>\s*([\w-]+)", doors[0]) == ["Read", "Re-run", "Use"]
    for place in re.findall(r'href="([^"#]+)"', doors[0]):
        assert (plain / "book" / place).is_file(), place
    assert "kept.js" in html and "kept.css" in html and 'figure class="kept" aria-label=' in html
    assert "kept.js" not in (plain / "book" / "paper.html").read_text()
