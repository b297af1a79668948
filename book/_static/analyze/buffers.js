// Tell the buffers in a file from its parameters, as wmgp.buffers does: by name, as copies of the weights, by content.
"use strict";

wmgp.defineModule((wmgp) => {
  const words = (text) => new Set(text.split(" "));
  const STATE = words(
    "running_mean running_var num_batches_tracked inv_freq freqs_cis cos_cached sin_cached masked_bias " +
      "attn_mask relative_position_index position_ids",
  );
  const NAMES = words(
    "mask attention_mask causal_mask tril triu bias_mask relative_coords_table relative_position_bucket " +
      "window stft_window hann_window fb mel_fb mel_filters mel_filterbank mel_basis filterbank filter_bank dct_mat " +
      "anchors anchor_grid anchor_points stride strides freqs pixel_mean pixel_std image_mean image_std img_mean " +
      "img_std class_weight class_weights pos_weight queue w_avg latent_avg noise_const resample_filter " +
      "cluster_size ema_cluster_size embed_avg ema_w",
  );
  const SCHEDULE = new RegExp(
    "(^|\\.)(betas|alphas|sigmas|timesteps|alphas_cumprod(_prev)?|log_one_minus_\\w+|posterior_\\w+|" +
      "sqrt_(recipm?1?_)?(one_minus_)?alphas?\\w*)$",
  );
  const STATISTICS = /(^|\.)(mean|std)$/;
  const LOSS = /(^|[._])(criterion|loss|loss_fn|loss_func|loss_function)(\.\d+)?\.weight$/;
  const COPY = /(^|_)(ema|averaged|shadow)(_|$)/;
  const LISTED = /(^|_)(weight|bias|kernel|embedding|embeddings|embed|gamma|beta|alpha|scale|token|tokens|query)/;
  const [MAX_STATISTICS, MIN_VALUES, MIN_STEPS, PREFIX] = [4, 16, 8, 1 << 16];
  const [MIN_VARIATION, MIN_VARYING] = [0.1, 0.1];

  const last = (name) => name.slice(name.lastIndexOf(".") + 1);

  // The names of the buffers among the parameters. Reads the first values of each tensor, and all values of candidates.
  async function findBuffers(parameters) {
    const found = findCopies(parameters);
    for (const p of parameters) if (!found.has(p.name) && (byName(p) || (await byContent(p)))) found.add(p.name);
    return parameters.filter((p) => found.has(p.name)).map((p) => p.name);
  }

  // True for the state of common layers, for a pruning mask, and for a spectral norm's vector.
  function isState({ name, shape }, named) {
    const causal = shape.length === 4 && shape[0] === 1 && shape[1] === 1 && shape[2] === shape[3];
    const normed = named.has(`${name.slice(0, -2)}_orig`) || name.includes("parametrizations.");
    const vector = /_[uv]$/.test(name) && normed;
    const mask = name.endsWith("_mask") && named.has(`${name.slice(0, -5)}_orig`);
    return STATE.has(last(name)) || (name.endsWith("attn.bias") && causal) || vector || mask;
  }

  // True unless the last part of the name is that of a parameter, such as in_proj_weight or cls_token.
  const mayBeBuffer = (name) => !LISTED.test(last(name).toLowerCase());

  function byName({ name, shape, n }) {
    if (NAMES.has(last(name))) return true;
    if (Math.max(1, ...shape) !== n) return false;
    return SCHEDULE.test(name) || LOSS.test(name) || (STATISTICS.test(name) && n <= MAX_STATISTICS);
  }

  // The moving averages of weights that the file has too; their names may have lost their dots.
  function findCopies(parameters) {
    const marked = parameters.filter(({ name }) => name.split(".").slice(0, -1).some((part) => COPY.test(part)));
    const suffixes = (parts) => [0, 1, 2].filter((i) => i < parts.length).map((i) => parts.slice(i).join(""));
    const key = (suffix, shape) => `${suffix} ${shape}`;
    const originals = new Set();
    for (const p of marked.length ? parameters : []) {
      if (marked.includes(p)) continue;
      for (const suffix of suffixes(p.name.split("."))) originals.add(key(suffix, p.shape));
    }
    const isCopy = ({ name, shape }) => {
      const parts = name.split(".");
      const after = parts.slice(parts.findIndex((part) => COPY.test(part)) + 1);
      return suffixes(after).some((suffix) => originals.has(key(suffix, shape)));
    };
    return new Set(marked.filter(isCopy).map((p) => p.name));
  }

  async function byContent(p) {
    const isWeight = ["weight", "bias"].includes(last(p.name));
    const shape = p.shape.filter((n) => n !== 1);
    if (p.n < MIN_VALUES || p.mask || (isWeight && shape.length < 2)) return false;
    const columns = shape.at(-1);
    const size = Math.min(p.n, Math.max(PREFIX, MIN_STEPS * columns));
    const check = async (n) => looksLikeBuffer(await firstValues(p, n - (n % columns)), shape, p.dtype, isWeight);
    return (await check(size)) && (size === p.n || check(p.n));
  }

  async function firstValues(p, n) {
    const values = new Float64Array(n);
    let filled = 0;
    await wmgp.forEachBlock([{ ...p, n, nbytes: (p.nbytes / p.n) * n }], (_, block, { dtype }) => {
      values.set(wmgp.asFloats(block, dtype), filled);
      filled += block.length;
    });
    return values;
  }

  // True if training hardly leaves such values; a weight can only be a causal mask.
  function looksLikeBuffer(values, shape, dtype, isWeight) {
    if (values.some(Number.isNaN) || !values.some((x) => x !== 0)) return false;
    const twoValued = hasTwoValues(values);
    if (isWeight) return twoValued && isTriangular(values, shape);
    if (twoValued) return true;
    if (shape.length === 1) return vectorLooksLikeBuffer(values, dtype);
    const [columns, height] = [shape.at(-1), shape.at(-2)];
    const rows = values.length / columns;
    if (equalsShifted(values, columns, 0, 1) || equalsShifted(values, columns, 1, 0)) return true;
    if (isTriangular(values, shape) || isToeplitz(values, shape)) return true;
    const down = (x, step, line) => x[step * columns + line];
    const along = (x, step, line) => x[line * columns + step];
    return (
      followsRecurrence(values, down, Math.min(height, rows), columns, dtype) ||
      followsRecurrence(values, along, columns, rows, dtype)
    );
  }

  function hasTwoValues(values) {
    const [low, high] = values.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [Infinity, -Infinity]);
    const count = (end) => values.reduce((total, x) => total + (x === end ? 1 : 0), 0);
    const counts = [count(low), count(high)];
    return low < high && Math.min(...counts) > 1 && counts[0] + counts[1] === values.length;
  }

  function vectorLooksLikeBuffer(values, dtype) {
    const steps = values.slice(1).map((x, i) => x - values[i]);
    const moving = steps.filter((x) => x !== 0).length;
    if ((steps.every((x) => x >= 0) || steps.every((x) => x <= 0)) && 2 * moving > steps.length) return true;
    return followsRecurrence(steps, (x, step) => x[step], steps.length, 1, dtype);
  }

  // True if all rows are equal (1 row, 0 columns apart), or all values of each row (0 rows, 1 column apart).
  function equalsShifted(values, columns, byRows, byColumns) {
    for (let i = 0; i < values.length; i++) {
      if (i % columns < byColumns || i < byRows * columns) continue;
      if (values[i] !== values[i - byRows * columns - byColumns]) return false;
    }
    return true;
  }

  // True if the values strictly above or below the diagonal equal the corner, and most others do not.
  function isTriangular(values, shape) {
    const size = shape.at(-1);
    if (size !== shape.at(-2) || size < MIN_STEPS) return false;
    const above = [(row, column) => column > row, values[size - 1]];
    const below = [(row, column) => column < row, values[size]];
    return [above, below].some(([inside, corner]) => {
      let [others, equal] = [0, 0];
      for (let i = 0; i < values.length; i++) {
        const [row, column] = [Math.floor(i / size) % size, i % size];
        if (inside(row, column)) {
          if (values[i] !== corner) return false;
          continue;
        }
        others += 1;
        equal += values[i] === corner ? 1 : 0;
      }
      return 2 * equal < others;
    });
  }

  // True if every diagonal is constant, as in relative position biases.
  function isToeplitz(values, shape) {
    const [columns, height] = [shape.at(-1), shape.at(-2)];
    if (Math.min(columns, height) < MIN_STEPS || 2 * values.filter((x) => x !== 0).length < values.length) return false;
    for (let i = columns; i < values.length; i++) {
      if (i % columns === 0 || Math.floor(i / columns) % height === 0) continue;
      if (values[i] !== values[i - columns - 1]) return false;
    }
    return true;
  }

  // True if every line satisfies x[t-1] + x[t+1] = c x[t]: sinusoids, ramps and geometric sequences.
  function followsRecurrence(values, at, steps, lines, dtype) {
    if (steps < MIN_STEPS || !values.every(Number.isFinite)) return false;
    const tolerance = dtype === "float16" || dtype === "bfloat16" ? 0.02 : 0.002;
    let [used, varying, follows] = [0, 0, true];
    for (let line = 0; line < lines; line++) {
      const found = recurrenceError(values, at, steps, line);
      if (found.energy === 0) {
        if (found.error > 0) return false;
        continue;
      }
      used += 1;
      varying += found.variance * steps > MIN_VARIATION ** 2 * found.energy ? 1 : 0;
      follows &&= found.error <= tolerance ** 2 * found.energy;
    }
    return used > 0 && varying / used >= MIN_VARYING && follows;
  }

  // The energy of a line's inner values, the squared error of the best recurrence, and the variance of the line.
  function recurrenceError(values, at, steps, line) {
    const x = Array.from({ length: steps }, (_, t) => at(values, t, line));
    const middle = x.slice(1, -1);
    const neighbours = middle.map((_, i) => x[i] + x[i + 2]);
    const sum = (list) => list.reduce((total, y) => total + y, 0);
    const energy = sum(middle.map((y) => y * y));
    const factor = energy === 0 ? 0 : sum(middle.map((y, i) => y * neighbours[i])) / energy;
    const mean = sum(x) / steps;
    return {
      energy,
      error: sum(neighbours.map((y, i) => (y - factor * middle[i]) ** 2)),
      variance: sum(x.map((y) => (y - mean) ** 2)) / steps,
    };
  }

  Object.assign(wmgp, { findBuffers, isState, mayBeBuffer, looksLikeBuffer });
});
