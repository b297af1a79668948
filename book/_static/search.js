// The lines below a search result are the page's own words: without the theme's buttons and its contents for print,
// without code and tables of figures, and with formulas bare of their marks. Loaded on the search page, after Sphinx's
// own script.
"use strict";

(() => {
  const LEFT_OUT = ".cell_input, .cell_output table, table.results, .made, summary, h1, nav, style, script, .headerlink";
  const BLOCKS = "p, li, dt, dd, td, th, h2, h3, h4, pre, div";
  const whole = Search.htmlToText;

  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector("article.bd-article");
    if (!article) return whole(html, anchor);
    article.querySelectorAll(LEFT_OUT).forEach((part) => part.remove());
    article.querySelectorAll(".math").forEach((formula) => {
      formula.textContent = formula.textContent.replace(/\\[()[\]]/g, "");
    });
    article.querySelectorAll(BLOCKS).forEach((block) => block.append(" "));
    const text = (anchor && article.querySelector(anchor)) || article;
    return text.textContent.replace(/\s+/g, " ").trim();
  };
})();
