// Regularised incomplete gamma and beta functions, each with its complement, so that small values keep their digits.
"use strict";

wmgp.defineModule((wmgp) => {
  const LANCZOS = [
    0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
    12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ];
  const TINY = 1e-300;
  const RELATIVE_ERROR = 1e-16;

  // The logarithm of the gamma function of x > 0 (Lanczos 1964, g = 7).
  function logGamma(x) {
    if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
    const sum = LANCZOS.slice(1).reduce((total, c, i) => total + c / (x + i), LANCZOS[0]);
    const t = x + 6.5;
    return Math.log(2 * Math.PI) / 2 + (x - 0.5) * Math.log(t) - t + Math.log(sum);
  }

  // The continued fraction b0 + a1/(b1 + a2/(b2 + ...)) by Lentz's method; `term(i)` is [a_i, b_i].
  function continuedFraction(b0, term) {
    let value = b0 || TINY;
    let [c, d] = [value, 0];
    for (let i = 1; i < 10_000; i++) {
      const [a, b] = term(i);
      d = 1 / (b + a * d || TINY);
      c = b + a / c || TINY;
      value *= c * d;
      if (Math.abs(c * d - 1) < RELATIVE_ERROR) break;
    }
    return value;
  }

  // [P(a, x), 1 - P(a, x)]: the probabilities of a Gamma(a) variable below and above x.
  function regularizedGamma(a, x) {
    if (x <= 0) return [0, 1];
    if (x === Infinity) return [1, 0];
    const front = Math.exp(a * Math.log(x) - x - logGamma(a));
    if (x < a + 1) {
      let [sum, term] = [1 / a, 1 / a];
      for (let i = 1; term > sum * RELATIVE_ERROR; i++) sum += term *= x / (a + i);
      return [front * sum, 1 - front * sum];
    }
    const above = front / continuedFraction(x + 1 - a, (i) => [-i * (i - a), x + 2 * i + 1 - a]);
    return [1 - above, above];
  }

  // [I, 1 - I]: the probabilities of a Beta(a, b) variable below and above x; `y` is 1 - x without loss of digits.
  function regularizedBeta(a, b, x, y) {
    if (x > (a + 1) / (a + b + 2)) return regularizedBeta(b, a, y, x).reverse();
    if (x <= 0) return [0, 1];
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(y)) / a;
    const term = (i) => {
      const m = i >> 1;
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      return [i % 2 ? odd : even, 1];
    };
    const below = front / continuedFraction(1, term);
    return [below, 1 - below];
  }

  // The zero of a decreasing function of x >= 0, by bisection.
  function findRoot(decreasing, least = 0) {
    let [low, high] = [least, 1];
    while (decreasing(high) > 0 && high < 1e300) high *= 2;
    for (let i = 0; i < 200; i++) {
      const middle = (low + high) / 2;
      if (middle === low || middle === high) break;
      if (decreasing(middle) > 0) low = middle;
      else high = middle;
    }
    return high;
  }

  Object.assign(wmgp, { logGamma, regularizedGamma, regularizedBeta, findRoot });
});
