// The order of search results (Sphinx's `html_search_scorer`): pages with the words in their title, then names of the
// package, then sections, then pages that contain the words. Sphinx's own order puts the names first.
const QUERY_WORDS = (new URLSearchParams(location.search).get("q") ?? "").toLowerCase().split(/\W+/).filter((word) => word);

var Scorer = {
  score: ([, title, anchor, , score]) => {
    const lowerTitle = title.toLowerCase();
    const titleMatches = !anchor && QUERY_WORDS.length && QUERY_WORDS.every((word) => lowerTitle.includes(word));
    return score + (titleMatches ? 20 : 0);
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
