// Show only the page's own text below a search result: no buttons, no printed contents, no code, no tables of results,
// and formulas without their delimiters. The search page loads this file after Sphinx's own script.
"use strict";

(() => {
  const EXCLUDED = ".cell_input, .cell_output table, table.results, .provenance, summary, h1, nav, style, script, .headerlink";
  const BLOCKS = "p, li, dt, dd, td, th, h2, h3, h4, pre, div";
  const originalHtmlToText = Search.htmlToText;

  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector("article.bd-article");
    if (!article) return originalHtmlToText(html, anchor);
    article.querySelectorAll(EXCLUDED).forEach((part) => part.remove());
    article.querySelectorAll(".math").forEach((formula) => {
      formula.textContent = formula.textContent.replace(/\\[()[\]]/g, "");
    });
    article.querySelectorAll(BLOCKS).forEach((block) => block.append(" "));
    const text = (anchor && article.querySelector(anchor)) || article;
    return text.textContent.replace(/\s+/g, " ").trim();
  };
})();
