"use strict";

const test = require("node:test");
const assert = require("node:assert/strict");
const { wmgp, checkpoint } = require("./load_modules.js");

const near = (a, b, absolute = 1e-12) => assert.ok(Math.abs(a - b) <= absolute, `${a} is not ${b}`);

test("amounts prune round(amount * n) values, halves to even", () => {
  assert.deepEqual([0.5, 1.5, 2.5, 3.5, 2.51].map((x) => wmgp.nToPrune(x / 10, 10)), [0, 2, 2, 4, 3]);
  assert.deepEqual(wmgp.amountGrid(3), [0, 0.5, 1]);
});

test("a front worked out by hand, with energy that cannot be pruned", () => {
  const levels = wmgp.sortedLevels(Float64Array.of(1, 2, 3, 4)); // energy 30
  const point = wmgp.pointAt(levels, 0.5, 10);
  near(point.cosine, Math.sqrt(35 / 40));
  near(point.distance, Math.hypot(0.5, 1 - Math.sqrt(35 / 40)));
  assert.deepEqual([point.threshold, point.n_pruned], [2, 2]);
  near(wmgp.largestAmount(levels, Math.sqrt(35 / 40) - 1e-9, 10), 0.5);
  assert.equal(wmgp.optimalPoint([{ distance: 2 }, { distance: 1, first: true }, { distance: 1 }]).first, true);
});

test("the safe factor: 1/ln(k2), 1/log2(k2) below e, at most 1, null if k2 is undefined", () => {
  near(wmgp.safeModifier(67), 1 / Math.log(67));
  near(wmgp.safeModifier(2.49), 1 / Math.log2(2.49));
  assert.deepEqual([1.5, 1, NaN].map(wmgp.safeModifier), [1, null, null]);
  near(wmgp.smallestOptimum(), 0.6521896, 1e-7);
});

test("a whole report, by hand: warnings, counts, undefined safe amount", async () => {
  const values = (...x) => Float32Array.from(x);
  const tensors = { "a.weight": values(4, 8), "a.bias": values(0.5), "b.weight": values(-1, 16, 2) };
  const report = await wmgp.analyze([checkpoint("m.safetensors", tensors)]);
  assert.deepEqual([report.source, report.n_parameters, report.n_prunable, report.safe], ["m.safetensors", 6, 6, null]);
  assert.equal(report.optimal.n_pruned, report.tensors.reduce((sum, row) => sum + row.pruned_at_optimal, 0));
  assert.deepEqual(report.warnings, [
    "1 tensor constant or of a single element: left out of the kurtosis of kurtoses",
    "no safe amount: the kurtosis of kurtoses is undefined (only 2 tensors left)",
    "the optimal amount prunes all of a.weight", // 16 alone holds three quarters of the energy
  ]);
});

test("warnings for a small pool, many zeros and equal kurtoses", async () => {
  const [some, none] = [Float32Array.of(1, -2, 4, 0), new Float32Array(90)];
  const twice = some.map((x) => 2 * x);
  const tensors = { "a.weight": some, "b.weight": twice, "c.weight": some, token: none };
  assert.deepEqual((await wmgp.analyze([checkpoint("m", tensors)])).warnings.slice(0, 3), [
    "the pool weight_bias holds 12 of 102 values; --include GLOB adds tensors to it from: token",
    "3 of the pool's 12 values (25%) are zero already, as after a prune: every amount counts these first, " +
      "and the answers are about them too",
    "no safe amount: the kurtosis of kurtoses is undefined (all kurtoses are equal)",
  ]);
});

test("checkpoints without prunable tensors or with only zeros are rejected", async () => {
  const some = checkpoint("m", { token: Float32Array.of(1) });
  await assert.rejects(wmgp.analyze([some]), /m: no prunable tensor in pool 'weight_bias'/);
  await assert.rejects(wmgp.analyze([checkpoint("m", { "a.weight": new Float32Array(3) })]), /m: all weights are zero/);
});
