"use strict";
/* Where the time goes: sums over the rows of a table, by a key of the reader's choice, as a treemap and as bars. */
(() => {
  const { el, blocks } = npusim;
  const MOST_BARS = 25, MOST_LEAVES = 120;

  const opCount = (count) => `${npusim.number(count)} ${count === 1 ? "op" : "ops"}`;

  const choice = (label, options, change) => {
    const select = el("select", { on: { change } }, ...options.map(([value, text]) => el("option", { value }, text)));
    return { select, label: el("label", {}, label, select) };
  };

  blocks.breakdown = ({ table: id, groups, measures, parts, colours }) => {
    const column = Object.fromEntries(npusim.payload.tables[id].columns.map((each) => [each.key, each]));
    const count = column[groups[0][0]].values.length;
    const tree = el("div", { class: "plot treemap", role: "img", "aria-label": "Treemap of the time" });
    const bars = el("div", { class: "plot bars", role: "img", "aria-label": "Sorted bars of the time" });
    let drawTree = null, drawBars = null;
    const redraw = () => { drawTree?.(); drawBars?.(); };
    const by = choice("Group by", groups, redraw);
    const what = choice("Count", measures.map(({ key, title }) => [key, title]), redraw);
    const measure = () => measures.find(({ key }) => key === what.select.value);
    const value = (row) => measure().columns.reduce((sum, key) => sum + column[key].values[row], 0);

    const sums = () => {
      const key = column[by.select.value];
      const found = new Map();
      for (let row = 0; row < count; row++) {
        const time = value(row);
        if (time <= 0) continue;
        const name = key.values[row] || "(none)";
        if (!found.has(name)) found.set(name, { name, time: 0, rows: [], parts: new Map() });
        const group = found.get(name);
        group.time += time;
        group.rows.push(row);
        const split = measure().split;
        for (const each of split ? [column[split].values[row]] : measure().columns)
          group.parts.set(each, (group.parts.get(each) ?? 0) + (split ? time : column[each].values[row]));
      }
      return [...found.values()].sort((a, b) => b.time - a.time || (a.name < b.name ? -1 : 1));
    };

    const treeSpec = () => {
      const groupsFound = sums();
      const whole = groupsFound.reduce((sum, group) => sum + group.time, 0);
      const ids = [], labels = [], parents = [], values = [], fills = [], notes = [];
      const tile = (id, label, parent, time, fill, note) => {
        ids.push(id); labels.push(npusim.plotText(npusim.clip(label, 60))); parents.push(parent);
        values.push(time); fills.push(fill); notes.push(npusim.plotText(note));
      };
      const known = colours[by.select.value];
      const fill = (group, number) => (known ? known[group.name] : npusim.typePalette[number]) ?? npusim.otherColour;
      /* Plotly takes a second for a thousand tiles: the costliest ops have one each, the rest of a group share one. */
      const costliest = groupsFound.flatMap(({ rows }) => rows).map(value).sort((a, b) => b - a);
      const least = costliest[Math.min(MOST_LEAVES, costliest.length) - 1] ?? 0;
      tile("all", "all", "", whole, "rgba(0,0,0,0)", "");
      groupsFound.forEach((group, number) => {
        tile(`g${number}`, group.name, "all", group.time, fill(group, number), opCount(group.rows.length));
        if (by.select.value === "name") return;
        const rows = group.rows.map((row) => [row, value(row)]).sort((a, b) => b[1] - a[1]);
        const own = rows.filter(([, time], place) => time >= least && place < MOST_LEAVES);
        for (const [row, time] of own)
          tile(`r${row}`, column.name.values[row], `g${number}`, time, fill(group, number), column.type.values[row]);
        const rest = rows.slice(own.length).reduce((sum, [, time]) => sum + time, 0);
        if (rest > 0) tile(`s${number}`, "smaller ops", `g${number}`, rest, fill(group, number), opCount(rows.length - own.length));
      });
      return {
        height: 460,
        data: [{
          type: "treemap", ids, labels, parents, values, branchvalues: "total", maxdepth: 2, customdata: notes,
          text: values.map((time) => `${npusim.time(time)} · ${npusim.percent(time / whole)}`),
          textinfo: "label+text", hovertemplate: "%{label}<br>%{text}<br>%{customdata}<extra></extra>",
          marker: { colors: fills, line: { width: 1, color: "var:panel" }, pad: { t: 22, l: 2, r: 2, b: 2 } },
          tiling: { packing: "squarify", pad: 1 }, pathbar: { thickness: 24 }, root: { color: "rgba(0,0,0,0)" },
        }],
        layout: { margin: { l: 0, r: 0, t: 0, b: 0 }, uniformtext: { minsize: 11, mode: "hide" } },
      };
    };

    const barSpec = () => {
      const all = sums();
      const top = all.slice(0, MOST_BARS);
      const whole = all.reduce((sum, group) => sum + group.time, 0) || 1;
      const split = measure().split;
      const names = split ? [...new Set(column[split].values)] : measure().columns;
      const longest = top.length ? top[0].time : 1;
      const [scale, unit] = [[1e6, "s"], [1e3, "ms"], [1, "µs"]].find(([least]) => longest >= 2 * least) ?? [1, "µs"];
      const known = parts.filter(({ key }) => names.includes(key));
      return {
        height: 96 + 24 * top.length,
        data: known.map(({ key, title, colour }) => ({
          type: "bar", orientation: "h", name: title, y: top.map((_, i) => i), x: top.map((group) => (group.parts.get(key) ?? 0) / scale),
          marker: { color: colour },
          hovertext: top.map((group) => `${npusim.plotText(npusim.clip(group.name, 90))}<br>${title}: `
            + `${npusim.time(group.parts.get(key) ?? 0)} of ${npusim.time(group.time)} (${npusim.percent(group.time / whole)})`),
          hoverinfo: "text",
        })),
        layout: {
          yaxis: {
            autorange: "reversed", tickvals: top.map((_, i) => i), showgrid: false,
            ticktext: top.map((group) => npusim.plotText(npusim.clip(group.name, 42))),
          },
          xaxis: { title: { text: `${measure().title}, ${unit}` }, rangemode: "tozero" }, bargap: 0.25, showlegend: known.length > 1,
          margin: { l: 40, r: 20, t: 36, b: 48 },
        },
      };
    };

    return {
      content: [el("div", { class: "tools" }, by.label, what.label), tree, bars],
      mounted: () => { drawTree = npusim.plot(tree, treeSpec); drawBars = npusim.plot(bars, barSpec); },
    };
  };
})();
