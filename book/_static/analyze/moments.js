// Moments about the mean, mergeable without loss of digits: {n, mean, m2, m3, m4}. Pearson's population kurtosis.
"use strict";

wmgp.defineModule((wmgp) => {
  const EMPTY_MOMENTS = { n: 0, mean: 0, m2: 0, m3: 0, m4: 0 };

  // Moments from sums of the powers 1 to 4 of the deviations from a centre near the mean.
  function momentsFromPowers(n, centre, s1, s2, s3, s4) {
    const d = s1 / Math.max(n, 1); // from the centre to the mean
    return {
      n,
      mean: centre + d,
      m2: Math.max(s2 - d * s1, 0),
      m3: s3 - 3 * d * s2 + 2 * d ** 2 * s1,
      m4: Math.max(s4 - 4 * d * s3 + 6 * d ** 2 * s2 - 3 * d ** 3 * s1, 0),
    };
  }

  // The moments of two blocks together (Chan et al. 1982; Pebay 2008, SAND2008-6212).
  function mergeMoments(a, b) {
    if (!a.n || !b.n) return a.n ? a : b;
    const n = a.n + b.n;
    const mean = a.mean + (b.n * (b.mean - a.mean)) / n; // equal means merge to exactly themselves
    const shifted = [a, b].map(({ n: k, mean: old, m2, m3, m4 }) => {
      const d = old - mean;
      return [m2 + k * d ** 2, m3 + 3 * d * m2 + k * d ** 3, m4 + 4 * d * m3 + 6 * d ** 2 * m2 + k * d ** 4];
    });
    const [m2, m3, m4] = [0, 1, 2].map((i) => shifted[0][i] + shifted[1][i]);
    return { n, mean, m2, m3, m4 };
  }

  // The moments of some numbers.
  function moments(values) {
    if (values.length === 0) return EMPTY_MOMENTS;
    let total = 0;
    for (const x of values) total += x - values[0];
    const centre = values[0] + total / values.length;
    let [s1, s2, s3, s4] = [0, 0, 0, 0];
    for (const x of values) {
      const d = x - centre;
      const square = d * d;
      s1 += d;
      s2 += square;
      s3 += square * d;
      s4 += square * square;
    }
    return momentsFromPowers(values.length, centre, s1, s2, s3, s4);
  }

  const energy = ({ n, mean, m2 }) => m2 + n * mean ** 2;
  const kurtosis = ({ n, m2, m4 }) => (m2 > 0 ? (n * m4) / m2 ** 2 : NaN);

  // The kurtosis of the tensors' kurtoses, without constant and single-element tensors; NaN for fewer than three.
  function kurtosisOfKurtoses(tensors) {
    const found = tensors.map(kurtosis).filter(Number.isFinite);
    return found.length >= 3 ? kurtosis(moments(found)) : NaN;
  }

  Object.assign(wmgp, {
    EMPTY_MOMENTS, momentsFromPowers, mergeMoments, moments, energy, kurtosis, kurtosisOfKurtoses,
  });
});
