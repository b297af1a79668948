// The lines below a search result are the page's own words: without the theme's buttons and its contents for print,
// without code, and with formulas bare of their marks. Loaded on the search page, after Sphinx's own script.
"use strict";

(() => {
  const LEFT_OUT = ".onlyprint, .bd-header-article, .cell_input, .made, h1, nav, style, script, .headerlink";
  const whole = Search.htmlToText;

  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector("article.bd-article");
    if (!article) return whole(html, anchor);
    article.querySelectorAll(LEFT_OUT).forEach((part) => part.remove());
    article.querySelectorAll(".math").forEach((formula) => {
      formula.textContent = formula.textContent.replace(/\\[()[\]]/g, "");
    });
    const text = (anchor && article.querySelector(anchor)) || article;
    return text.textContent.replace(/\s+/g, " ").trim();
  };
})();
