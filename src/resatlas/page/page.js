"use strict";
{
  const FEWEST = 6; // rows of a table that has a filter

  const made = (tag, properties = {}, ...inside) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  };

  const button = (text, label, onclick) => {
    const element = made("button", { type: "button", className: "save", onclick }, text);
    element.setAttribute("aria-label", label);
    return element;
  };

  function save(name, type, text) {
    const link = made("a", { download: name, href: URL.createObjectURL(new Blob([text], { type })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // Charts: their titles stand in the captions, and only in the files that are saved.

  const options = { actions: false, renderer: "svg" };
  const placeOf = (block) => document.getElementById(block.dataset.chart);

  function draw(block) {
    const place = placeOf(block);
    place.dataset.drawn = "yes";
    vegaEmbed(place, { ...JSON.parse(block.textContent), title: undefined }, options)
      .then((drawn) => drawn.view.resize().runAsync())
      .then(() => place.querySelectorAll("[role=graphics-symbol]:not([aria-label])").forEach((empty) => empty.ariaHidden = "true"))
      .catch((error) => { place.textContent = "{{ said('This chart could not be drawn: ') }}" + error.message; });
  }

  function saveSvg(block) {
    const spec = { ...JSON.parse(block.textContent), width: placeOf(block).clientWidth, background: "white" };
    vegaEmbed(made("div"), spec, options)
      .then((drawn) => drawn.view.toSVG())
      .then((svg) => save(block.dataset.chart.replace("chart-", "") + ".svg", "image/svg+xml", svg));
  }

  const blocks = [...document.querySelectorAll("script[data-chart]")];
  const drawVisible = () => blocks
    .filter((block) => !placeOf(block).dataset.drawn && placeOf(block).getClientRects().length)
    .forEach(draw);

  for (const block of blocks) {
    const title = JSON.parse(block.textContent).usermeta.title;
    block.parentElement.querySelector("figcaption").append(
      button("SVG", `{{ said("Save the figure “{title}” as SVG", title="${title}") }}`, () => saveSvg(block)));
  }
  document.addEventListener("toggle", drawVisible, true);
  drawVisible();

  // Tables: a click on a head sorts the rows; a search hides those without the words.

  const number = (text) => parseFloat(text.replaceAll(",", "")); // 1,234 and 2.04 ± 1.37
  const isNumber = (text) => /^[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?$/.test(text);
  const field = (shown) => {
    const text = shown.replaceAll("\u00a0", " ");
    const cell = isNumber(text) ? text.replaceAll(",", "") : /^[=+\-@\t\r]/.test(text) ? "'" + text : text;
    return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  };

  function order(column, words) {
    const collator = new Intl.Collator("en", { numeric: true });
    const text = (row) => row.cells[column].textContent;
    if (words) return (one, other) => isNumber(text(one)) && isNumber(text(other))
      ? number(text(one)) - number(text(other)) : collator.compare(text(one), text(other));
    return (one, other) => number(text(one)) - number(text(other));
  }

  function sort(table, head, column) {
    const way = head.ariaSort === "ascending" ? "descending" : "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", way);
    const words = head.classList.contains("word"), rows = [...table.tBodies[0].rows];
    const missing = rows.filter((row) => !words && isNaN(number(row.cells[column].textContent)));
    const sorted = rows.filter((row) => !missing.includes(row)).sort(order(column, words));
    if (way === "descending") sorted.reverse();
    table.tBodies[0].append(...sorted, ...missing);
  }

  for (const sheet of document.querySelectorAll(".sheet")) {
    const table = sheet.querySelector("table"), rows = [...table.tBodies[0].rows], name = sheet.dataset.name;
    const tools = made("div", { className: "tools" });
    sheet.append(tools);
    const csv = [...table.rows].map((row) => [...row.cells].map((cell) => field(cell.textContent)).join(",") + "\r\n");
    if (rows.length > 1) {
      [...table.tHead.rows[0].cells].forEach((head, column) => {
        const label = head.textContent;
        head.replaceChildren(made("button", { type: "button", onclick: () => sort(table, head, column) }, label));
      });
    }
    if (rows.length >= FEWEST) {
      const left = made("output");
      const search = made("input", { type: "search" });
      search.addEventListener("input", () => {
        const words = search.value.toLowerCase().split(/\s+/);
        for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
        const shown = rows.filter((row) => !row.hidden).length;
        left.textContent = `{{ said("{shown} of {all} rows", shown="${shown}", all="${rows.length}") }}`;
      });
      tools.append(made("label", {}, "{{ said('Filter rows: ') }}", search), left);
    }
    const file = name.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 80) + ".csv";
    tools.append(button("CSV", `{{ said("Save the table “{name}” as CSV", name="${name}") }}`, () => save(file, "text/csv", csv.join(""))));
  }
}
