"use strict";

const fs = require("node:fs");
const test = require("node:test");
const assert = require("node:assert/strict");
const { wmgp } = require("./load_modules.js");

const near = (a, b, absolute = 1e-9) => assert.ok(Math.abs(a - b) <= absolute, `${a} is not ${b}`);
const ORACLE = process.env.WMGP_ORACLE ? JSON.parse(fs.readFileSync(process.env.WMGP_ORACLE, "utf8")) : null;
const skip = ORACLE ? false : "tests/test_javascript.py provides the package's values";

test("special functions at known values", () => {
  near(wmgp.logGamma(5), Math.log(24), 1e-13);
  near(wmgp.logGamma(0.5), Math.log(Math.PI) / 2, 1e-13);
  near(wmgp.regularizedGamma(1, 2)[1], Math.exp(-2), 1e-15);
  near(wmgp.regularizedGamma(0.5, 0.5)[0], 0.6826894921370859, 1e-14); // a normal within one standard deviation
  near(wmgp.regularizedBeta(1, 1, 0.3, 0.7)[0], 0.3, 1e-15);
  near(wmgp.regularizedBeta(0.5, 0.5, 0.5, 0.5)[0], 0.5, 1e-14);
  near(wmgp.findRoot((x) => 2 - x ** 2), Math.SQRT2, 1e-15);
});

test("the optima known in closed form", () => {
  const known = { uniform: [0.7451371, 0.7656879], normal: [0.8007836, 0.8053143], laplace: [0.8435333, 0.8460946] };
  for (const [family, [amount, cosine]] of Object.entries(known)) {
    const { optimal } = new wmgp.Distribution(family, null);
    near(optimal.amount, amount, 1e-7);
    near(optimal.cosine, cosine, 1e-7);
  }
});

test("a uniform's front is sqrt(1 - p^3), and every front goes from 1 to 0", () => {
  for (const family of Object.keys(wmgp.FAMILIES)) {
    const law = new wmgp.Distribution(family, wmgp.FAMILIES[family].tail?.initial ?? null);
    assert.deepEqual([law.pointAt(0).cosine, law.pointAt(1).cosine], [1, 0]);
    near(law.atCosine(0.9).cosine, 0.9, 1e-12);
    if (family === "uniform") near(law.pointAt(0.7).cosine, Math.sqrt(1 - 0.7 ** 3), 1e-14);
  }
});

test("fronts, optima and kurtoses are those of wmgp.closed_forms", { skip }, () => {
  assert.ok(ORACLE.distributions.length >= 10);
  for (const { family, tail, kurtosis, amount, cosine, optimal, at99 } of ORACLE.distributions) {
    const law = new wmgp.Distribution(family, tail);
    amount.forEach((p, i) => near(law.pointAt(p).cosine, cosine[i]));
    for (const name of ["amount", "cosine", "threshold", "distance"]) near(law.optimal[name], optimal[name], 1e-8);
    near(law.atCosine(0.99).amount, at99);
    if (kurtosis === null) assert.equal(law.kurtosis, Infinity);
    else near(law.kurtosis / kurtosis, 1);
  }
});

test("numbers are printed as Python prints them", { skip }, () => {
  for (const [x, digits, fixed, general] of ORACLE.numbers) {
    assert.equal(wmgp.fixed(x, digits), fixed, `${x} .${digits}f`);
    assert.equal(wmgp.general(x, Math.max(digits, 1)), general, `${x} .${digits}g`);
  }
  for (const [name, printed] of ORACLE.names) assert.equal(wmgp.printable(name), printed);
});

test("whole reports are the package's", { skip }, async () => {
  for (const { file, pool, report } of ORACLE.reports) {
    const blob = Object.assign(await fs.openAsBlob(file), { name: "m.safetensors" });
    const { levels, unprunable_energy: frozen, ...found } = await wmgp.analyze([blob], pool);
    compare(found, report, `${file} ${pool}`);
    const at99 = wmgp.pointAt(levels, wmgp.largestAmount(levels, 0.99, frozen), frozen);
    compare(at99, report["at_cosine_0.99"], `${file} ${pool} 0.99`);
  }
});

// The blob has another name, and the point at cosine 0.99 is computed separately.
const NOT_OF_A_REPORT = ["source", "at_cosine_0.99"];

function compare(ours, theirs, where) {
  if (theirs === null) return assert.ok(ours === null || Number.isNaN(ours), where);
  if (typeof theirs === "number") return near(ours, theirs, 1e-9 * Math.max(1, Math.abs(theirs)));
  if (typeof theirs !== "object") return assert.equal(ours, theirs, where);
  const keys = Object.keys(theirs).filter((key) => !NOT_OF_A_REPORT.includes(key));
  for (const key of keys) compare(ours[key], theirs[key], `${where} ${key}`);
}
