// Fit the page to the paper. Formulas and tables that are too wide shrink. If a table of numbers would become too small,
// its cells wrap, and then even its words break; its caption keeps its size. Tall figures shrink, because they leave
// pages half empty. Long tables and long code may continue on the next page.
() => {
    const small = 0.8, pageHeight = 985;
    const fit = box => {
        const around = box.parentElement, style = getComputedStyle(around);
        const room = around.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
        const number = around.querySelector(".eqno")?.offsetWidth ?? 0;
        return (room - number) / (box.matches("table") ? box.offsetWidth : box.scrollWidth);
    };
    const height = box => box.getBoundingClientRect().height;
    for (const box of document.querySelectorAll("table, mjx-container[display]")) {
        if (box.matches(".results, .dataframe")) box.classList.add("unwrapped");
        if (fit(box) < small) box.classList.replace("unwrapped", "wrapped");
        if (fit(box) < small) box.classList.add("broken");
        const scale = 0.998 * Math.min(box.matches(".wrapped") ? small : 1, fit(box));
        if (scale > 0.997) continue;
        box.style.zoom = scale;
        if (box.caption) box.caption.style.zoom = 1 / scale;
    }
    for (const box of document.querySelectorAll(".cell_output img, figure img, figure svg"))
        box.style.maxHeight = `${Math.min(Math.max(0.46 * pageHeight, 0.63 * height(box)), 0.94 * pageHeight)}px`;
    for (const [boxes, most] of [["table", 0.4 * pageHeight], ["div.cell_input, div.highlight, .output", 0.15 * pageHeight]])
        for (const box of document.querySelectorAll(boxes)) if (height(box) > most) box.classList.add("long");
}
