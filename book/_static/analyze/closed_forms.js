// Weight distributions with an L1 front in closed form, as in wmgp.closed_forms: symmetric about zero, mean square 1.
// All quantities are functions of the threshold, in units of the root mean square.
"use strict";

wmgp.defineModule((wmgp) => {
  // `tail`: the parameter that the slider sets (null: none). `make(tail)`: {kurtosis, shares, energies}; the last two
  // return the shares [below, above] a threshold, of the weights and of the energy.
  const FAMILIES = {
    normal: { title: "normal", tail: null, make: () => generalised(2) },
    laplace: { title: "Laplace", tail: null, make: () => generalised(1) },
    uniform: { title: "uniform", tail: null, make: uniform },
    generalised: {
      title: "generalised normal",
      tail: { name: "shape", min: 0.4, max: 10, step: 0.1, initial: 1.5, hint: "1 is Laplace, 2 is normal" },
      make: generalised,
    },
    student: {
      title: "Student t",
      tail: { name: "degrees of freedom", min: 2.1, max: 30, step: 0.1, initial: 5, hint: "large is nearly normal" },
      make: student,
    },
  };

  function uniform() {
    const share = (t) => Math.min(t / Math.sqrt(3), 1);
    const both = (p) => [p, 1 - p];
    return { kurtosis: 9 / 5, shares: (t) => both(share(t)), energies: (t) => both(share(t) ** 3) };
  }

  // Density ~ exp(-|x|^shape): |x|^shape has a Gamma(1/shape) distribution, weighted by x^2 a Gamma(3/shape)
  // distribution.
  function generalised(shape) {
    const [one, three, five] = [1, 3, 5].map((k) => wmgp.logGamma(k / shape));
    const scale = Math.exp((one - three) / 2);
    const at = (t) => (t / scale) ** shape;
    return {
      kurtosis: Math.exp(five + one - 2 * three),
      shares: (t) => wmgp.regularizedGamma(1 / shape, at(t)),
      energies: (t) => wmgp.regularizedGamma(3 / shape, at(t)),
    };
  }

  // u = t^2 / (df + t^2) has a Beta(1/2, df/2) distribution, weighted by t^2 a Beta(3/2, df/2 - 1) distribution.
  function student(df) {
    const betaShares = (a, b) => (t) => {
      const sum = df - 2 + t ** 2;
      return wmgp.regularizedBeta(a, b, t ** 2 / sum, (df - 2) / sum);
    };
    const kurtosis = df > 4 ? 3 + 6 / (df - 4) : Infinity;
    return { kurtosis, shares: betaShares(1 / 2, df / 2), energies: betaShares(3 / 2, df / 2 - 1) };
  }

  class Distribution {
    constructor(family, tail) {
      const { title, tail: slider, make } = FAMILIES[family];
      this.name = slider ? `${title}, ${slider.name} ${tail}` : title;
      Object.assign(this, make(tail));
    }

    // The point at which everything below a threshold is pruned.
    pointBelow(threshold) {
      const [amount, kept] = [this.shares(threshold)[0], this.energies(threshold)[1]];
      const cosine = Math.sqrt(kept);
      const distance = wmgp.distance(amount, cosine);
      return { amount, cosine, pool_cosine: cosine, threshold, n_pruned: null, distance };
    }

    // The point of an amount in [0, 1].
    pointAt(amount) {
      if (amount === 0) return { ...this.pointBelow(0), threshold: NaN };
      if (amount === 1) {
        return { amount, cosine: 0, pool_cosine: 0, threshold: Infinity, n_pruned: null, distance: 1 };
      }
      // Use the smaller of the two shares, which has more correct digits.
      const more = (t) => (amount < 0.5 ? amount - this.shares(t)[0] : this.shares(t)[1] - (1 - amount));
      return { ...this.pointBelow(wmgp.findRoot(more)), amount };
    }

    // The point nearest to utopia, at which half the slope of the squared distance is zero.
    get optimal() {
      const slope = (t) => {
        const [cosine, kept] = [Math.sqrt(this.energies(t)[1]), this.shares(t)[1]];
        return kept - (t ** 2 * (1 / cosine - 1)) / 2;
      };
      return this.pointBelow(wmgp.findRoot(slope));
    }

    // The point of the largest amount with at least this cosine, in (0, 1).
    atCosine(cosine) {
      return this.pointBelow(wmgp.findRoot((t) => this.energies(t)[1] - cosine ** 2));
    }
  }

  // The report of a distribution, like that of a checkpoint with one tensor, so without a safe amount.
  function analyzeDistribution(family, tail, amounts = 101) {
    const distribution = new Distribution(family, tail);
    const grid = wmgp.amountGrid(amounts).map((amount) => distribution.pointAt(amount));
    const front = Object.fromEntries(Object.keys(grid[0]).map((name) => [name, grid.map((point) => point[name])]));
    return {
      source: distribution.name, pool: null, n_parameters: null, n_prunable: null, kurtosis: distribution.kurtosis,
      kurtosis_of_kurtoses: NaN, front, optimal: distribution.optimal, safe: null, tensors: [], distribution,
      careful: distribution.atCosine(0.99), outside: 0,
      warnings: ["no safe amount: a distribution is one tensor, and has no kurtosis of kurtoses"],
    };
  }

  Object.assign(wmgp, { FAMILIES, Distribution, analyzeDistribution });
});
