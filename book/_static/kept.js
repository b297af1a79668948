// The home page's picture moves: what is left of a network's weights, by L1 and at random, as the amount grows. Once by
// itself, for less than five seconds, where motion is not unwelcome; then by hand. What it shows was computed for every
// percent while the book was built.
"use strict";

(() => {
  const LASTS = 4500, TURN = 0.7; // milliseconds; the share of them that goes to 100%, before the way back
  const figure = document.querySelector("figure.kept");
  if (!figure) return;
  const front = JSON.parse(figure.querySelector(".pictures").dataset.front);
  const find = (selector) => figure.querySelector(selector);
  const [button, slider, said] = [find("button"), find("input"), find(".said")];
  const set = (selector, name, value) => find(selector).setAttribute(name, value);

  // A row of the front between two whole percents.
  function at(row, percent) {
    const below = Math.min(Math.floor(percent), 99);
    return row[below] + (row[below + 1] - row[below]) * (percent - below);
  }

  function show(percent) {
    const [gap, l1, random] = [front.gap, front.l1, front.random].map((row) => at(row, percent));
    set(".below", "x", -50 - gap);
    set(".above", "x", gap);
    set(".random .left", "transform", `scale(1 ${1 - percent / 100})`);
    for (const [name, cosine] of [["l1", l1], ["random", random]]) {
      set(`.mark.${name}`, "cx", percent);
      set(`.mark.${name}`, "cy", 100 - 100 * cosine);
    }
    const whole = Math.round(percent);
    slider.value = whole;
    const words = `${whole}% pruned. Cosine kept: ${front.l1[whole].toFixed(2)} by L1, ` +
      `${front.random[whole].toFixed(2)} at random.`;
    said.textContent = words;
    slider.setAttribute("aria-valuetext", words);
  }

  let playing = 0; // the frame that is asked for

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    button.textContent = "Play";
  }

  function play() {
    let begun;
    const ease = (x) => x * x * (3 - 2 * x);
    const step = (now) => {
      begun ??= now;
      const x = Math.min((now - begun) / LASTS, 1);
      show(x < TURN ? 100 * ease(x / TURN) : 100 + (front.best - 100) * ease((x - TURN) / (1 - TURN)));
      if (x < 1) {
        playing = requestAnimationFrame(step);
      } else {
        stop();
        show(front.best); // exactly
      }
    };
    button.textContent = "Stop";
    playing = requestAnimationFrame(step);
  }

  find(".controls").hidden = false;
  button.addEventListener("click", () => (playing ? stop() : play()));
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  addEventListener("beforeprint", () => {
    stop();
    show(front.best);
  });
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    new IntersectionObserver((seen, observer) => {
      if (!seen.some((each) => each.isIntersecting)) return;
      observer.disconnect();
      if (!playing) play();
    }, { threshold: 0.6 }).observe(figure.querySelector(".square"));
  }
})();
