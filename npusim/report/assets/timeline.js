"use strict";
/* The timeline: colours, filter, hover, selection, zoom by mouse and keyboard. */
(() => {
  const { el, blocks } = npusim;

  const legendOf = (names) => {
    const colours = names.map((_, i) => npusim.typePalette[i] ?? npusim.otherColour);
    return { names, colours };
  };

  blocks.timeline = (block, tab) => {
    const { data } = block;
    const tasks = new npusim.Tasks(data);
    const canvas = el("canvas", { class: "lanes", tabindex: 0, role: "application",
      "aria-label": `Timeline of ${tasks.count} tasks on ${tasks.lanes.length} lanes. Arrow keys pan, plus and minus zoom, n and p step through the tasks of a row.` });
    const overview = el("canvas", { class: "overview", "aria-hidden": "true" });
    const tip = el("div", { class: "tip", hidden: true });
    const chosen = el("div", { class: "chosen", role: "status" });
    const legend = el("ul", { class: "legend" });
    const lanes = new npusim.Lanes(canvas, tasks);

    /* What a colour means: [title, names, task → index into names]. */
    const types = data.types.slice(0, npusim.typePalette.length);
    const rank = new Map(types.map((type, i) => [type, i]));
    const typeOf = Uint8Array.from(data.ops.type, (type) => rank.get(type) ?? types.length);
    const engineOf = tasks.lanes.map(({ engine }) => ["dma", "dpu", "shave", "block"].indexOf(engine));
    const modes = {
      type: ["op type", data.types.length > types.length ? [...types, "other types"] : types, (task) => typeOf[tasks.op[task]]],
      engine: ["engine", ["DMA", "DPU", "SHAVE", "BLOCK"].slice(0, Math.max(3, ...engineOf.map((kind) => kind + 1))), (task) => engineOf[tasks.lane[task]]],
      provenance: ["cost source", data.provenance, (task) => tasks.source[task]],
      reason: ["what it waited for", data.reasons.map((reason) => reason.replace("none", "nothing")), (task) => tasks.reason[task]],
    };
    const mode = el("select", { on: { change: () => repaint() } }, ...Object.entries(modes).map(([key, [title]]) => el("option", { value: key }, title)));
    const filter = el("input", { type: "search", class: "wide", placeholder: "Highlight ops by name, type or layer", "aria-label": "Highlight ops", on: { input: () => repaint() } });
    const critical = el("input", { type: "checkbox", on: { change: () => repaint() } });
    const reset = el("button", { type: "button", class: "quiet", on: { click: () => show(0, tasks.latency) } }, "Whole run");
    const haystack = data.ops.name.map((name, i) => `${name}\u0001${data.ops.type[i]}\u0001${data.ops.layer[i]}`.toLowerCase());

    let frame = 0, chosenRow = -1;
    const draw = () => {
      if (frame) return;
      frame = requestAnimationFrame(() => { frame = 0; lanes.draw(); lanes.drawOverview(overview); });
    };
    const show = (from, to) => { lanes.show(from, to); draw(); };
    const repaint = (ops = null) => {
      const [, names, colourOf] = modes[mode.value];
      const { colours } = legendOf(names);
      lanes.colourOf = colourOf;
      lanes.colours = colours;
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      const match = haystack.map((text, op) => (ops ? ops.has(op) : words.every((word) => text.includes(word))));
      const all = match.every(Boolean);
      lanes.dimmed = (task) => (!all && !match[tasks.op[task]]) || (critical.checked && !tasks.critical[task]);
      legend.replaceChildren(...names.map((name, i) => el("li", {}, el("i", { style: `background: ${colours[i]}` }), npusim.clip(name, 40))));
      draw();
    };

    const facts = (task) => {
      const { ops } = data, op = tasks.op[task];
      const moved = tasks.bytes[task];
      const waitFor = tasks.waitFor[task];
      const rows = [
        ["Op", `${ops.type[op]}${ops.layer[op] ? ` in ${ops.layer[op]}` : ""}`],
        ["Runs", `${npusim.time(tasks.start[task])} → ${npusim.time(tasks.end(task))}, for ${npusim.time(tasks.duration[task])}`],
        ["Cycles", tasks.lanes[tasks.lane[task]].mhz ? cyclesText(task) : ""],
        ["Output", ops.shape[op]],
        ["Work", data.works[tasks.work[task]]],
        ["Detail", data.details[tasks.detail[task]]],
        ["DDR traffic", moved ? `${npusim.bytes(moved)} at ${npusim.number(moved / tasks.duration[task] / 1000, 1)} GB/s` : ""],
        ["Lost to sharing DDR", tasks.contended[task] > 0.0005 ? npusim.time(tasks.contended[task]) : ""],
        ["Waited for", waitFor < 0 ? "nothing" : `${data.reasons[tasks.reason[task]]}: ${data.ops.name[tasks.op[waitFor]]} (${tasks.lanes[tasks.lane[waitFor]].name})`],
        ["Cost source", data.provenance[tasks.source[task]]],
        ["Critical path", tasks.critical[task] ? "yes" : "no"],
      ];
      return rows.filter(([, value]) => value);
    };
    const cyclesText = (task) => {
      const { mhz, engine } = tasks.lanes[tasks.lane[task]];
      return `${npusim.number(tasks.duration[task] * mhz)} of the ${engine === "dpu" ? "DPU" : "VPU"} clock, ${npusim.number(mhz)} MHz`;
    };
    const titleOf = (task) => el("strong", {}, el("i", { class: "swatch", style: `background: ${lanes.colours[lanes.colourOf(task)]}` }), data.ops.name[tasks.op[task]]);
    const choose = (task, row = task < 0 ? -1 : tasks.row(task)) => {
      lanes.chosen = task;
      chosenRow = row;
      if (task < 0) {
        chosen.replaceChildren(el("p", { class: "keys" }, "Wheel or ", el("kbd", {}, "+"), " ", el("kbd", {}, "−"), " zoom · drag or ",
          el("kbd", {}, "←"), " ", el("kbd", {}, "→"), " pan · double-click a task or ", el("kbd", {}, "Enter"), " to zoom to it · ",
          el("kbd", {}, "n"), " ", el("kbd", {}, "p"), " next and previous task of its row · ", el("kbd", {}, "0"), " whole run"));
      } else {
        const cause = tasks.waitFor[task];
        const { strategy, fused } = data.ops, op = tasks.op[task];
        const more = [["Lane", tasks.lanes[tasks.lane[task]].name], ["Split", strategy[op]], ["Fused", fused[op]]];
        chosen.replaceChildren(titleOf(task), npusim.facts([...facts(task), ...more.filter(([, value]) => value)]),
          el("div", { class: "tools" },
            el("button", { type: "button", class: "quiet", on: { click: () => zoomTo(task) } }, "Zoom to it"),
            cause < 0 ? null : el("button", { type: "button", class: "quiet", on: { click: () => { choose(cause); reveal(cause); } } }, "Go to what it waited for"),
            el("button", { type: "button", class: "quiet", on: { click: () => { filter.value = data.ops.name[op]; repaint(new Set([op])); } } }, "Highlight its op"),
            document.getElementById("tab-graph") && el("button", { type: "button", class: "quiet", on: { click: () => npusim.goto("graph", op) } }, "Show in the graph")),
          npusim.decisions(block, op));
      }
      draw();
    };
    const zoomTo = (task) => show(tasks.start[task] - tasks.duration[task], tasks.end(task) + tasks.duration[task]);
    const reveal = (task) => {
      const span = lanes.to - lanes.from;
      if (tasks.start[task] < lanes.from || tasks.end(task) > lanes.to) {
        const middle = tasks.start[task] + tasks.duration[task] / 2;
        show(middle - span / 2, middle + span / 2);
      }
    };
    const hover = (task, x, y) => {
      lanes.hover = task;
      tip.hidden = task < 0;
      if (task >= 0) {
        tip.replaceChildren(titleOf(task), npusim.facts(facts(task)));
        const room = canvas.clientWidth - tip.offsetWidth - 16;
        tip.style.left = `${Math.max(Math.min(x + 16, room), 0)}px`;
        tip.style.top = `${canvas.offsetTop + y + 20}px`;
      }
      draw();
    };
    const zoom = (factor, at = (lanes.from + lanes.to) / 2) => show(at - (at - lanes.from) * factor, at + (lanes.to - at) * factor);
    const pan = (share) => { const by = (lanes.to - lanes.from) * share; show(lanes.from + by, lanes.to + by); };

    let drag = null;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / lanes.width);
      else zoom(1.0018 ** event.deltaY, lanes.time(event.offsetX));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      drag = { x: event.offsetX, from: lanes.from, to: lanes.to, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return hover(lanes.taskAt(event.offsetX, event.offsetY), event.offsetX, event.offsetY);
      if (Math.abs(event.offsetX - drag.x) > 3) drag.moved = true;
      if (!drag.moved) return undefined;
      hover(-1);
      canvas.classList.add("drag");
      const by = ((drag.x - event.offsetX) / lanes.width) * (drag.to - drag.from);
      return show(drag.from + by, drag.to + by);
    });
    canvas.addEventListener("pointerup", (event) => {
      canvas.classList.remove("drag");
      if (drag && !drag.moved) choose(lanes.taskAt(event.offsetX, event.offsetY), lanes.rowAt(event.offsetY));
      drag = null;
    });
    canvas.addEventListener("pointerleave", () => { if (!drag) hover(-1); });
    canvas.addEventListener("dblclick", (event) => {
      const task = lanes.taskAt(event.offsetX, event.offsetY);
      if (task >= 0) zoomTo(task); else zoom(0.5, lanes.time(event.offsetX));
    });
    const step = (by) => {
      if (lanes.chosen < 0) chosenRow = tasks.rows.findIndex((row) => row.tasks.length);
      const row = tasks.rows[chosenRow]?.tasks ?? [];
      const next = lanes.chosen < 0 ? row[0] : row[row.indexOf(lanes.chosen) + by];
      if (next !== undefined) { choose(next, chosenRow); reveal(next); }
      return undefined;
    };
    const keys = {
      ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15), a: () => pan(-0.15), d: () => pan(0.15), "+": () => zoom(0.6),
      "=": () => zoom(0.6), w: () => zoom(0.6), "-": () => zoom(1 / 0.6), s: () => zoom(1 / 0.6), 0: () => show(0, tasks.latency),
      Home: () => show(0, tasks.latency), n: () => step(1), p: () => step(-1),
      Enter: () => { if (lanes.chosen >= 0) zoomTo(lanes.chosen); }, Escape: () => choose(-1),
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    const overviewTo = (event) => {
      const at = ((event.offsetX - npusim.gutter) / lanes.width) * tasks.latency, half = (lanes.to - lanes.from) / 2;
      show(at - half, at + half);
    };
    overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); overviewTo(event); });
    overview.addEventListener("pointermove", (event) => { if (event.buttons) overviewTo(event); });

    /* From a row of the table of ops: highlight the op's tasks and show them all. */
    npusim.showOp[tab] = (op) => {
      let from = Infinity, to = 0;
      for (let task = 0; task < tasks.count; task++) if (tasks.op[task] === op) {
        from = Math.min(from, tasks.start[task]);
        to = Math.max(to, tasks.end(task));
      }
      if (to <= from) return;
      filter.value = data.ops.name[op];
      choose(tasks.op.indexOf(op));
      repaint(new Set([op]));
      const margin = (to - from) * 0.1;
      show(from - margin, to + margin);
    };
    npusim.lanes = lanes;
    choose(-1);
    return {
      content: [
        el("div", { class: "tools" }, el("label", {}, "Colour by", mode), filter, el("label", {}, critical, "critical path only"),
          el("span", { class: "space" }), reset),
        el("div", { class: "timeline" }, overview, canvas, tip), legend, chosen,
      ],
      mounted: () => {
        repaint();
        npusim.onTheme(() => { lanes.draw(); lanes.drawOverview(overview); });
        new ResizeObserver(draw).observe(canvas);
      },
    };
  };
})();
