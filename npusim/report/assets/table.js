"use strict";
/* A table of columns that sorts, filters, copies and downloads. Rows are added a hundred at a time. With `fold`, rows of
   one name there (ops that differ in the number of their layer) can stand as one, with the sums of their numbers. */
(() => {
  const { el, blocks } = npusim;
  const PAGE = 100;

  const shown = (column, row) => {
    const value = column.values[row];
    if (column.kind !== "number") return value;
    if (value === null) return "";
    return value === 0 && column.blankZero ? "" : npusim.number(value, column.digits ?? 0);
  };
  const heading = ({ title, unit }) => (unit ? `${title} (${unit})` : title);
  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  /* Columns with one row a fold; `first` is the row of the table that each begins with. */
  const folded = ({ columns, fold }) => {
    const apart = columns.filter(({ key }) => fold.apart.includes(key));
    const groups = new Map();
    fold.names.forEach((name, row) => {
      const key = [name, ...apart.map(({ values }) => values[row])].join("\u0001");
      if (groups.has(key)) groups.get(key).push(row); else groups.set(key, [row]);
    });
    const rows = [...groups.values()];
    const how = { min: (all) => Math.min(...all), max: (all) => Math.max(...all), sum: (all) => all.reduce((a, b) => a + b, 0) };
    const value = ({ key, kind, values }, group) => {
      const all = group.map((row) => values[row]);
      if (kind === "number") return how[fold.how[key] ?? "sum"](all.map((each) => each ?? 0));
      return all.every((each) => each === all[0]) ? all[0] : "…";
    };
    const name = ([row, ...more]) => fold.names[row] + (more.length ? ` ×${more.length + 1}` : "");
    return {
      first: rows.map(([row]) => row),
      columns: columns.map((column, i) => ({ ...column, values: rows.map((group) => (i ? value(column, group) : name(group))) })),
    };
  };
  const viewOf = ({ columns, first }) => {
    const count = columns[0].values.length;
    const texts = columns.filter((column) => column.kind === "text");
    return { columns, count, first, haystack: Array.from({ length: count }, (_, row) =>
      texts.map((column) => column.values[row]).join("\u0001").toLowerCase()) };
  };

  blocks.table = ({ table: id, file, link, choose }) => {
    const table = npusim.payload.tables[id];
    const whole = viewOf({ columns: table.columns, first: [...Array(table.columns[0].values.length).keys()] });
    const alike = table.fold && viewOf(folded(table));
    let view = alike && alike.count < whole.count ? alike : whole;
    const { columns } = whole;
    const pickedIn = ({ columns: mine }) => mine.find((column) => column.key === choose);
    const chooser = pickedIn(whole);
    let order = [...Array(view.count).keys()];
    let sorted = { key: null, down: false };
    let limit = PAGE;
    const selection = npusim.selection(id);
    selection.changed.push(() => { limit = PAGE; render(); });

    const body = el("tbody");
    const counter = el("span", { class: "count", role: "status" });
    const more = el("div", { class: "more" },
      el("button", { type: "button", class: "quiet", on: { click: () => { limit += PAGE; render(); } } }, `Show ${PAGE} more`),
      el("button", { type: "button", class: "quiet", on: { click: () => { limit = view.count; render(); } } }, "Show all"));
    const filter = el("input", { type: "search", placeholder: "Filter by any text", "aria-label": "Filter rows",
      on: { input: () => look() } });
    const pick = chooser && el("select", { on: { change: () => { limit = PAGE; render(); } } },
      el("option", { value: "" }, "all"),
      ...[...new Set(chooser.values)].sort().map((value) => el("option", { value }, value)));

    const visible = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const chosen = pick?.value && pickedIn(view).values;
      return order.filter((row) => (!selection.rows || selection.rows.has(view.first[row])) && (!chosen || chosen[row] === pick.value)
        && words.every((word) => view.haystack[row].includes(word)));
    };
    const cell = (column, row, first) => {
      const text = shown(column, row);
      const inner = first && link
        ? el("button", { type: "button", class: "link", on: { click: () => npusim.goto(link, view.first[row]) } }, text) : text;
      return el("td", { class: column.kind === "number" ? "num" : null, title: column.kind === "text" ? text : null }, inner);
    };
    const render = () => {
      const rows = visible();
      body.replaceChildren(...rows.slice(0, limit).map((row) =>
        el("tr", { "data-row": view.first[row] }, ...view.columns.map((column, i) => cell(column, row, i === 0)))));
      const { count } = view;
      counter.textContent = rows.length === count
        ? `${npusim.number(count)} rows` : `${npusim.number(rows.length)} of ${npusim.number(count)} rows`;
      more.hidden = rows.length <= limit;
      more.style.display = more.hidden ? "none" : "";
    };
    const sortBy = (column) => {
      const down = sorted.key === column.key ? !sorted.down : column.kind === "number" && !(sorted.key === null && table.up);
      sorted = { key: column.key, down };
      reorder();
    };
    const reorder = () => {
      const { key, down } = sorted;
      const column = view.columns.find((each) => each.key === key);
      const { values } = column;
      const empty = down ? -Infinity : Infinity; // what has no value comes last
      const compare = column.kind === "number"
        ? (a, b) => (values[a] ?? empty) - (values[b] ?? empty) || 0 : (a, b) => values[a].localeCompare(values[b], "en", { numeric: true });
      order = [...Array(view.count).keys()].sort((a, b) => (down ? compare(b, a) : compare(a, b)) || a - b);
      for (const th of head.children)
        th.setAttribute("aria-sort", th.dataset.key !== column.key ? "none" : down ? "descending" : "ascending");
      render();
    };
    const head = el("tr", {}, ...columns.map((column) =>
      el("th", { scope: "col", class: column.kind === "number" ? "num" : null, "data-key": column.key, "aria-sort": "none" },
        el("button", { type: "button", title: column.hint, on: { click: () => sortBy(column) } },
          column.title, column.unit ? el("small", {}, ` ${column.unit}`) : null))));

    const lines = (separator, quote) => {
      const raw = (column, row) => quote(String(column.values[row] ?? ""));
      return [columns.map((column) => quote(heading(column))).join(separator),
        ...visible().map((row) => view.columns.map((column) => raw(column, row)).join(separator))].join("\n") + "\n";
    };
    const copy = el("button", { type: "button", class: "quiet",
      on: { click: () => npusim.copy(lines("\t", (text) => text.replace(/[\t\n\r]/g, " ")), copy) } }, "Copy");
    const save = el("button", { type: "button", class: "quiet",
      on: { click: () => npusim.download(file, lines(",", quoted)) } }, "Download CSV");

    const together = alike && alike.count < whole.count && el("input", { type: "checkbox", checked: true,
      on: { change: () => look() } });
    /* Whoever filters looks for an op, whatever its layer. */
    const look = () => {
      view = together?.checked && !filter.value ? alike : whole;
      limit = PAGE;
      if (sorted.key) reorder(); else { order = [...Array(view.count).keys()]; render(); }
    };
    const start = columns.find((column) => column.key === table.sort);
    if (start) sortBy(start); else render();
    return [
      el("div", { class: "tools" }, filter, pick ? el("label", {}, chooser.title, pick) : null,
        together ? el("label", {}, together, table.fold.title) : null, counter,
        el("span", { class: "space" }), copy, save),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table" }, el("table", {}, el("thead", {}, head), body)),
      more,
    ];
  };
})();
