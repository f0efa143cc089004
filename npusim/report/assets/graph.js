"use strict";
/* The model as a graph: a box an op, or a layer, in the colour of its engine, the
   stronger the more of the latency it is. */
(() => {
  const { el, blocks } = npusim;
  const SIZE = { width: 190, height: 46, gap: 18, lane: 22, row: 78 };
  /* So many boxes are shown at once unless the reader asks for more. */
  const MANY = 600;
  const READABLE = 0.85, LARGEST = 1.6, SEEN = 0.12;

  /* What is drawn: ops one by one, all or those of a layer, or whole layers. Each box: its ops, and what it says. */
  const views = (table, edges) => {
    const column = Object.fromEntries(table.columns.map((each) => [each.key, each.values]));
    const count = column.name.length;
    const one = (op) => ({
      ops: [op], title: column.type[op], name: column.name[op], engine: column.engine[op].toLowerCase(), us: column.exposed_us[op] ?? 0,
    });
    const many = (layer, ops) => {
      const by = new Map();
      for (const op of ops) by.set(column.engine[op], (by.get(column.engine[op]) ?? 0) + (column.exposed_us[op] ?? 0));
      const [engine] = [...by].reduce((a, b) => (b[1] > a[1] ? b : a));
      return { ops, layer, title: layer, name: `${ops.length} ops`, engine: engine.toLowerCase(), us: [...by.values()].reduce((a, b) => a + b, 0) };
    };
    const drawn = (boxes) => {
      const box = new Map(boxes.flatMap(({ ops }, i) => ops.map((op) => [op, i])));
      const pairs = new Set();
      for (const [from, to] of edges) {
        const a = box.get(from), b = box.get(to);
        if (a !== undefined && b !== undefined && a < b) pairs.add(a * boxes.length + b);
      }
      const kept = [...pairs].sort((a, b) => a - b).map((pair) => [Math.floor(pair / boxes.length), pair % boxes.length]);
      const most = Math.max(...boxes.map(({ us }) => us)) || 1;
      return { boxes, box, edges: kept, heat: boxes.map(({ us }) => Math.sqrt(us / most)), ...npusim.layered(boxes.length, kept, SIZE) };
    };
    const all = [...Array(count).keys()];
    const layers = [...new Set(column.layer)].filter(Boolean);
    const inLayers = () => {
      const seen = new Map(), boxes = [];
      for (const op of all) {
        const layer = column.layer[op];
        if (!layer) boxes.push(one(op));
        else if (seen.has(layer)) seen.get(layer).push(op);
        else { const ops = [op]; seen.set(layer, ops); boxes.push({ layer, ops }); }
      }
      return boxes.map((box) => (box.layer ? many(box.layer, box.ops) : box));
    };
    const choices = [["all", `all ${npusim.number(count)} ops`], ...(layers.length > 1 ? [["layers", "by layer"]] : []),
      ...layers.map((layer) => [`in ${layer}`, `ops of ${layer}`])];
    const made = new Map();
    const view = (key) => {
      if (!made.has(key)) made.set(key, drawn(key === "layers" ? inLayers()
        : all.filter((op) => key === "all" || `in ${column.layer[op]}` === key).map(one)));
      return made.get(key);
    };
    const whole = column.exposed_us.reduce((sum, us) => sum + (us ?? 0), 0) || 1;
    return { choices, view, first: count > MANY && layers.length > 1 ? "layers" : "all", whole, column };
  };

  blocks.graph = ({ data, table: id, link }, tab) => {
    const edges = [...data.columns.from].map((from, i) => [from, data.columns.to[i]]);
    const { choices, view, first, whole, column } = views(npusim.payload.tables[id], edges);
    const canvas = el("canvas", { class: "model", tabindex: 0, role: "application",
      "aria-label": "Graph of the model. Up and down arrows step to what an op reads and what reads it, left and right along its row, Enter shows its tasks, plus and minus zoom." });
    const chosen = el("div", { class: "chosen", role: "status" });
    const select = el("select", { on: { change: () => { open(select.value); } } }, ...choices.map(([key, title]) => el("option", { value: key }, title)));
    const found = el("span", { class: "count", role: "status" });
    const filter = el("input", { type: "search", placeholder: "Find by name or type", "aria-label": "Find ops in the graph",
      on: { input: () => look(), keydown: (event) => { if (event.key === "Enter") next(event.shiftKey ? -1 : 1); } } });
    const tools = [["−", "Zoom out", () => zoom(1 / 1.4)], ["+", "Zoom in", () => zoom(1.4)], ["Whole model", null, () => fit()]]
      .map(([text, label, click]) => el("button", { type: "button", class: "quiet", "aria-label": label, on: { click } }, text));
    const pen = canvas.getContext("2d");
    let graph = null, at = -1, matched = [], scale = 1, left = 0, top = 0, frame = 0;

    const draw = () => { if (!frame) frame = requestAnimationFrame(paint); };
    const share = (box) => box.us / whole;
    const paint = () => {
      frame = 0;
      const { clientWidth: width, clientHeight: height } = canvas, dense = devicePixelRatio;
      if (!width || !graph) return;
      if (canvas.width !== Math.round(width * dense) || canvas.height !== Math.round(height * dense)) {
        canvas.width = Math.round(width * dense);
        canvas.height = Math.round(height * dense);
      }
      pen.setTransform(dense, 0, 0, dense, 0, 0);
      pen.clearRect(0, 0, width, height);
      pen.setTransform(dense * scale, 0, 0, dense * scale, -left * dense * scale, -top * dense * scale);
      const colour = Object.fromEntries(["text", "muted", "panel", "accent", "dma", "dpu", "shave"].map((name) => [name, npusim.colour(`var:${name}`)]));
      const seen = (y) => y > top - 2 * SIZE.row && y < top + height / scale + 2 * SIZE.row;
      const mine = (i) => graph.edges[i].includes(at);
      const curve = (path) => {
        pen.beginPath();
        pen.moveTo(path[0][0], path[0][1] + SIZE.height / 2);
        for (let i = 1; i < path.length; i++) {
          const [x0, y0] = path[i - 1], [x1, y1] = path[i], half = SIZE.height / 2, middle = (y0 + y1) / 2;
          if (i > 1) pen.lineTo(x0, y0 + half);
          pen.bezierCurveTo(x0, middle + half / 2, x1, middle - half / 2, x1, y1 - half);
        }
        pen.stroke();
      };
      graph.paths.forEach((path, i) => {
        if (path[path.length - 1][1] < top - SIZE.row || path[0][1] > top + height / scale + SIZE.row) return;
        pen.strokeStyle = mine(i) ? colour.accent : colour.muted;
        pen.globalAlpha = mine(i) ? 1 : 0.55;
        pen.lineWidth = mine(i) ? 2.2 : 1.1;
        curve(path);
      });
      const words = scale > 0.35, dimmed = filter.value !== "";
      const match = new Set(matched);
      const line = (text, x, y, room, style) => {
        pen.font = style;
        let shown = text;
        while (shown.length > 3 && pen.measureText(shown).width > room) shown = `${shown.slice(0, Math.floor(shown.length * 0.9) - 1)}…`;
        pen.fillText(shown, x, y);
      };
      const sans = getComputedStyle(document.body).fontFamily;
      graph.boxes.forEach((box, i) => {
        if (!seen(graph.y[i])) return;
        const x = graph.x[i] - SIZE.width / 2, y = graph.y[i] - SIZE.height / 2;
        pen.globalAlpha = dimmed && !match.has(i) ? 0.25 : 1;
        const whole = pen.globalAlpha;
        pen.strokeStyle = i === at ? colour.accent : colour[box.engine];
        pen.lineWidth = i === at ? 3.5 : 1.4;
        pen.beginPath();
        pen.roundRect(x, y, SIZE.width, SIZE.height, 7);
        for (const [style, strength] of [[colour.panel, 1], [colour[box.engine], words ? 0.42 * graph.heat[i] : Math.max(graph.heat[i], 0.3)]]) {
          pen.fillStyle = style;
          pen.globalAlpha = whole * strength;
          pen.fill();
        }
        pen.globalAlpha = whole;
        pen.stroke();
        if (!words) return;
        pen.fillStyle = colour[box.engine];
        pen.fillRect(x + 1, y + 5, 5, SIZE.height - 10);
        pen.fillStyle = colour.text;
        pen.textAlign = "right";
        line(share(box) < 0.0005 ? "" : npusim.percent(share(box)), x + SIZE.width - 10, y + 17, 60, `12px ${sans}`);
        pen.textAlign = "left";
        line(box.title, x + 12, y + 17, SIZE.width - 74, `600 12.5px ${sans}`);
        line(box.name, x + 12, y + 33, SIZE.width - 24, `11.5px ${sans}`);
      });
      pen.globalAlpha = 1;
    };

    const zoom = (factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) => {
      const before = scale;
      scale = Math.min(Math.max(scale * factor, 0.02), LARGEST);
      left += x / before - x / scale;
      top += y / before - y / scale;
      draw();
    };
    const centre = (i) => {
      left = graph.x[i] - canvas.clientWidth / scale / 2;
      top = graph.y[i] - canvas.clientHeight / scale / 2;
      draw();
    };
    const needed = () => Math.min(canvas.clientWidth / (graph.right - graph.left + 40), canvas.clientHeight / (graph.bottom + SIZE.height + 40), 1);
    /* All of it at once: layer by layer, where single ops would be specks. */
    const fit = () => {
      if (needed() < SEEN && choices.some(([key]) => key === "layers")) open("layers");
      scale = needed();
      left = (graph.left + graph.right) / 2 - canvas.clientWidth / scale / 2;
      top = (graph.bottom - canvas.clientHeight / scale) / 2;
      draw();
    };
    const begin = () => {
      scale = Math.max(needed(), READABLE);
      centre(0);
      top = -SIZE.height / 2 - 20;
    };
    const open = (key) => {
      select.value = key;
      graph = view(key);
      look();
      begin();
      choose(-1);
    };

    const visible = (i) => {
      const x = (graph.x[i] - left) * scale, y = (graph.y[i] - top) * scale;
      return x > 60 && x < canvas.clientWidth - 60 && y > 40 && y < canvas.clientHeight - 40;
    };
    const choose = (i) => {
      at = i;
      if (i < 0) {
        chosen.replaceChildren(el("p", { class: "keys" }, "Wheel or ", el("kbd", {}, "+"), " ", el("kbd", {}, "−"), " zoom · drag pans · ",
          el("kbd", {}, "↑"), " ", el("kbd", {}, "↓"), " what it reads, what reads it · ", el("kbd", {}, "←"), " ", el("kbd", {}, "→"),
          " along its row · ", el("kbd", {}, "Enter"), " or double-click opens it · ", el("kbd", {}, "0"), " whole model"));
        draw();
        return;
      }
      if (!visible(i)) centre(i);
      const box = graph.boxes[i], op = box.ops[0];
      const facts = box.layer
        ? [["Layer", box.layer], ["Ops", npusim.number(box.ops.length)], ["Latency", `${npusim.time(box.us)}, ${npusim.percent(share(box))}`]]
        : [["Op", box.name], ["Type", box.title], ["Engine", column.engine[op]], ["Latency", `${npusim.time(box.us)}, ${npusim.percent(share(box))}`],
          ["Bound by", column.bound[op]], ["Output", column.shape[op]], ["Split", column.strategy[op]], ["Cost is", column.provenance[op]]];
      const go = (title, others) => others.length === 0 ? null : el("div", { class: "others" }, title, ...others.slice(0, 12).map((other) =>
        el("button", { type: "button", class: "quiet", on: { click: () => { choose(other); canvas.focus(); } } },
          npusim.clip(graph.boxes[other].layer ? graph.boxes[other].title : graph.boxes[other].name, 40))),
      others.length > 12 ? `and ${others.length - 12} more` : "");
      chosen.replaceChildren(npusim.facts(facts.filter(([, value]) => value)),
        el("div", { class: "tools" }, el("button", { type: "button", class: "quiet", on: { click: () => enter() } },
          box.layer ? "Open the layer" : "Show its tasks")),
        ...[go("Reads", graph.reads[i]), go("Read by", graph.readBy[i])].filter(Boolean));
      draw();
    };
    const enter = () => {
      if (at < 0) return;
      const { layer, ops } = graph.boxes[at];
      if (layer) open(`in ${layer}`);
      else if (link) npusim.goto(link, ops[0]);
    };
    const along = (by) => {
      const level = graph.y.map((_, i) => i).filter((i) => graph.y[i] === graph.y[at]).sort((a, b) => graph.x[a] - graph.x[b]);
      return level[level.indexOf(at) + by] ?? at;
    };
    const step = (to) => { if (at < 0) choose(0); else if (to !== undefined) choose(to); };
    const look = () => {
      const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
      matched = words.length ? graph.boxes.map((_, i) => i).filter((i) =>
        words.every((word) => graph.boxes[i].ops.some((op) => `${column.name[op]} ${column.type[op]}`.toLowerCase().includes(word)))) : [];
      found.textContent = words.length ? `${npusim.number(matched.length)} found` : "";
      draw();
    };
    const next = (by) => {
      if (!matched.length) return;
      const here = matched.indexOf(at);
      choose(matched[(here < 0 ? 0 : here + by + matched.length) % matched.length]);
    };

    const boxAt = (px, py) => {
      const x = left + px / scale, y = top + py / scale;
      return graph.boxes.findIndex((_, i) => Math.abs(graph.x[i] - x) <= SIZE.width / 2 && Math.abs(graph.y[i] - y) <= SIZE.height / 2);
    };
    let drag = null;
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(1.0016 ** -event.deltaY, event.offsetX, event.offsetY); }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => { drag = { x: event.offsetX, y: event.offsetY, left, top, moved: false }; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return;
      drag.moved ||= Math.hypot(event.offsetX - drag.x, event.offsetY - drag.y) > 4;
      if (!drag.moved) return;
      left = drag.left - (event.offsetX - drag.x) / scale;
      top = drag.top - (event.offsetY - drag.y) / scale;
      draw();
    });
    canvas.addEventListener("pointerup", (event) => { if (drag && !drag.moved) choose(boxAt(event.offsetX, event.offsetY)); drag = null; });
    canvas.addEventListener("dblclick", () => enter());
    const keys = {
      ArrowUp: () => step(graph.reads[at]?.[0]), ArrowDown: () => step(graph.readBy[at]?.[0]), ArrowLeft: () => step(along(-1)),
      ArrowRight: () => step(along(1)), "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: () => fit(), Home: () => step(0),
      End: () => step(graph.boxes.length - 1), Enter: () => enter(), Escape: () => choose(-1),
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });

    npusim.showOp[tab] = (op) => {
      if (!graph.box.has(op) || graph.boxes[graph.box.get(op)].layer) open(column.layer[op] ? `in ${column.layer[op]}` : "all");
      choose(graph.box.get(op));
      canvas.focus();
    };
    npusim.model = { state: () => ({ graph, at, scale, left, top }), size: SIZE };
    const legend = el("ul", { class: "legend" }, ...["dma", "dpu", "shave"].map((engine) =>
      el("li", {}, el("i", { style: `background: var(--${engine})` }), `mostly on ${engine.toUpperCase()}`)),
    el("li", {}, el("em", {}, "stronger: more of the latency")));
    return {
      content: [
        el("div", { class: "tools" }, el("label", {}, "Show", select), filter, found, el("span", { class: "space" }), ...tools),
        canvas, legend, chosen,
      ],
      mounted: () => {
        open(first);
        npusim.onTheme(draw);
        new ResizeObserver(draw).observe(canvas);
      },
    };
  };
})();
