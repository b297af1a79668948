// What is wider than the paper is made smaller until it fits: formulas and tables as a whole, code is broken into lines.
// A table of numbers that would get too small has its cells wrapped before, and whole words in them parted if need be;
// its caption keeps its size. A tall figure, which easily leaves a page half empty, is made smaller too. What is long
// after all that may go on over the end of a page.
() => {
    const small = 0.8, page = 985;
    const share = box => {
        const around = box.parentElement, style = getComputedStyle(around);
        const room = around.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
        const number = around.querySelector(".eqno")?.offsetWidth ?? 0;
        return (room - number) / (box.matches("table") ? box.offsetWidth : box.scrollWidth);
    };
    const height = box => box.getBoundingClientRect().height;
    for (const box of document.querySelectorAll("table, mjx-container[display]")) {
        if (box.matches(".results, .dataframe")) box.classList.add("unwrapped");
        if (share(box) < small) box.classList.replace("unwrapped", "wrapped");
        if (share(box) < small) box.classList.add("broken");
        const scale = 0.998 * Math.min(box.matches(".wrapped") ? small : 1, share(box));
        if (scale > 0.997) continue;
        box.style.zoom = scale;
        if (box.caption) box.caption.style.zoom = 1 / scale;
    }
    for (const box of document.querySelectorAll(".cell_output img, figure img, figure svg"))
        box.style.maxHeight = `${Math.min(Math.max(0.46 * page, 0.63 * height(box)), 0.94 * page)}px`;
    for (const [boxes, most] of [["table", 0.4 * page], ["div.cell_input, div.highlight, .output", 0.15 * page]])
        for (const box of document.querySelectorAll(boxes)) if (height(box) > most) box.classList.add("long");
}
