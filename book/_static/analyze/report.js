// Format a report for the page: sentences, tables and the data of the charts. Names are inserted as text, never as
// markup.
"use strict";

(() => {
  const AT_RISK = 0.99; // a tensor that loses at least this share of its values at the optimal amount is listed
  const BARS = 60;

  function createElement(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  // A table with a caption. The first cell of a row is its heading; columns not in `textColumns` are numbers.
  function table(caption, headings, rows, textColumns = [0]) {
    const side = (i) => (textColumns.includes(i) ? {} : { class: "number" });
    const cells = headings.map((text, i) => createElement("th", { scope: "col", ...side(i) }, text));
    const head = createElement("thead", {}, createElement("tr", {}, ...cells));
    const body = rows.map(([first, ...rest]) => createElement("tr", {}, createElement("th", { scope: "row" }, first),
      ...rest.map((text, i) => createElement("td", side(i + 1), text))));
    return createElement("table", {}, createElement("caption", {}, caption), head, createElement("tbody", {}, ...body));
  }

  // The point of an amount, of a checkpoint or of a distribution.
  wmgp.pointAtAmount = (report, amount) =>
    report.distribution
      ? report.distribution.pointAt(amount)
      : wmgp.pointAt(report.levels, amount, report.unprunable_energy);

  wmgp.pointAtCosine = (report, cosine) =>
    report.distribution
      ? report.distribution.atCosine(cosine)
      : wmgp.pointAtAmount(report, wmgp.largestAmount(report.levels, cosine, report.unprunable_energy));

  wmgp.factsTable = (report) => table("The weights", ["", "value", "remark"], [
    ["parameters", wmgp.count(report.n_parameters), ""],
    ["prunable", wmgp.count(report.n_prunable), `pool ${report.pool}`],
    ["kurtosis", wmgp.fixed(report.kurtosis, 2), "a normal distribution has 3"],
    ["kurtosis of kurtoses", wmgp.fixed(report.kurtosis_of_kurtoses, 2), "over the pool's tensors"],
  ].filter(([name]) => !report.distribution || name === "kurtosis"), [0, 2]);

  function pointRow(name, point) {
    if (!point) return [name, "undefined", "", "", "", ""];
    const { amount, cosine, threshold, n_pruned: pruned, distance } = point;
    const numbers = [amount, cosine].map((x) => wmgp.fixed(x, 4));
    return [name, ...numbers, wmgp.general(threshold, 4), wmgp.count(pruned), wmgp.fixed(distance, 4)];
  }

  wmgp.pointsTable = (report, named) => table(
    "Recommended amounts",
    ["", "amount", "cosine", "threshold", "pruned", "distance"],
    named.map(([name, point]) => pointRow(name, point)),
  );

  wmgp.tensorsTable = (rows) => table(
    "Pruned share of each tensor",
    ["tensor", "shape", "dtype", "values", "zeros", "kurtosis", "energy", "at careful", "at safe", "at optimal"],
    rows.map((row) => [
      wmgp.printable(row.name), wmgp.shape(row.shape), row.dtype, wmgp.count(row.n), wmgp.count(row.zeros),
      wmgp.fixed(row.kurtosis, 2), wmgp.general(row.energy, 4),
      ...["careful", "safe", "optimal"].map((point) => wmgp.share(row[`pruned_at_${point}`], row.n)),
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

  // The tensors that lose almost all values at the optimal amount, the largest loss first.
  wmgp.tensorsAtRisk = ({ tensors }) => {
    const lost = (row) => (row.n ? row.pruned_at_optimal / row.n : 0);
    return tensors.filter((row) => lost(row) >= AT_RISK).sort((a, b) => lost(b) - lost(a));
  };

  // A warning with a shortened list of names, as on the command line; the table of tensors has all names.
  wmgp.shortened = (warning) => {
    const names = wmgp.printable(warning).split(", ");
    return names.length <= 4 ? names.join(", ") : `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
  };

  wmgp.summarySentence = (point) =>
    `Pruning ${wmgp.percent(point.amount)} of the weights keeps ${wmgp.percent(point.cosine ** 2)} of the energy: ` +
    `cosine ${wmgp.fixed(point.cosine, 4)}, distance to utopia ${wmgp.fixed(point.distance, 4)}.`;

  // Expected cosine of random pruning: it keeps a proportional part of the pool's energy, and all energy outside.
  wmgp.randomCurve = (report) => {
    const poolEnergy = report.levels?.above[0];
    const share = report.distribution ? 1 : poolEnergy / (poolEnergy + report.unprunable_energy);
    return wmgp.amountGrid(101).map((amount) => [amount, Math.sqrt(1 - share * amount)]);
  };

  // Shares of weights and energy in bins of equal logarithmic width; null if all weights are zero.
  wmgp.magnitudeBins = (report) => {
    const { distribution, levels } = report;
    const { shares, energies, low, high } = distribution ? distributionBins(distribution) : levelBins(levels);
    if (!(low > 0 && high > low)) return null;
    const edges = Array.from({ length: BARS + 1 }, (_, i) => low * (high / low) ** (i / BARS));
    const between = (above, i) => above(edges[i]) - above(edges[i + 1]);
    return edges.slice(1).map((edge, i) => ({
      low: edges[i], high: edge, share: between(shares, i), energy: between(energies, i),
    }));
  };

  function distributionBins(distribution) {
    const ends = [0.002, 1 - 2e-5].map((amount) => distribution.pointAt(amount).threshold);
    return {
      shares: (t) => distribution.shares(t)[1],
      energies: (t) => distribution.energies(t)[1],
      low: ends[0],
      high: ends[1],
    };
  }

  function levelBins(levels) {
    const place = (t) => wmgp.firstNotBelow(levels.smallest, t);
    const { n, above, below, largest } = levels;
    const positive = Math.max(levels.threshold(Math.ceil(0.002 * n)), largest[place(Number.MIN_VALUE)] ?? 0);
    return {
      shares: (t) => 1 - below[place(t)] / n, energies: (t) => above[place(t)] / above[0], low: positive,
      high: largest.at(-1) * (1 + 1e-6),
    };
  }
})();
