// The page's state in its address, after the #: a link shows what its sender saw, but for files, which it cannot hold.
"use strict";

(() => {
  wmgp.FILES = "files"; // the source that is no distribution

  // What an address says, or null where it speaks of something else; what it says wrongly is as if unsaid.
  wmgp.stateOf = (hash) => {
    const said = new URLSearchParams(hash.slice(1));
    if (!said.has("source")) return null;
    const source = [wmgp.FILES, ...Object.keys(wmgp.FAMILIES)].find((name) => name === said.get("source")) ?? "normal";
    const within = (name, least, most) => {
      const value = said.get(name) ? Number(said.get(name)) : NaN;
      return value >= least && value <= most ? value : null;
    };
    const tail = wmgp.FAMILIES[source]?.tail;
    return {
      source,
      pool: wmgp.POOLS.find((name) => name === said.get("pool")) ?? wmgp.POOLS[0],
      amount: within("amount", 0, 1),
      tail: tail ? (within("tail", tail.least, tail.most) ?? tail.first) : null,
    };
  };

  wmgp.addressOf = ({ source, tail, amount, pool }) => {
    const said = new URLSearchParams({ source });
    if (tail !== null) said.set("tail", tail);
    if (amount !== null) said.set("amount", amount);
    said.set("pool", pool);
    return `#${said}`;
  };
})();
