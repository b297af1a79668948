"""``{kept-weights} parents/NAME.safetensors``: what L1 and random pruning leave of a recorded network, as a picture.

Beside the cosine at every amount, the histogram of its weights by both methods; the body is the caption, to which where
the weights come from is added. The picture stands still at the amount nearest to utopia; where scripts run,
``_static/kept.js`` moves it. Everything in it is computed by the package while the book is built.
"""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from recorded import result_file, short
from safetensors.torch import load_file
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import wmgp

SHOWN = 0.98  # share of the weights that the histogram is wide enough for: the few largest lie far outside
BINS = 80
DRAWS = 5  # random prunes for each amount
TALL = 34  # height of the histogram; all lengths are in percent of the pictures' width


def measured(path: Path) -> dict[str, Any]:
    """Of the weights in a file: the L1 threshold and both methods' cosines at 0 to 100 percent, optimum, histogram."""
    state = load_file(path)
    analysis = wmgp.analyze(state)
    values = np.concatenate([tensor.double().numpy().ravel() for tensor in state.values()])
    wide = float(np.quantile(np.abs(values), SHOWN))
    points = [analysis.at_amount(percent / 100) for percent in range(101)]
    return {
        "best": round(100 * analysis.optimal.amount),
        "gap": [0.0, *(round(min(50 * p.threshold / wide, 50), 2) for p in points[1:])],
        "l1": [round(p.cosine, 4) for p in points],
        "random": [round(at_random(state, percent / 100), 4) for percent in range(101)],
        "bins": np.histogram(values, BINS, (-wide, wide))[0].tolist(),
    }


def at_random(state: dict[str, Any], amount: float) -> float:
    """The cosine that a random prune of the amount leaves, the mean of some."""
    if amount == 1:  # of nothing at all there is no cosine
        return 0.0
    found = []
    for draw in range(DRAWS):
        masks = wmgp.global_masks(state, amount, "random", generator=draw)
        found.append(wmgp.cosine_similarity({name: state[name] * mask for name, mask in masks.items()}, state))
    return sum(found) / DRAWS


def outline(bins: Sequence[int]) -> str:
    """The histogram as a path, from -50 to 50, standing on 0."""
    step, high = 100 / len(bins), TALL / max(bins)
    bars = "".join(f"V{-n * high:.2f}H{(i + 1) * step - 50:.2f}" for i, n in enumerate(bins))
    return f"M-50 0{bars}V0Z"


def curve(cosines: Sequence[float]) -> str:
    """Cosines at 0 to 100 percent as a path, in a square of 100 by 100."""
    return "M" + "L".join(f"{percent} {100 - 100 * cosine:.2f}" for percent, cosine in enumerate(cosines))


def histogram(name: str, bins: Sequence[int], gap: float, share: float) -> str:
    """One method's histogram: all weights pale, and upon them those kept."""
    path = outline(bins)
    if name == "l1":
        words = "the small weights in the middle are gone, the large ones at both sides untouched"
        holes = "".join(f'<rect class="{side}" y="-{TALL}" width="50" height="{TALL}" x="{x:.2f}"/>'
                        for side, x in (("below", -50 - gap), ("above", gap)))  # fmt: skip
        kept = f'<clipPath id="kept-sides">{holes}</clipPath>'
        kept += f'<path class="left" clip-path="url(#kept-sides)" d="{path}"/>'
    else:
        words = "weights of every size are gone in the same share, so the whole histogram is lower"
        kept = f'<path class="left" transform="scale(1 {share:.3f})" d="{path}"/>'
    return (
        f'<svg class="{name}" viewBox="-50 -{TALL} 100 {TALL + 6}" role="img" aria-label="Histogram of the weights: '
        f'{words}."><path class="all" d="{path}"/>{kept}<path class="axis" d="M-50 0H50"/>'
        '<text y="5" text-anchor="middle">0</text><text x="-50" y="5">negative</text>'
        '<text x="50" y="5" text-anchor="end">positive</text></svg>'
    )


def square(found: dict[str, Any]) -> str:
    """Both methods' cosines against the amount, a mark on each, and one in the corner that no prune reaches."""
    best = found["best"]
    ticks = "".join(f'<text x="{t}" y="106" text-anchor="middle">{t}</text>' for t in (0, 25, 50, 75, 100))
    ticks += "".join(f'<text x="-2" y="{101.5 - t}" text-anchor="end">{t / 100:g}</text>' for t in (0, 50, 100))
    lines = "".join(
        f'<path class="line {name}" d="{curve(found[name])}"/>'
        f'<circle class="mark {name}" r="2.4" cx="{best}" cy="{100 - 100 * found[name][best]:.2f}"/>'
        for name in ("random", "l1")
    )
    words = "Cosine similarity to the parent against the percentage pruned. By L1 it stays high and falls late. " \
            "At random it falls from the start."  # fmt: skip
    return (
        f'<svg class="square" viewBox="-10 -6 116 122" role="img" aria-label="{words}">'
        '<path class="grid" d="M0 0H100M0 25H100M0 50H100M0 75H100M25 0V100M50 0V100M75 0V100M100 0V100"/>'
        f'<path class="axis" d="M0 0V100H100"/>{ticks}<text x="50" y="113" text-anchor="middle">percent pruned</text>'
        '<text x="3" y="97">cosine to the parent</text>'
        f'<path class="guide" d="M{best} {100 - 100 * found["l1"][best]:.2f}L100 0"/>{lines}'
        '<path class="utopia" d="M100 -3L101 -1L103 0L101 1L100 3L99 1L97 0L99 -1Z"/></svg>'
    )


def picture(found: dict[str, Any]) -> str:
    """All of it, as it stands still; what is hidden is for the script to show."""
    best = found["best"]
    front = escape(json.dumps({name: found[name] for name in ("best", "gap", "l1", "random")}))
    methods = "".join(
        f'<div><p class="{name}">{words}</p>{histogram(name, found["bins"], found["gap"][best], 1 - best / 100)}</div>'
        for name, words in (("l1", "L1: the smallest go"), ("random", "Random: any go"))
    )
    said = said_of(best, found["l1"][best], found["random"][best])
    return (
        f'<div class="pictures" data-front="{front}">{square(found)}'
        f'<div class="histograms">{methods}</div></div>'
        '<div class="controls" hidden><button type="button">Play</button><label>Amount '
        f'<input type="range" min="0" max="100" value="{best}" aria-valuetext="{said}"/></label></div>'
        f'<p class="said">{said}</p>'
    )


def said_of(percent: int, l1: float, random: float) -> str:
    """The picture at an amount, in words; `_static/kept.js` says the same."""
    return f"{percent}% pruned. Cosine kept: {l1:.2f} by L1, {random:.2f} at random."


class KeptWeights(SphinxDirective):
    """The directive."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """The figure: a picture that is HTML, and a caption that is text."""
        name = self.arguments[0]
        try:
            path = result_file(self.env, name)
            record = json.loads(result_file(self.env, str(Path(name).with_suffix(".json"))).read_text(encoding="utf-8"))
            drawn = picture(measured(path))
        except (KeyError, ValueError, OSError) as error:  # an InputError is a ValueError
            raise self.error(f"kept-weights: {error}") from error
        where = f"From `results/{name}`: commit {short(record['commit'])}, {record['date']}."
        said, _ = self.parse_inline(" ".join([*self.content, where]))
        caption = nodes.container("", nodes.paragraph("", "", *said), classes=["kept-caption"])
        begin, end = ('<figure class="kept" aria-label="L1 against random pruning">' + drawn), "</figure>"
        return [nodes.raw("", begin, format="html"), caption, nodes.raw("", end, format="html")]


def add_files(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Script and style, on the pages that have such a picture."""
    if '<figure class="kept"' in context.get("body", ""):
        app.add_css_file("kept.css")
        app.add_js_file("kept.js", loading_method="defer")


def setup(app: Sphinx):
    """Register the directive and the step."""
    app.add_directive("kept-weights", KeptWeights)
    app.connect("html-page-context", add_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
