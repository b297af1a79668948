// Analyse files as `wmgp analyze` does: the report has the same names, numbers and warnings.
"use strict";

wmgp.defineModule((wmgp) => {
  const MANY_ZEROS = 0.05; // share of the pool
  const MIN_OUTSIDE = 0.01; // share of the energy outside the pool
  const POINTS = ["careful", "safe", "optimal"];

  const countTensors = (n) => (n === 1 ? `${n} tensor` : `${n} tensors`);

  // Return the report of one checkpoint, as the package's to_dict, with `levels` and `unprunable_energy`, from which
  // the page computes the point of any amount. Throws an InputError with a message of one line.
  async function analyze(files, pool = "weight_bias", progress = () => {}, amounts = 101) {
    const checkpoint = await wmgp.openCheckpoint(files);
    const { parameters, warnings } = await wmgp.collect(checkpoint, pool);
    const count = (list) => list.reduce((total, p) => total + p.n, 0);
    const n = count(parameters.filter((p) => p.prunable));
    if (n === 0) throw new wmgp.InputError(`${checkpoint.label}: no prunable tensor in pool '${pool}'`);
    const measurement = await wmgp.measure(parameters, progressOf(parameters, progress));
    const pooled = measurement.tensors.filter((_, i) => measurement.parameters[i].prunable);
    const k2 = wmgp.kurtosisOfKurtoses(pooled);
    const points = await computePoints(checkpoint.label, pool, measurement, k2, wmgp.amountGrid(amounts));
    return {
      source: checkpoint.label,
      pool,
      n_parameters: count(measurement.parameters),
      n_prunable: n,
      kurtosis: wmgp.kurtosis(pooled.reduce(wmgp.mergeMoments, wmgp.EMPTY_MOMENTS)),
      kurtosis_of_kurtoses: k2,
      ...points,
      warnings: [...warnings, ...points.warnings],
    };
  }

  // Progress as the share of bytes read. The second and third pass may read fewer bytes, so it can end before 1.
  function progressOf(parameters, progress) {
    const bytes = parameters.reduce((total, p) => total + p.nbytes * (wmgp.isHalf(p.dtype) ? 1 : 3), 0);
    let done = 0;
    return (more) => progress(Math.min((done += more) / bytes, 1));
  }

  async function computePoints(label, pool, measurement, k2, amounts) {
    const { parameters, tensors } = measurement;
    const n = measurement.coarse.n;
    const modifier = wmgp.safeModifier(k2);
    // The safe amount of every grid point is made exact too, so that one pass is enough for all points.
    const careful99 = wmgp.carefulRank(measurement.coarse);
    const ranks = [...amounts, ...amounts.map((amount) => amount * (modifier ?? 0))];
    const levels = await measurement.levels([...ranks.map((x) => wmgp.nToPrune(x, n)), careful99, careful99 + 1]);
    const unprunableEnergy = tensors.reduce((sum, m, i) => sum + (parameters[i].prunable ? 0 : wmgp.energy(m)), 0);
    if (levels.above[0] + unprunableEnergy === 0) {
      throw new wmgp.InputError(`${label}: all weights are zero, and a zero vector has no cosine similarity`);
    }
    const grid = amounts.map((amount) => wmgp.pointAt(levels, amount, unprunableEnergy));
    const optimal = wmgp.optimalPoint(grid);
    const safe = modifier === null ? null : wmgp.pointAt(levels, optimal.amount * modifier, unprunableEnergy);
    const careful = wmgp.pointAt(levels, wmgp.carefulAmount(levels, grid, modifier), unprunableEnergy);
    const front = Object.fromEntries(Object.keys(optimal).map((name) => [name, grid.map((point) => point[name])]));
    const rows = await tensorRows(measurement, levels, { careful, safe, optimal });
    const outside = unprunableEnergy / (unprunableEnergy + levels.above[0]);
    const warnings = [
      ...notFiniteWarnings(measurement.notFinite), ...poolWarnings(pool, levels, rows),
      ...outsideWarnings(outside, optimal, rows), ...zeroWarnings(levels), ...safeWarnings(k2, rows, safe),
    ];
    const points = { front, careful, safe, optimal, outside };
    return { ...points, tensors: rows, warnings, unprunable_energy: unprunableEnergy, levels };
  }

  async function tensorRows(measurement, levels, points) {
    const ranks = POINTS.map((name) => points[name]?.n_pruned ?? 0);
    const { pruned, zeros } = await measurement.pruned(levels, ranks);
    return measurement.parameters.map(({ name, shape, dtype, n, prunable }, i) => ({
      name, shape, dtype, n, prunable,
      zeros: zeros[i],
      kurtosis: wmgp.kurtosis(measurement.tensors[i]),
      energy: wmgp.energy(measurement.tensors[i]),
      ...Object.fromEntries(POINTS.map((point, k) => [`pruned_at_${point}`, points[point] ? pruned[k][i] : null])),
    }));
  }

  function notFiniteWarnings(names) {
    return names.length ? [`left out for NaN or infinity outside the pool: ${names.join(", ")}`] : [];
  }

  // A warning of a pool with few of the values.
  function poolWarnings(pool, levels, rows) {
    const [n, whole] = [levels.n, rows.reduce((total, row) => total + row.n, 0)];
    if (pool === "all" || 2 * n >= whole) return [];
    const outside = rows.filter((row) => !row.prunable).sort((a, b) => b.n - a.n);
    const inPool = `the pool ${pool} holds ${wmgp.count(n)} of ${wmgp.count(whole)} values`;
    return [`${inPool}; --include GLOB adds tensors to it from: ${outside.map((row) => row.name).join(", ")}`];
  }

  // Name the tensors outside the pool from the largest energy down, until the rest hold less than 1% of it.
  function outsideWarnings(outside, optimal, rows) {
    if (!(outside >= MIN_OUTSIDE)) return [];
    const others = rows.filter((row) => !row.prunable).sort((a, b) => b.energy - a.energy);
    const total = others.reduce((sum, row) => sum + row.energy, 0);
    const names = [];
    for (let held = 0; held < (1 - MIN_OUTSIDE) * total && names.length < others.length; ) {
      held += others[names.length].energy;
      names.push(others[names.length].name);
    }
    const share = `${wmgp.general(100 * outside, 3)}% of the energy lies outside the pool`;
    const [whole, pool] = [optimal.cosine, optimal.pool_cosine].map((x) => wmgp.fixed(x, 4));
    const cosines = `the cosine is ${whole} and over the pool alone ${pool}`;
    return [`${share}: at the optimal amount ${cosines}; outside are ${names.join(", ")}`];
  }

  function zeroWarnings(levels) {
    const n = levels.n;
    const zeros = levels.count.reduce((total, count, i) => total + (levels.largest[i] === 0 ? count : 0), 0);
    if (zeros < MANY_ZEROS * n) return [];
    const share = `${wmgp.count(zeros)} of the pool's ${wmgp.count(n)} values (${Math.floor((100 * zeros) / n)}%)`;
    const why = "every amount counts these first, and the answers are about them too";
    return [`${share} are zero already, as after a prune: ${why}`];
  }

  function safeWarnings(k2, rows, safe) {
    const found = [];
    const pool = rows.filter((row) => row.prunable);
    const nUndefined = pool.filter((row) => Number.isNaN(row.kurtosis)).length;
    if (nUndefined) {
      found.push(`${countTensors(nUndefined)} constant or of a single element: left out of the kurtosis of kurtoses`);
    }
    if (safe === null) {
      const left = pool.length - nUndefined;
      const known = Number.isNaN(k2) ? "all kurtoses are equal" : `it is ${+k2.toPrecision(6)}`;
      const why = left >= 3 ? known : `only ${countTensors(left)} left`;
      found.push(`no safe amount: the kurtosis of kurtoses is undefined (${why})`);
    }
    const isBias = ({ name }) => /(^|\.)bias$/.test(name); // a layer works without its bias
    for (const which of POINTS) {
      const all = (row) => row.n && row[`pruned_at_${which}`] === row.n && !isBias(row);
      const lost = pool.filter(all).map((row) => row.name);
      if (lost.length) found.push(`the ${which} amount prunes all of ${lost.join(", ")}`);
    }
    return found;
  }

  Object.assign(wmgp, { analyze });
});
