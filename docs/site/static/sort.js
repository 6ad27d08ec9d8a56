// A click, or Enter, on the head of a column sorts its table; numbers by size, words as people count.
document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    const body = table.tBodies[0];
    if (!table.tHead || body.rows.length < 5) continue;
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const sort = () => {
        const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", order);
        const text = (row) => (row.cells[column]?.textContent ?? "").replaceAll(",", "");
        const sign = order === "ascending" ? 1 : -1;
        const rows = [...body.rows].sort((a, b) => sign * text(a).localeCompare(text(b), "en", { numeric: true }));
        body.append(...rows);
      };
      head.classList.add("sorts");
      head.tabIndex = 0;
      head.addEventListener("click", sort);
      head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
    });
  }
});
