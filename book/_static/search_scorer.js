// What a search puts first (Sphinx's `html_search_scorer`): pages that are called so, then names of the package, then
// sections, then pages that only mention it. Sphinx's own order begins with the names.
const SOUGHT = (new URLSearchParams(location.search).get("q") ?? "").toLowerCase().split(/\W+/).filter((word) => word);

var Scorer = {
  score: ([, title, anchor, , score]) => {
    const words = title.toLowerCase();
    const called = !anchor && SOUGHT.length && SOUGHT.every((word) => words.includes(word));
    return score + (called ? 20 : 0);
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 10, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
