// The levels -> the L1 Pareto front of amount and cosine, its utopia optimum, and the safe amount.
"use strict";

wmgp.room((wmgp) => {
  const UNDEFINED_K2 = 1 + 1e-12; // at and below this a kurtosis of kurtoses has no logarithm to divide by

  // That many equally spaced amounts on [0, 1].
  const grid = (amounts) => Array.from({ length: amounts }, (_, i) => i / (amounts - 1));

  // round(amount * n), halves to even: the number of values that an amount prunes.
  function rank(amount, n) {
    const exact = amount * n;
    const floor = Math.floor(exact);
    const rest = exact - floor;
    return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  }

  const distance = (amount, cosine) => Math.sqrt((1 - amount) ** 2 + (1 - cosine) ** 2);

  // The prune of one amount of a pool beside parameters of `frozen` energy that cannot be pruned.
  function pointAt(magnitudes, amount, frozen) {
    const pruned = rank(amount, magnitudes.n);
    const kept = (magnitudes.keptEnergy(pruned) + frozen) / (magnitudes.above[0] + frozen);
    const cosine = Math.min(Math.sqrt(kept), 1);
    const threshold = magnitudes.threshold(pruned);
    return { amount, cosine, threshold, n_pruned: pruned, distance: distance(amount, cosine) };
  }

  // The point nearest to utopia; of equals the smallest amount.
  const optimal = (points) => points.reduce((best, point) => (point.distance < best.distance ? point : best));

  // The largest amount whose cosine is at least this one, as a multiple of 1/n.
  function mostAmount(magnitudes, cosine, frozen) {
    const energy = magnitudes.above[0] + frozen;
    return magnitudes.mostPruned(Math.max(cosine ** 2 * energy - frozen, 0)) / magnitudes.n;
  }

  // The authors' factor on the optimal amount, 1/ln(k2), or 1/log2(k2) where k2 < e, at most 1; null where undefined.
  function safeFactor(k2) {
    if (!(k2 > UNDEFINED_K2)) return null;
    return Math.min(1, 1 / (k2 >= Math.E ? Math.log(k2) : Math.log2(k2)));
  }

  // The rule's smallest possible answer: 1 - x^2 with 2x^3 + x - 1 = 0, for any weights at all (book/theorem.md).
  function floor() {
    const root = Math.sqrt(1 / 16 + 1 / 216);
    return 1 - (Math.cbrt(1 / 4 + root) + Math.cbrt(1 / 4 - root)) ** 2;
  }

  Object.assign(wmgp, { grid, rank, distance, pointAt, optimal, mostAmount, safeFactor, floor });
});
