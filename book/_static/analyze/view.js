// A report -> what the page shows of it: sentences, tables, the numbers behind the drawings. Text only, never markup.
"use strict";

(() => {
  const AT_RISK = 0.99; // a tensor that loses this share of its values at the optimal amount is listed
  const BARS = 60;

  function made(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  // A table with a caption; the first cell of a row is its heading; the columns not on the left are numbers.
  function table(caption, headings, rows, left = [0]) {
    const side = (i) => (left.includes(i) ? {} : { class: "number" });
    const head = made("tr", {}, ...headings.map((text, i) => made("th", { scope: "col", ...side(i) }, text)));
    const body = rows.map(([first, ...rest]) => made("tr", {}, made("th", { scope: "row" }, first),
      ...rest.map((text, i) => made("td", side(i + 1), text))));
    return made("table", {}, made("caption", {}, caption), made("thead", {}, head), made("tbody", {}, ...body));
  }

  // The point of an amount, of a file or of a distribution.
  wmgp.pointOf = (report, amount) =>
    report.law ? report.law.pointAt(amount) : wmgp.pointAt(report.levels, amount, report.unprunable_energy);

  wmgp.atCosine = (report, cosine) =>
    report.law
      ? report.law.atCosine(cosine)
      : wmgp.pointOf(report, wmgp.mostAmount(report.levels, cosine, report.unprunable_energy));

  wmgp.factsTable = (report) => table("The weights", ["", "value", "remark"], [
    ["parameters", wmgp.count(report.n_parameters), ""],
    ["prunable", wmgp.count(report.n_prunable), `pool ${report.pool}`],
    ["kurtosis", wmgp.fixed(report.kurtosis, 2), "a normal distribution has 3"],
    ["kurtosis of kurtoses", wmgp.fixed(report.kurtosis_of_kurtoses, 2), "over the pool's tensors"],
  ].filter(([name]) => !report.law || name === "kurtosis"), [0, 2]);

  function pointRow(name, point) {
    if (!point) return [name, "undefined", "", "", "", ""];
    const { amount, cosine, threshold, n_pruned: pruned, distance } = point;
    const numbers = [amount, cosine].map((x) => wmgp.fixed(x, 4));
    return [name, ...numbers, wmgp.general(threshold, 4), wmgp.count(pruned), wmgp.fixed(distance, 4)];
  }

  wmgp.pointsTable = (report, named) => table(
    "Amounts to take",
    ["", "amount", "cosine", "threshold", "pruned", "distance"],
    named.map(([name, point]) => pointRow(name, point)),
  );

  wmgp.tensorsTable = (rows) => table(
    "Share of each tensor's values that is pruned",
    ["tensor", "shape", "dtype", "values", "kurtosis", "energy", "at optimal", "at safe"],
    rows.map((row) => [
      wmgp.printable(row.name), wmgp.shape(row.shape), row.dtype, wmgp.count(row.n), wmgp.fixed(row.kurtosis, 2),
      wmgp.general(row.energy, 4), wmgp.share(row.pruned_at_optimal, row.n), wmgp.share(row.pruned_at_safe, row.n),
    ]),
    [0, 1, 2],
  );

  wmgp.frontTable = ({ front }) => table(
    "The front",
    ["amount", "cosine", "threshold", "distance"],
    front.amount.map((amount, i) => [
      wmgp.fixed(amount, 2), wmgp.fixed(front.cosine[i], 6), wmgp.general(front.threshold[i], 4),
      wmgp.fixed(front.distance[i], 6),
    ]),
  );

  // The tensors that lose almost everything at the optimal amount, the most endangered first.
  wmgp.atRisk = ({ tensors }) => {
    const lost = (row) => (row.n ? row.pruned_at_optimal / row.n : 0);
    return tensors.filter((row) => lost(row) >= AT_RISK).sort((a, b) => lost(b) - lost(a));
  };

  // A warning with its list of names cut short, as the command line shows it; the tensors' table has them all.
  wmgp.shortened = (warning) => {
    const names = wmgp.printable(warning).split(", ");
    return names.length <= 4 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
  };

  wmgp.sentence = (point) =>
    `Pruning ${wmgp.percent(point.amount)} of the weights keeps ${wmgp.percent(point.cosine ** 2)} of the energy: ` +
    `cosine ${wmgp.fixed(point.cosine, 4)}, ${wmgp.fixed(point.distance, 4)} from utopia.`;

  // What random pruning keeps on the mean: the pool's energy in proportion, and all that lies outside it.
  wmgp.randomCurve = (report) => {
    const share = report.law ? 1 : report.levels.above[0] / (report.levels.above[0] + report.unprunable_energy);
    return wmgp.grid(101).map((amount) => [amount, Math.sqrt(1 - share * amount)]);
  };

  // Shares of weights and energy in bins of magnitude, equally wide in its logarithm; null where all are zeros.
  wmgp.magnitudeBins = (report) => {
    const { shares, energies, low, high } = report.law ? ofLaw(report.law) : ofLevels(report.levels);
    if (!(low > 0 && high > low)) return null;
    const edges = Array.from({ length: BARS + 1 }, (_, i) => low * (high / low) ** (i / BARS));
    const between = (above, i) => above(edges[i]) - above(edges[i + 1]);
    return edges.slice(1).map((edge, i) => ({
      low: edges[i], high: edge, share: between(shares, i), energy: between(energies, i),
    }));
  };

  function ofLaw(law) {
    const ends = [0.002, 1 - 2e-5].map((amount) => law.pointAt(amount).threshold);
    return { shares: (t) => law.shares(t)[1], energies: (t) => law.energies(t)[1], low: ends[0], high: ends[1] };
  }

  function ofLevels(levels) {
    const place = (t) => wmgp.firstNotBelow(levels.smallest, t);
    const { n, above, below, largest } = levels;
    const positive = Math.max(levels.threshold(Math.ceil(0.002 * n)), largest[place(Number.MIN_VALUE)] ?? 0);
    return {
      shares: (t) => 1 - below[place(t)] / n, energies: (t) => above[place(t)] / above[0], low: positive,
      high: largest.at(-1) * (1 + 1e-6),
    };
  }
})();
