// Distributions of weights, symmetric about zero and of mean square 1, whose L1 front is known in closed form: the
// package's wmgp.closed_forms. Everything is a function of the threshold, in units of the root mean square.
"use strict";

wmgp.room((wmgp) => {
  // Each: `tail`, what the slider sets (null: nothing); `make(tail)`: {kurtosis, shares, energies}, the last two from a
  // threshold to what lies [below, above] it, of the weights and of the energy.
  const FAMILIES = {
    normal: { title: "normal", tail: null, make: () => generalised(2) },
    laplace: { title: "Laplace", tail: null, make: () => generalised(1) },
    uniform: { title: "uniform", tail: null, make: uniform },
    generalised: {
      title: "generalised normal",
      tail: { name: "shape", least: 0.4, most: 10, step: 0.1, first: 1.5, said: "1 is Laplace, 2 is normal" },
      make: generalised,
    },
    student: {
      title: "Student t",
      tail: { name: "degrees of freedom", least: 2.1, most: 30, step: 0.1, first: 5, said: "large is nearly normal" },
      make: student,
    },
  };

  function uniform() {
    const share = (t) => Math.min(t / Math.sqrt(3), 1);
    const both = (p) => [p, 1 - p];
    return { kurtosis: 9 / 5, shares: (t) => both(share(t)), energies: (t) => both(share(t) ** 3) };
  }

  // Density ~ exp(-|x|^shape): |x|^shape follows a Gamma(1/shape) law, and weighted by x^2 a Gamma(3/shape) law.
  function generalised(shape) {
    const [one, three, five] = [1, 3, 5].map((k) => wmgp.logGamma(k / shape));
    const scale = Math.exp((one - three) / 2);
    const at = (t) => (t / scale) ** shape;
    return {
      kurtosis: Math.exp(five + one - 2 * three),
      shares: (t) => wmgp.gammaShares(1 / shape, at(t)),
      energies: (t) => wmgp.gammaShares(3 / shape, at(t)),
    };
  }

  // u = t^2 / (df + t^2) follows a Beta(1/2, df/2) law, and weighted by t^2 a Beta(3/2, df/2 - 1) law.
  function student(df) {
    const law = (a, b) => (t) => wmgp.betaShares(a, b, t ** 2 / (df - 2 + t ** 2), (df - 2) / (df - 2 + t ** 2));
    const kurtosis = df > 4 ? 3 + 6 / (df - 4) : Infinity;
    return { kurtosis, shares: law(1 / 2, df / 2), energies: law(3 / 2, df / 2 - 1) };
  }

  class Distribution {
    constructor(family, tail) {
      const { title, tail: slider, make } = FAMILIES[family];
      this.name = slider ? `${title}, ${slider.name} ${tail}` : title;
      Object.assign(this, make(tail));
    }

    // The prune of everything below a threshold.
    pointBelow(threshold) {
      const [amount, kept] = [this.shares(threshold)[0], this.energies(threshold)[1]];
      const cosine = Math.sqrt(kept);
      return { amount, cosine, threshold, n_pruned: null, distance: wmgp.distance(amount, cosine) };
    }

    // The prune of an amount in [0, 1].
    pointAt(amount) {
      if (amount === 0) return { ...this.pointBelow(0), threshold: NaN };
      if (amount === 1) return { amount, cosine: 0, threshold: Infinity, n_pruned: null, distance: 1 };
      // From the side that is small, where shares have their digits.
      const more = (t) => (amount < 0.5 ? amount - this.shares(t)[0] : this.shares(t)[1] - (1 - amount));
      return { ...this.pointBelow(wmgp.crossing(more)), amount };
    }

    // The point nearest to utopia in the continuum: half the slope of the squared distance is zero there.
    get optimal() {
      const slope = (t) => {
        const [cosine, left] = [Math.sqrt(this.energies(t)[1]), this.shares(t)[1]];
        return left - (t ** 2 * (1 / cosine - 1)) / 2;
      };
      return this.pointBelow(wmgp.crossing(slope));
    }

    // The largest prune whose cosine is at least this one, in (0, 1).
    atCosine(cosine) {
      return this.pointBelow(wmgp.crossing((t) => this.energies(t)[1] - cosine ** 2));
    }
  }

  // What the page shows of a distribution, in the form of an analysis: one tensor, so no safe amount.
  function analyzeDistribution(family, tail, amounts = 101) {
    const law = new Distribution(family, tail);
    const grid = wmgp.grid(amounts).map((amount) => law.pointAt(amount));
    const front = Object.fromEntries(Object.keys(grid[0]).map((name) => [name, grid.map((point) => point[name])]));
    return {
      source: law.name, pool: null, n_parameters: null, n_prunable: null, kurtosis: law.kurtosis,
      kurtosis_of_kurtoses: NaN, front, optimal: law.optimal, safe: null, tensors: [], law,
      warnings: ["no safe amount: a distribution is one tensor, and has no kurtosis of kurtoses"],
    };
  }

  Object.assign(wmgp, { FAMILIES, Distribution, analyzeDistribution });
});
