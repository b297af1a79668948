// Boxes that scroll sideways fade out at the right until their end, because many browsers hide the scroll bar.
"use strict";

const SCROLLING = ".pst-scrollable-table-container, .cell_output, .cell_output > .output, .highlight pre, div.math > mjx-container";

function updateFade(box) {
  box.classList.toggle("scroll-fade", box.scrollWidth - box.clientWidth - box.scrollLeft > 1);
}

const observer = new ResizeObserver((entries) => entries.forEach((entry) => updateFade(entry.target)));
for (const box of document.querySelectorAll(SCROLLING)) {
  box.addEventListener("scroll", () => updateFade(box), { passive: true });
  observer.observe(box);
}
