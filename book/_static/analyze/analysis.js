// Analyse files as `wmgp analyze` does: the report has the same names, numbers and warnings.
"use strict";

wmgp.defineModule((wmgp) => {
  const MANY_ZEROS = 0.05; // share of the pool

  const countTensors = (n) => (n === 1 ? `${n} tensor` : `${n} tensors`);

  // Return the report of one checkpoint, as the package's to_dict, with `levels` and `unprunable_energy`, from which
  // the page computes the point of any amount. Throws an InputError with a message of one line.
  async function analyze(files, pool = "weight_bias", progress = () => {}, amounts = 101) {
    const checkpoint = await wmgp.openCheckpoint(files);
    const parameters = wmgp.collect(checkpoint, pool);
    const count = (list) => list.reduce((total, p) => total + p.n, 0);
    const n = count(parameters.filter((p) => p.prunable));
    if (n === 0) throw new wmgp.InputError(`${checkpoint.label}: no prunable tensor in pool '${pool}'`);
    const measurement = await wmgp.measure(parameters, progressOf(parameters, progress));
    const pooled = measurement.tensors.filter((_, i) => parameters[i].prunable);
    const k2 = wmgp.kurtosisOfKurtoses(pooled);
    return {
      source: checkpoint.label,
      pool,
      n_parameters: count(parameters),
      n_prunable: n,
      kurtosis: wmgp.kurtosis(pooled.reduce(wmgp.mergeMoments, wmgp.EMPTY_MOMENTS)),
      kurtosis_of_kurtoses: k2,
      ...(await computePoints(checkpoint.label, pool, measurement, k2, wmgp.amountGrid(amounts))),
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
    // The safe amount of every grid point is made exact too, so that one pass is enough for the front and safe amount.
    const safeRanks = amounts.map((amount) => wmgp.nToPrune(amount * (modifier ?? 0), n));
    const levels = await measurement.levels([...amounts.map((amount) => wmgp.nToPrune(amount, n)), ...safeRanks]);
    const unprunableEnergy = tensors.reduce((sum, m, i) => sum + (parameters[i].prunable ? 0 : wmgp.energy(m)), 0);
    if (levels.above[0] + unprunableEnergy === 0) {
      throw new wmgp.InputError(`${label}: all weights are zero, and a zero vector has no cosine similarity`);
    }
    const grid = amounts.map((amount) => wmgp.pointAt(levels, amount, unprunableEnergy));
    const optimal = wmgp.optimalPoint(grid);
    const safe = modifier === null ? null : wmgp.pointAt(levels, optimal.amount * modifier, unprunableEnergy);
    const front = Object.fromEntries(Object.keys(optimal).map((name) => [name, grid.map((point) => point[name])]));
    const rows = await tensorRows(measurement, levels, optimal, safe);
    const warnings = [...poolWarnings(pool, levels, rows), ...safeWarnings(k2, rows, safe)];
    return { front, optimal, safe, tensors: rows, warnings, unprunable_energy: unprunableEnergy, levels };
  }

  async function tensorRows(measurement, levels, optimal, safe) {
    const ranks = [optimal, safe].filter(Boolean).map((point) => point.n_pruned);
    const pruned = await measurement.pruned(levels, ranks);
    return measurement.parameters.map(({ name, shape, dtype, n, prunable }, i) => ({
      name, shape, dtype, n, prunable,
      kurtosis: wmgp.kurtosis(measurement.tensors[i]),
      energy: wmgp.energy(measurement.tensors[i]),
      pruned_at_optimal: pruned[0][i],
      pruned_at_safe: safe ? pruned[1][i] : null,
    }));
  }

  // Warnings of a pool with few of the values, or with many zeros.
  function poolWarnings(pool, levels, rows) {
    const [n, whole] = [levels.n, rows.reduce((total, row) => total + row.n, 0)];
    const zeros = levels.count.reduce((total, count, i) => total + (levels.largest[i] === 0 ? count : 0), 0);
    const found = [];
    if (pool !== "all" && 2 * n < whole) {
      const inPool = `the pool ${pool} holds ${wmgp.count(n)} of ${wmgp.count(whole)} values`;
      found.push(`${inPool}; --pool all (pool="all" in Python) prunes the others too`);
    }
    if (zeros >= MANY_ZEROS * n) {
      const share = `${wmgp.count(zeros)} of the pool's ${wmgp.count(n)} values (${Math.floor((100 * zeros) / n)}%)`;
      const why = "every amount counts these first, and the answers are about them too";
      found.push(`${share} are zero already, as after a prune: ${why}`);
    }
    return found;
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
    for (const which of ["optimal", "safe"]) {
      const lost = pool.filter((row) => row.n && row[`pruned_at_${which}`] === row.n).map((row) => row.name);
      if (lost.length) found.push(`the ${which} amount prunes all of ${lost.join(", ")}`);
    }
    return found;
  }

  Object.assign(wmgp, { analyze });
});
