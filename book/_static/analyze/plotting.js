// Two SVG charts: the front, and the distribution of weights and energy over magnitude. Colours and markers are the
// same as in wmgp/plotting.py. The background is white in the dark theme too, as in all figures of the book.
"use strict";

(() => {
  const COLOURS = {
    blue: "#004488", red: "#BB5566", yellow: "#DDAA33", black: "#000000", green: "#117733", guide: "#666666",
  };
  const SPACE = "http://www.w3.org/2000/svg";
  const FONT = "DejaVu Sans, Verdana, sans-serif";

  function element(name, attributes, ...children) {
    const created = document.createElementNS(SPACE, name);
    for (const [key, value] of Object.entries(attributes)) created.setAttribute(key, value);
    created.append(...children);
    return created;
  }

  const round = (x) => Math.round(x * 100) / 100;
  const path = (points) => `M${points.map(([x, y]) => `${round(x)},${round(y)}`).join("L")}`;
  const line = (points, colour, more = {}) =>
    element("path", { d: path(points), fill: "none", stroke: colour, "stroke-width": 2, ...more });
  const dottedLine = (...points) => line(points, COLOURS.guide, { "stroke-width": 1, "stroke-dasharray": "1 3" });

  function label(text, x, y, more = {}) {
    return element("text", { x: round(x), y: round(y), "font-size": 13, fill: "#222222", ...more }, text);
  }

  // A marker at (x, y); kinds differ in shape as well as in colour.
  function marker(kind, colour, x, y) {
    const corners = (n, radius, turn, inner = radius) => Array.from({ length: n }, (_, i) => {
      const [angle, far] = [turn + (2 * Math.PI * i) / n, i % 2 ? inner : radius];
      return [x + far * Math.sin(angle), y - far * Math.cos(angle)];
    });
    if (kind === "circle") return element("circle", { cx: round(x), cy: round(y), r: 5.5, fill: colour });
    const shapes = {
      square: () => corners(4, 7, Math.PI / 4), diamond: () => corners(4, 7, 0), triangle: () => corners(3, 7.5, 0),
      star: () => corners(10, 10, 0, 4),
    };
    return element("path", { d: `${path(shapes[kind]())}Z`, fill: colour });
  }

  // An empty chart: background, title, and a description for screen readers.
  function createSvg(width, height, title, description) {
    const id = title.replace(/\W+/g, "-").toLowerCase();
    const svg = element("svg", {
      xmlns: SPACE, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": `${id}-title ${id}-description`,
      "font-family": FONT,
    });
    svg.append(element("title", { id: `${id}-title` }, title));
    svg.append(element("desc", { id: `${id}-description` }, description));
    svg.append(element("rect", { width, height, fill: "#ffffff" }));
    return svg;
  }

  // The Pareto front of cosine against amount, and the curve of random pruning, [[amount, cosine]]. `points`: [{name,
  // kind, colour, amount, cosine}] to mark; a dotted line joins the chosen point to utopia.
  wmgp.frontChart = (front, points, chosen, random, description) => {
    const [left, top, size] = [52, 14, 412];
    const svg = createSvg(480, 478, "Cosine similarity against the pruned share", description);
    const [x, y] = [(amount) => left + size * amount, (cosine) => top + size * (1 - cosine)];
    for (let i = 0; i <= 5; i++) {
      const at = i / 5;
      svg.append(line([[x(at), y(0)], [x(at), y(1)]], "#dddddd", { "stroke-width": 1 }));
      svg.append(line([[x(0), y(at)], [x(1), y(at)]], "#dddddd", { "stroke-width": 1 }));
      svg.append(label(at.toFixed(1), x(at), y(0) + 18, { "text-anchor": "middle" }));
      svg.append(label(at.toFixed(1), x(0) - 7, y(at) + 4, { "text-anchor": "end" }));
    }
    svg.append(label("amount (pruned share of the prunable weights)", x(0.5), y(0) + 40, { "text-anchor": "middle" }));
    svg.append(label("cosine similarity to the parent", 14, y(0.5), {
      "text-anchor": "middle", transform: `rotate(-90 14 ${y(0.5)})`,
    }));
    svg.append(line(random.map(([a, c]) => [x(a), y(c)]), COLOURS.guide, { "stroke-dasharray": "8 4" }));
    svg.append(line(front.amount.map((a, i) => [x(a), y(front.cosine[i])]), COLOURS.blue));
    svg.append(dottedLine([x(chosen.amount), y(0)], [x(chosen.amount), y(chosen.cosine)], [x(1), y(1)]));
    svg.append(marker("star", COLOURS.black, x(1), y(1)));
    for (const point of points) svg.append(marker(point.kind, COLOURS[point.colour], x(point.amount), y(point.cosine)));
    legend(svg, x(0) + 12, y(0) - 14, points);
    return svg;
  };

  function legend(svg, x, bottom, points) {
    const lines = [
      { text: "smallest magnitudes first", sample: (y) => line([[x, y], [x + 22, y]], COLOURS.blue) },
      {
        text: "random pruning",
        sample: (y) => line([[x, y], [x + 22, y]], COLOURS.guide, { "stroke-dasharray": "8 4" }),
      },
      ...points.map((p) => ({
        text: `${p.name}: ${wmgp.percent(p.amount)}, cosine ${p.cosine.toFixed(3)}`,
        sample: (y) => marker(p.kind, COLOURS[p.colour], x + 11, y),
      })),
    ];
    for (const [i, { text, sample }] of lines.entries()) {
      const y = bottom - 20 * (lines.length - 1 - i);
      svg.append(sample(y - 4), label(text, x + 30, y));
    }
  }

  // Shares of weights and energy over magnitude: `bins` are [{low, high, share, energy}]; all below `threshold` is
  // pruned.
  wmgp.energyChart = (bins, threshold, description) => {
    const [left, top, width, height] = [52, 30, 412, 150];
    const svg = createSvg(480, 232, "Distribution of the weights and their energy", description);
    const [first, last] = [Math.log2(bins[0].low), Math.log2(bins.at(-1).high)];
    const most = Math.max(...bins.flatMap((bin) => [bin.share, bin.energy]));
    const x = (magnitude) => left + (width * (Math.log2(magnitude) - first)) / (last - first);
    const y = (share) => top + height * (1 - share / most);
    const cut = Math.min(Math.max(threshold > 0 ? x(threshold) : left, left), left + width);
    svg.append(element("rect", { x: left, y: top, width: round(cut - left), height, fill: "#e8e8e8" }));
    const steps = (name) => bins.flatMap((bin) => [[x(bin.low), y(bin[name])], [x(bin.high), y(bin[name])]]);
    svg.append(line(steps("share"), COLOURS.blue), line(steps("energy"), COLOURS.red, { "stroke-dasharray": "7 3" }));
    svg.append(line([[left, y(0)], [left + width, y(0)]], "#444444", { "stroke-width": 1 }));
    svg.append(dottedLine([cut, top], [cut, y(0)]));
    const step = Math.ceil((last - first) / 6);
    for (let power = Math.ceil(first); power <= last; power += step) {
      svg.append(label(wmgp.general(2 ** power, 2), x(2 ** power), y(0) + 18, { "text-anchor": "middle" }));
    }
    const axisLabel = "magnitude (logarithmic scale); the shaded part is pruned";
    svg.append(label(axisLabel, left + width / 2, y(0) + 42, { "text-anchor": "middle" }));
    svg.append(line([[left, 16], [left + 22, 16]], COLOURS.blue), label("share of the weights", left + 30, 20));
    svg.append(line([[left + 200, 16], [left + 222, 16]], COLOURS.red, { "stroke-dasharray": "7 3" }));
    svg.append(label("share of the energy", left + 230, 20));
    return svg;
  };
})();
