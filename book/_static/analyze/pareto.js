// Compute from the levels the L1 Pareto front of amount and cosine, the optimal and the safe amount.
"use strict";

wmgp.defineModule((wmgp) => {
  const UNDEFINED_K2 = 1 + 1e-12; // at most this: the logarithm of the kurtosis of kurtoses is no usable divisor

  // Equally spaced amounts on [0, 1].
  const amountGrid = (amounts) => Array.from({ length: amounts }, (_, i) => i / (amounts - 1));

  // The number of values that an amount prunes: round(amount * n), halves to even.
  function nToPrune(amount, n) {
    const exact = amount * n;
    const floor = Math.floor(exact);
    const rest = exact - floor;
    return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
  }

  const distance = (amount, cosine) => Math.sqrt((1 - amount) ** 2 + (1 - cosine) ** 2);

  // The point of an amount of the pool, where the parameters outside the pool have `unprunableEnergy`.
  function pointAt(magnitudes, amount, unprunableEnergy) {
    const pruned = nToPrune(amount, magnitudes.n);
    const kept = (magnitudes.keptEnergy(pruned) + unprunableEnergy) / (magnitudes.above[0] + unprunableEnergy);
    const cosine = Math.min(Math.sqrt(kept), 1);
    const poolCosine = Math.min(Math.sqrt(magnitudes.keptEnergy(pruned) / magnitudes.above[0]), 1);
    const threshold = magnitudes.threshold(pruned);
    return { amount, cosine, pool_cosine: poolCosine, threshold, n_pruned: pruned, distance: distance(amount, cosine) };
  }

  // The point nearest to utopia; among equals the smallest amount.
  const optimalPoint = (points) => points.reduce((best, point) => (point.distance < best.distance ? point : best));

  // The largest amount whose cosine is at least this one, as a multiple of 1/n.
  function largestAmount(magnitudes, cosine, unprunableEnergy) {
    const energy = magnitudes.above[0] + unprunableEnergy;
    return magnitudes.mostPruned(Math.max(cosine ** 2 * energy - unprunableEnergy, 0)) / magnitudes.n;
  }

  // The authors' factor on the optimal amount: 1/ln(k2), or 1/log2(k2) if k2 < e, at most 1; null if undefined.
  function safeModifier(k2) {
    if (!(k2 > UNDEFINED_K2)) return null;
    return Math.min(1, 1 / (k2 >= Math.E ? Math.log(k2) : Math.log2(k2)));
  }

  const CAREFUL_COSINE = 0.99;

  // The number of pruned values at which the cosine over the pool alone is 0.99.
  const carefulRank = (magnitudes) => magnitudes.mostPruned(CAREFUL_COSINE ** 2 * magnitudes.above[0]);

  // The smaller of the safe amount and the amount of cosine 0.99, both by the cosine over the pool alone.
  function carefulAmount(magnitudes, points, modifier) {
    const atCosine = carefulRank(magnitudes) / magnitudes.n;
    if (modifier === null || magnitudes.above[0] === 0) return atCosine;
    const inPool = points.map((point) => ({ ...point, distance: distance(point.amount, point.pool_cosine) }));
    return Math.min(atCosine, optimalPoint(inPool).amount * modifier);
  }

  // The smallest optimal amount of any weights: 1 - x^2 with 2x^3 + x - 1 = 0 (book/theorem.md).
  function smallestOptimum() {
    const root = Math.sqrt(1 / 16 + 1 / 216);
    return 1 - (Math.cbrt(1 / 4 + root) + Math.cbrt(1 / 4 - root)) ** 2;
  }

  Object.assign(wmgp, {
    amountGrid, nToPrune, distance, pointAt, optimalPoint, largestAmount, safeModifier, smallestOptimum, carefulRank,
    carefulAmount,
  });
});
