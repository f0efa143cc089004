"use strict";
/* Points of a design space: two measures against one another with their Pareto front, and heat maps of two axes. */
(() => {
  const { el, blocks } = npusim;
  const MOST_LEVELS = 24, BINS = 12, MOST_LABELS = 150;
  const heading = ({ title, unit }) => (unit ? `${title}, ${unit}` : title);
  const text = (column, row) => {
    const value = column.values[row];
    return value === null ? "none" : column.kind === "number" ? `${value.toLocaleString("en-US")}${column.unit ? ` ${column.unit}` : ""}` : value;
  };
  const choose = (label, columns, chosen, change) => {
    const select = el("select", { on: { change } }, ...columns.map(({ key, title }) => el("option", { value: key }, title)));
    select.value = chosen;
    return { select, label: el("label", {}, label, select) };
  };
  /* What a point is: its axes, and what came out. */
  const notes = (columns, row) => columns.map((column) => `${npusim.plotText(column.title)}: ${npusim.plotText(text(column, row))}`).join("<br>");

  blocks.pareto = ({ table: id, axes, measures, front, knee, label }) => {
    const columns = new Map(npusim.payload.tables[id].columns.map((column) => [column.key, column]));
    const pick = (keys) => keys.map((key) => columns.get(key));
    const count = columns.get(axes[0] ?? measures[0]).values.length;
    const node = el("div", { class: "plot pareto", role: "img", "aria-label": label });
    let draw = null;
    const across = choose("Across", pick(measures), measures[0], () => draw());
    const up = choose("Up", pick(measures), measures[1] ?? measures[0], () => draw());
    const tint = choose("Colour by", [{ key: "", title: "Pareto front" }, ...pick(axes)], "", () => draw());
    const selection = npusim.selection(id);
    const best = new Set(front);
    const spec = () => {
      const x = columns.get(across.select.value), y = columns.get(up.select.value), by = columns.get(tint.select.value);
      const known = [...Array(count).keys()].filter((row) => x.values[row] !== null && y.values[row] !== null
        && (!selection.rows || selection.rows.has(row)));
      const mark = (rows, name, marker) => ({
        type: "scatter", mode: "markers", name, x: rows.map((row) => x.values[row]), y: rows.map((row) => y.values[row]),
        hoverinfo: "text", hovertext: rows.map((row) => notes(pick([...axes, ...measures]), row)), marker,
      });
      const levels = by && [...new Set(by.values)];
      const colours = (rows) => by && rows.map((row) => (by.kind === "number" ? by.values[row] : levels.indexOf(by.values[row])));
      const marker = (rows, extra, plain) => by
        ? { ...extra, color: colours(rows), colorscale: "Cividis", cmin: Math.min(...colours([...Array(count).keys()])), cmax: Math.max(...colours([...Array(count).keys()])),
          ...(by.kind === "number" ? { showscale: plain === "var:muted", colorbar: { title: { text: npusim.plotText(heading(by)) }, thickness: 12 } } : {}) }
        : { ...extra, color: plain };
      const beaten = known.filter((row) => !best.has(row)), winners = known.filter((row) => best.has(row));
      /* The front of the two measures shown, as a staircase: what no other point beats in both. */
      const stairs = winners.slice().sort((a, b) => x.values[a] - x.values[b] || y.values[a] - y.values[b]);
      let lowest = Infinity;
      const steps = stairs.filter((row) => { const keep = y.values[row] < lowest; lowest = Math.min(lowest, y.values[row]); return keep; });
      const data = [
        mark(beaten, "beaten", marker(beaten, { size: 7, opacity: 0.75 }, "var:muted")),
        { type: "scatter", mode: "lines", name: "front of these two", hoverinfo: "skip", line: { shape: "hv", width: 1.5, color: "var:accent", dash: "dot" },
          x: steps.map((row) => x.values[row]), y: steps.map((row) => y.values[row]) },
        mark(winners, "on the Pareto front", marker(winners, { size: 11, line: { width: 1.5, color: "var:accent" } }, "var:accent")),
      ];
      if (knee !== null && known.includes(knee))
        data.push(mark([knee], "knee", { size: 18, symbol: "star", color: "var:warn", line: { width: 1, color: "var:panel" } }));
      return {
        height: 480, data: data.filter((trace) => trace.x.length),
        layout: { xaxis: { title: { text: npusim.plotText(heading(x)) } }, yaxis: { title: { text: npusim.plotText(heading(y)) } }, showlegend: true },
      };
    };
    return {
      content: [el("div", { class: "tools" }, across.label, up.label, tint.label), node],
      mounted: () => { draw = npusim.plot(node, spec); selection.changed.push(draw); },
    };
  };

  /* The values of an axis, or bins where it has many: [names, row → index into them, or -1]. */
  const levelsOf = ({ kind, values }) => {
    const found = [...new Set(values)].filter((value) => value !== null && value !== "");
    if (kind !== "number" || found.length <= MOST_LEVELS) {
      found.sort(kind === "number" ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true }));
      return [found.map((value) => (kind === "number" ? value.toLocaleString("en-US") : value)), (row) => found.indexOf(values[row])];
    }
    const low = Math.min(...found), width = (Math.max(...found) - low) / BINS;
    const edge = (i) => Number((low + i * width).toPrecision(3)).toLocaleString("en-US");
    const names = Array.from({ length: BINS }, (_, i) => `${edge(i)} – ${edge(i + 1)}`);
    return [names, (row) => (values[row] === null ? -1 : Math.min(Math.floor((values[row] - low) / width), BINS - 1))];
  };

  blocks.heat = ({ table: id, axes, measures, higher, label }) => {
    const columns = new Map(npusim.payload.tables[id].columns.map((column) => [column.key, column]));
    const pick = (keys) => keys.map((key) => columns.get(key));
    const count = columns.get(axes[0]).values.length;
    const node = el("div", { class: "plot heat", role: "img", "aria-label": label });
    let draw = null;
    const across = choose("Across", pick(axes), axes[0], () => draw());
    const up = choose("Up", [...pick(axes), { key: "", title: "(one axis)" }], axes[1] ?? "", () => draw());
    const what = choose("Show the best", pick(measures), measures[0], () => draw());
    const spec = () => {
      const x = columns.get(across.select.value), y = up.select.value === across.select.value ? undefined : columns.get(up.select.value);
      const z = columns.get(what.select.value);
      const [columnNames, columnOf] = levelsOf(x), [rowNames, rowOf] = y ? levelsOf(y) : [[""], () => 0];
      const cells = rowNames.map(() => columnNames.map(() => ({ best: -1, points: 0, failed: 0 })));
      const better = (a, b) => (higher.includes(z.key) ? a > b : a < b);
      for (let row = 0; row < count; row++) {
        const cell = cells[rowOf(row)]?.[columnOf(row)];
        if (!cell) continue;
        if (z.values[row] === null) { cell.failed++; continue; }
        cell.points++;
        if (cell.best < 0 || better(z.values[row], z.values[cell.best])) cell.best = row;
      }
      const few = columnNames.length * rowNames.length <= MOST_LABELS;
      const value = ({ best }) => (best < 0 ? null : z.values[best]);
      const short = ({ best, failed }) => (best >= 0 ? Number(z.values[best].toPrecision(4)).toLocaleString("en-US") : failed ? "failed" : "");
      const hover = ({ best, points, failed }) => (best >= 0 ? `${notes([z, ...pick(axes)], best)}<br>best of ${points} points` : "no result")
        + (failed ? `<br>${failed} failed` : "");
      return {
        height: 150 + Math.max(34 * rowNames.length, 170),
        data: [{
          type: "heatmap", x: columnNames.map(npusim.plotText), y: rowNames.map(npusim.plotText), z: cells.map((line) => line.map(value)),
          text: cells.map((line) => line.map((cell) => npusim.plotText(short(cell)))), texttemplate: few ? "%{text}" : "", hoverinfo: "text",
          hovertext: cells.map((line) => line.map(hover)), colorscale: "Cividis", reversescale: !higher.includes(z.key), xgap: 2, ygap: 2, hoverongaps: true,
          colorbar: { title: { text: npusim.plotText(heading(z)), side: "right" }, thickness: 12 },
        }],
        layout: {
          xaxis: { type: "category", title: { text: npusim.plotText(heading(x)) }, showgrid: false },
          yaxis: { type: "category", title: { text: y ? npusim.plotText(heading(y)) : "" }, showgrid: false },
          annotations: few ? cells.flatMap((line, i) => line.map((cell, j) => ({ cell, i, j }))).filter(({ cell }) => cell.best < 0 && cell.failed).map(({ i, j }) => ({
            x: j, y: i, text: "failed", showarrow: false, font: { color: "var:warn", size: 12 } })) : [],
        },
      };
    };
    return {
      content: [el("div", { class: "tools" }, across.label, up.label, what.label), node],
      mounted: () => { draw = npusim.plot(node, spec); },
    };
  };
})();
