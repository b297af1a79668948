"use strict";

const test = require("node:test");
const assert = require("node:assert/strict");
const { wmgp, numbers } = require("./load_modules.js");

const near = (a, b, relative = 1e-12) => assert.ok(Math.abs(a - b) <= relative * Math.max(1, Math.abs(b)), `${a} ${b}`);

test("moments and kurtosis worked out by hand", () => {
  const found = wmgp.moments([1, 2, 3, 6]); // about 3: -2, -1, 0, 3
  assert.deepEqual([found.n, found.mean, found.m2, found.m3, found.m4], [4, 3, 14, 18, 98]);
  near(wmgp.kurtosis(found), (4 * 98) / 196);
  assert.equal(wmgp.energy(found), 50);
});

test("pieces merge to the moments of the whole, far from zero too", () => {
  const values = numbers(3000).map((x) => x ** 4 + 1000);
  const whole = wmgp.moments(values);
  const parts = [0, 10, 11, 1500].map((start, i, cuts) => wmgp.moments(values.slice(start, cuts[i + 1])));
  const merged = parts.reduce(wmgp.mergeMoments, wmgp.EMPTY_MOMENTS);
  for (const name of Object.keys(whole)) near(merged[name], whole[name]);
});

test("constants have no variance, and no kurtosis, however they are merged", () => {
  const constant = wmgp.mergeMoments(wmgp.moments(Array(7).fill(0.1)), wmgp.moments(Array(5).fill(0.1)));
  assert.equal(constant.m2, 0);
  assert.ok(Number.isNaN(wmgp.kurtosis(constant)));
});

test("the kurtosis of kurtoses leaves out constants and needs three", () => {
  const tensors = [[1, 2, 4], [1, 1, 1, 5], [0, 1, 2, 3, 9]].map(wmgp.moments);
  const constant = wmgp.moments([2, 2]);
  const expected = wmgp.kurtosis(wmgp.moments(tensors.map(wmgp.kurtosis)));
  near(wmgp.kurtosisOfKurtoses([...tensors, constant]), expected);
  assert.ok(Number.isNaN(wmgp.kurtosisOfKurtoses([tensors[0], tensors[1], constant])));
});
