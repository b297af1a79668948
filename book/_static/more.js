// What scrolls sideways within a page fades out where more of it follows, since many browsers hide the bar.
"use strict";

const SCROLLING = ".pst-scrollable-table-container, .cell_output, .cell_output > .output, .highlight pre, div.math > mjx-container";

function mark(box) {
  box.classList.toggle("more", box.scrollWidth - box.clientWidth - box.scrollLeft > 1);
}

const resized = new ResizeObserver((entries) => entries.forEach((entry) => mark(entry.target)));
for (const box of document.querySelectorAll(SCROLLING)) {
  box.addEventListener("scroll", () => mark(box), { passive: true });
  resized.observe(box);
}
