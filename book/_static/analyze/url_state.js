// The page's state in the fragment of its URL, so that a link restores it. Files cannot be part of a link.
"use strict";

(() => {
  wmgp.FILES = "files"; // the source that is not a distribution

  // Parse a fragment; null if it has no state. Invalid values are ignored.
  wmgp.parseUrlState = (hash) => {
    const parameters = new URLSearchParams(hash.slice(1));
    if (!parameters.has("source")) return null;
    const sources = [wmgp.FILES, ...Object.keys(wmgp.FAMILIES)];
    const source = sources.find((name) => name === parameters.get("source")) ?? "normal";
    const inRange = (name, min, max) => {
      const value = parameters.get(name) ? Number(parameters.get(name)) : NaN;
      return value >= min && value <= max ? value : null;
    };
    const tail = wmgp.FAMILIES[source]?.tail;
    return {
      source,
      pool: wmgp.POOLS.find((name) => name === parameters.get("pool")) ?? wmgp.POOLS[0],
      amount: inRange("amount", 0, 1),
      tail: tail ? (inRange("tail", tail.min, tail.max) ?? tail.initial) : null,
    };
  };

  wmgp.formatUrlState = ({ source, tail, amount, pool }) => {
    const parameters = new URLSearchParams({ source });
    if (tail !== null) parameters.set("tail", tail);
    if (amount !== null) parameters.set("amount", amount);
    parameters.set("pool", pool);
    return `#${parameters}`;
  };
})();
