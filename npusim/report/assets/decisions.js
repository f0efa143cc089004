"use strict";
/* What lowering decided about an op, and what its queues waited for: the record that `npusim run --explain` prints. */
(() => {
  const { el } = npusim;
  const engines = { dma: "DMA", dpu: "DPU", shave: "SHAVE", block: "BLOCK" };

  const weighed = (costs) => el("table", { class: "weighed" }, el("tbody", {}, ...costs.map(([name, us]) =>
    el("tr", {}, el("td", {}, name), el("td", { class: "num" }, us === null ? "does not fit" : `${npusim.number(us, 2)} µs`)))));
  const decided = ([stage, what, costs], last) => [
    el("dt", {}, stage === last ? "" : stage), el("dd", {}, what, costs.length ? weighed(costs) : null)];

  /* The record of one op as an element that fills itself; null where the page has none. */
  const cache = new Map();
  npusim.decisions = (block, op) => {
    if (!block.decisions) return null;
    const box = el("div", { class: "decisions" });
    if (!cache.has(block)) cache.set(block, npusim.unpacked(block.decisions));
    cache.get(block).then(({ names, decisions, ops, waits }) => {
      for (const [name, numbers] of ops[op]) {
        const rows = numbers.map((number) => decisions[number]);
        box.append(el("h3", {}, names[name]),
          el("dl", { class: "facts" }, ...rows.flatMap((row, i) => decided(row, rows[i - 1]?.[0]))));
      }
      if (waits[op].length) box.append(el("h3", {}, "Its queues waited"), npusim.facts(waits[op].map(([other, engine, us]) =>
        [npusim.time(us), `for ${other === op ? "its own" : `${block.data.ops.name[other]}'s`} ${engines[engine]} tasks`])));
    });
    return box;
  };
})();
