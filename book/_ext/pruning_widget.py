"""``{pruning-widget} parents/NAME.safetensors``: an interactive picture of L1 and random pruning of a recorded network.

It shows the cosine at every amount and, for both methods, the histogram of the remaining weights. The body is the
caption, to which the provenance of the weights is added. Without scripts the picture shows the optimal amount;
``_static/pruning_widget.js`` adds a slider and an animation. All values are computed by the package during the build.
"""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from docutils import nodes
from recorded_results import result_file, short_commit
from safetensors.torch import load_file
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import wmgp

SHOWN_SHARE = 0.98  # share of the weights inside the histogram; the few largest would make it far too wide
BINS = 80
DRAWS = 5  # random prunes per amount
HEIGHT = 34  # of the histogram; all lengths are in percent of the picture's width


def compute(path: Path) -> dict[str, Any]:
    """Return L1 thresholds and both methods' cosines at 0 to 100 percent, the optimum and the histogram of a file."""
    state = load_file(path)
    analysis = wmgp.analyze(state)
    values = np.concatenate([tensor.double().numpy().ravel() for tensor in state.values()])
    limit = float(np.quantile(np.abs(values), SHOWN_SHARE))
    points = [analysis.at_amount(percent / 100) for percent in range(101)]
    return {
        "optimum": round(100 * analysis.optimal.amount),
        "threshold": [0.0, *(round(min(50 * p.threshold / limit, 50), 2) for p in points[1:])],
        "l1": [round(p.cosine, 4) for p in points],
        "random": [round(random_cosine(state, percent / 100), 4) for percent in range(101)],
        "bins": np.histogram(values, BINS, (-limit, limit))[0].tolist(),
    }


def random_cosine(state: dict[str, Any], amount: float) -> float:
    """Return the mean cosine after `DRAWS` random prunes of the amount."""
    if amount == 1:  # the cosine of nothing but zeros is undefined
        return 0.0
    cosines = []
    for draw in range(DRAWS):
        masks = wmgp.global_masks(state, amount, "random", generator=draw)
        cosines.append(wmgp.cosine_similarity({name: state[name] * mask for name, mask in masks.items()}, state))
    return sum(cosines) / DRAWS


def histogram_path(bins: Sequence[int]) -> str:
    """Return the histogram as an SVG path from x = -50 to 50 that stands on y = 0."""
    step, scale = 100 / len(bins), HEIGHT / max(bins)
    bars = "".join(f"V{-n * scale:.2f}H{(i + 1) * step - 50:.2f}" for i, n in enumerate(bins))
    return f"M-50 0{bars}V0Z"


def curve_path(cosines: Sequence[float]) -> str:
    """Return the cosines at 0 to 100 percent as an SVG path in a square of 100 by 100."""
    return "M" + "L".join(f"{percent} {100 - 100 * cosine:.2f}" for percent, cosine in enumerate(cosines))


def histogram_svg(method: str, bins: Sequence[int], threshold: float, share: float) -> str:
    """Draw the histogram of all weights, and over it that of the weights that the method keeps."""
    path = histogram_path(bins)
    if method == "l1":
        alt = "the small weights in the middle are pruned, the large weights at both sides are unchanged"
        sides = "".join(f'<rect class="{side}" y="-{HEIGHT}" width="50" height="{HEIGHT}" x="{x:.2f}"/>'
                        for side, x in (("below", -50 - threshold), ("above", threshold)))  # fmt: skip
        remaining = f'<clipPath id="large-weights">{sides}</clipPath>'
        remaining += f'<path class="remaining" clip-path="url(#large-weights)" d="{path}"/>'
    else:
        alt = "the same share of weights of every size is pruned, so the whole histogram is lower"
        remaining = f'<path class="remaining" transform="scale(1 {share:.3f})" d="{path}"/>'
    return (
        f'<svg class="{method}" viewBox="-50 -{HEIGHT} 100 {HEIGHT + 6}" role="img" '
        f'aria-label="Histogram of the weights: {alt}."><path class="all" d="{path}"/>{remaining}'
        '<path class="axis" d="M-50 0H50"/>'
        '<text y="5" text-anchor="middle">0</text><text x="-50" y="5">negative</text>'
        '<text x="50" y="5" text-anchor="end">positive</text></svg>'
    )


def cosine_svg(data: dict[str, Any]) -> str:
    """Draw the cosines of both methods against the amount, a mark at the optimum on each, and the utopia point."""
    best = data["optimum"]
    ticks = "".join(f'<text x="{t}" y="106" text-anchor="middle">{t}</text>' for t in (0, 25, 50, 75, 100))
    ticks += "".join(f'<text x="-2" y="{101.5 - t}" text-anchor="end">{t / 100:g}</text>' for t in (0, 50, 100))
    lines = "".join(
        f'<path class="line {method}" d="{curve_path(data[method])}"/>'
        f'<circle class="mark {method}" r="2.4" cx="{best}" cy="{100 - 100 * data[method][best]:.2f}"/>'
        for method in ("random", "l1")
    )
    alt = "Cosine similarity to the parent against the percentage pruned. By L1 it stays high and falls late. " \
          "At random it falls from the start."  # fmt: skip
    return (
        f'<svg class="square" viewBox="-10 -6 116 122" role="img" aria-label="{alt}">'
        '<path class="grid" d="M0 0H100M0 25H100M0 50H100M0 75H100M25 0V100M50 0V100M75 0V100M100 0V100"/>'
        f'<path class="axis" d="M0 0V100H100"/>{ticks}<text x="50" y="113" text-anchor="middle">percent pruned</text>'
        '<text x="3" y="97">cosine to the parent</text>'
        f'<path class="guide" d="M{best} {100 - 100 * data["l1"][best]:.2f}L100 0"/>{lines}'
        '<path class="utopia" d="M100 -3L101 -1L103 0L101 1L100 3L99 1L97 0L99 -1Z"/></svg>'
    )


def widget_html(data: dict[str, Any]) -> str:
    """Return the whole widget at the optimum; the hidden controls are shown by the script."""
    best = data["optimum"]
    front = escape(json.dumps({name: data[name] for name in ("optimum", "threshold", "l1", "random")}))
    methods = "".join(
        f'<div><p class="{method}">{title}</p>'
        f"{histogram_svg(method, data['bins'], data['threshold'][best], 1 - best / 100)}</div>"
        for method, title in (("l1", "L1: the smallest weights"), ("random", "Random: any weights"))
    )
    text = readout(best, data["l1"][best], data["random"][best])
    return (
        f'<div class="pictures" data-front="{front}">{cosine_svg(data)}'
        f'<div class="histograms">{methods}</div></div>'
        '<div class="controls" hidden><button type="button">Play</button><label>Amount '
        f'<input type="range" min="0" max="100" value="{best}" aria-valuetext="{text}"/></label></div>'
        f'<p class="readout">{text}</p>'
    )


def readout(percent: int, l1: float, random: float) -> str:
    """Return the line of text below the slider; `_static/pruning_widget.js` writes the same line."""
    return f"{percent}% pruned. Cosine to the parent: {l1:.2f} by L1, {random:.2f} at random."


class PruningWidget(SphinxDirective):
    """The directive."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return the figure: a picture in HTML and a caption in text."""
        name = self.arguments[0]
        try:
            path = result_file(self.env, name)
            record = json.loads(result_file(self.env, str(Path(name).with_suffix(".json"))).read_text(encoding="utf-8"))
            picture = widget_html(compute(path))
        except (KeyError, ValueError, OSError) as error:  # an InputError is a ValueError
            raise self.error(f"pruning-widget: {error}") from error
        source = f"From `results/{name}`: commit {short_commit(record['commit'])}, {record['date']}."
        text, _ = self.parse_inline(" ".join([*self.content, source]))
        caption = nodes.container("", nodes.paragraph("", "", *text), classes=["widget-caption"])
        start = f'<figure class="pruning-widget" aria-label="L1 against random pruning">{picture}'
        return [nodes.raw("", start, format="html"), caption, nodes.raw("", "</figure>", format="html")]


def add_files(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load script and style on pages with a widget."""
    if '<figure class="pruning-widget"' in context.get("body", ""):
        app.add_css_file("pruning_widget.css")
        app.add_js_file("pruning_widget.js", loading_method="defer")


def setup(app: Sphinx):
    """Register the directive and the step."""
    app.add_directive("pruning-widget", PruningWidget)
    app.connect("html-page-context", add_files)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
