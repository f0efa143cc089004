"use strict";
/* The data of a timeline, and its drawing on a canvas. Tasks narrower than a pixel are merged: a column shows the colour
   that fills most of it, as opaque as the share of the time that is busy. Drawing costs no more than one look at every
   visible task, so 100,000 tasks redraw in some milliseconds. */
(() => {
  class Tasks {
    constructor(data) {
      Object.assign(this, data, data.columns);
      this.count = this.start.length;
      this.byLane = data.lanes.map(() => []);
      for (let i = 0; i < this.count; i++) this.byLane[this.lane[i]].push(i);
      for (const tasks of this.byLane) tasks.sort((a, b) => this.start[a] - this.start[b] || a - b);
      this.critical = new Uint8Array(this.count);
      for (const task of this.path) this.critical[task] = 1;
      /* What is drawn below one another: the critical path, which covers the latency, and every lane. */
      const path = this.path.length ? [{ name: "Critical path", group: "path", tasks: this.path }] : [];
      this.rows = [...path, ...data.lanes.map(({ name, group }, lane) => ({ name, group, tasks: this.byLane[lane] }))];
    }
    end(task) { return this.start[task] + this.duration[task]; }
    row(task) { return this.lane[task] + this.rows.length - this.lanes.length; }
    /* First task of a row that ends after a time: tasks of one row do not overlap, so ends ascend too. */
    firstAfter({ tasks }, time) {
      let low = 0, high = tasks.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (this.end(tasks[middle]) > time) high = middle; else low = middle + 1;
      }
      return low;
    }
  }

  const GUTTER = 118, RULER = 26, GAP = 3, GROUP_GAP = 10, MANY = 14;

  class Lanes {
    constructor(canvas, tasks) {
      this.canvas = canvas;
      this.tasks = tasks;
      this.colourOf = () => 0;
      this.colours = [];
      this.dimmed = () => false;
      this.hover = this.chosen = -1;
      this.width = 1;
      this.from = 0;
      this.to = tasks.latency || 1;
      this.thick = tasks.rows.length > MANY ? 17 : 22;
      let y = RULER;
      this.tops = tasks.rows.map((row, i) => {
        if (i && row.group !== tasks.rows[i - 1].group) y += GROUP_GAP;
        const top = y;
        y += this.thick + GAP;
        return top;
      });
      this.height = y + 4;
    }
    x(time) { return GUTTER + ((time - this.from) / (this.to - this.from)) * this.width; }
    time(x) { return this.from + ((x - GUTTER) / this.width) * (this.to - this.from); }
    show(from, to) {
      const whole = this.tasks.latency || 1;
      const span = Math.min(Math.max(to - from, Math.min(whole, 1e-3)), whole);
      this.from = Math.min(Math.max((from + to - span) / 2, 0), whole - span);
      this.to = this.from + span;
    }
    rowAt(y) { return this.tops.findIndex((top) => y >= top && y < top + this.thick); }
    taskAt(x, y) {
      const row = this.tasks.rows[this.rowAt(y)];
      if (!row || x < GUTTER) return -1;
      const slack = (this.to - this.from) / this.width;
      const { tasks } = row;
      let best = -1, distance = Infinity;
      for (let i = this.tasks.firstAfter(row, this.time(x) - 2 * slack); i < tasks.length; i++) {
        const task = tasks[i];
        if (this.tasks.start[task] > this.time(x) + 2 * slack) break;
        const away = Math.max(this.tasks.start[task] - this.time(x), this.time(x) - this.tasks.end(task), 0);
        if (away < distance) [best, distance] = [task, away];
      }
      return best;
    }

    draw() {
      const { canvas } = this;
      const ratio = window.devicePixelRatio || 1;
      const width = canvas.clientWidth;
      if (!width) return;
      this.width = Math.max(width - GUTTER - 8, 1);
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(this.height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(this.height * ratio);
        canvas.style.height = `${this.height}px`;
      }
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, this.height);
      this.ink = Object.fromEntries(["text", "muted", "line", "sunk", "panel", "accent"].map((n) => [n, npusim.colour(`var:${n}`)]));
      this.ruler(pen);
      this.tasks.rows.forEach((row, i) => this.row(pen, row, this.tops[i]));
      for (const task of [this.chosen, this.hover]) if (task >= 0) this.outline(pen, task);
    }
    ruler(pen) {
      const span = this.to - this.from;
      const rough = span / Math.max(this.width / 110, 1);
      const magnitude = 10 ** Math.floor(Math.log10(rough));
      const step = [1, 2, 5, 10].map((n) => n * magnitude).find((n) => n >= rough);
      const [scale, unit] = this.to >= 1e6 && step >= 1e4 ? [1e6, "s"] : this.to >= 1e3 && step >= 10 ? [1e3, "ms"] : [1, "µs"];
      const digits = Math.max(0, -Math.floor(Math.log10(step / scale) + 1e-9));
      pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
      pen.textBaseline = "middle";
      pen.textAlign = "center";
      for (let n = Math.ceil(this.from / step); n * step <= this.to; n++) {
        const x = Math.round(this.x(n * step)) + 0.5;
        pen.strokeStyle = this.ink.line;
        pen.beginPath(); pen.moveTo(x, RULER - 5); pen.lineTo(x, this.height); pen.stroke();
        pen.fillStyle = this.ink.muted;
        pen.fillText(`${npusim.number((n * step) / scale, digits)} ${unit}`, Math.min(Math.max(x, GUTTER + 18), GUTTER + this.width - 18), 10);
      }
    }
    row(pen, row, top) {
      pen.fillStyle = this.ink.muted;
      pen.textAlign = "right";
      pen.fillText(row.name, GUTTER - 10, top + this.thick / 2 + 1);
      pen.globalAlpha = 0.55;
      pen.fillStyle = this.ink.sunk;
      pen.fillRect(GUTTER, top, this.width, this.thick);
      pen.globalAlpha = 1;
      const { tasks } = this;
      const mine = row.tasks;
      const perPixel = this.width / (this.to - this.from);
      const sums = new Float64Array(this.colours.length), faint = new Float64Array(this.colours.length);
      let column = -1, touched = [];
      const flush = () => {
        if (!touched.length) return;
        let best = touched[0], total = 0, bright = 0;
        for (const c of touched) {
          if (sums[c] + faint[c] > sums[best] + faint[best]) best = c;
          total += sums[c] + faint[c]; bright += sums[c];
        }
        pen.globalAlpha = (0.3 + 0.7 * Math.min(total, 1)) * (bright > 0 ? 1 : 0.16);
        pen.fillStyle = this.colours[best];
        pen.fillRect(GUTTER + column, top, 1, this.thick);
        for (const c of touched) sums[c] = faint[c] = 0;
        touched = [];
      };
      for (let i = tasks.firstAfter(row, this.from); i < mine.length && tasks.start[mine[i]] < this.to; i++) {
        const task = mine[i];
        const left = Math.max((tasks.start[task] - this.from) * perPixel, 0);
        const right = Math.min((tasks.end(task) - this.from) * perPixel, this.width);
        const colour = this.colourOf(task), dim = this.dimmed(task);
        if (right - left < 1.5) {
          const at = Math.min(Math.floor(left), this.width - 1);
          if (at !== column) { flush(); column = at; }
          if (!touched.includes(colour)) touched.push(colour);
          (dim ? faint : sums)[colour] += Math.max(right - left, 0.02);
          continue;
        }
        flush();
        pen.globalAlpha = dim ? 0.16 : 1;
        pen.fillStyle = this.colours[colour];
        pen.fillRect(GUTTER + left, top, right - left - (right - left > 4 ? 0.75 : 0), this.thick);
        if (right - left > 54 && !dim) this.caption(pen, task, GUTTER + left, right - left, top);
      }
      flush();
      pen.globalAlpha = 1;
    }
    caption(pen, task, left, width, top) {
      const colour = this.colours[this.colourOf(task)];
      const [r, g, b] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
      pen.fillStyle = r * 0.299 + g * 0.587 + b * 0.114 > 140 ? "#10161d" : "#ffffff";
      pen.textAlign = "left";
      const room = Math.floor((width - 10) / 6.6);
      const { name, layer } = this.tasks.ops, op = this.tasks.op[task];
      const prefix = `${layer[op]}.`;
      pen.fillText(npusim.clip(name[op].startsWith(prefix) ? name[op].slice(prefix.length) : name[op], room), left + 5, top + this.thick / 2 + 1);
    }
    outline(pen, task) {
      const left = Math.max(this.x(this.tasks.start[task]), GUTTER), right = Math.min(this.x(this.tasks.end(task)), GUTTER + this.width);
      if (right < GUTTER || left > GUTTER + this.width) return;
      pen.lineWidth = 2;
      pen.strokeStyle = this.ink.text;
      const rows = this.tasks.critical[task] ? [0, this.tasks.row(task)] : [this.tasks.row(task)];
      for (const row of rows) pen.strokeRect(left - 1, this.tops[row] - 1, Math.max(right - left, 2) + 2, this.thick + 2);
      pen.lineWidth = 1;
    }
    /* Busy share of all lanes over the whole run, with the visible window; on its own small canvas. */
    drawOverview(canvas) {
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = 34;
      if (!width) return;
      canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio);
      canvas.style.height = `${height}px`;
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      const { tasks } = this, bins = Math.max(Math.floor(this.width), 1);
      const kinds = { dma: 0, dpu: 1, shave: 2, block: 3 };
      if (this.busy?.bins !== bins) {
        const levels = [0, 1, 2, 3].map(() => new Float32Array(bins));
        const lanesOf = [0, 0, 0, 0];
        for (const lane of tasks.lanes) lanesOf[kinds[lane.engine]]++;
        for (let task = 0; task < tasks.count; task++) {
          const kind = kinds[tasks.lanes[tasks.lane[task]].engine];
          const from = (tasks.start[task] / tasks.latency) * bins, to = (tasks.end(task) / tasks.latency) * bins;
          for (let bin = Math.floor(from); bin < Math.min(to, bins); bin++)
            levels[kind][bin] += Math.max(Math.min(to, bin + 1) - Math.max(from, bin), 0) / lanesOf[kind];
        }
        this.busy = { bins, levels };
      }
      const engines = ["dma", "dpu", "shave", "block"].filter((engine) => engine !== "block" || tasks.lanes.some((lane) => lane.engine === engine));
      const third = height / engines.length;
      engines.forEach((engine, kind) => {
        pen.fillStyle = npusim.colour("var:sunk");
        pen.fillRect(GUTTER, kind * third, bins, third - 1);
        pen.fillStyle = npusim.colour(`var:${engine}`);
        for (let bin = 0; bin < bins; bin++) {
          const high = Math.min(this.busy.levels[kind][bin], 1) * (third - 1);
          pen.fillRect(GUTTER + bin, kind * third + third - 1 - high, 1, high);
        }
      });
      const at = (time) => GUTTER + (time / (tasks.latency || 1)) * this.width;
      pen.globalAlpha = 0.6;
      pen.fillStyle = npusim.colour("var:panel");
      pen.fillRect(GUTTER, 0, at(this.from) - GUTTER, height);
      pen.fillRect(at(this.to), 0, GUTTER + this.width - at(this.to), height);
      pen.globalAlpha = 1;
      pen.strokeStyle = npusim.colour("var:accent");
      pen.lineWidth = 1.5;
      pen.strokeRect(at(this.from) + 0.5, 0.75, Math.max(at(this.to) - at(this.from) - 1, 2), height - 1.5);
      pen.fillStyle = npusim.colour("var:muted");
      pen.font = `11px ${getComputedStyle(document.body).fontFamily}`;
      pen.textAlign = "right"; pen.textBaseline = "middle";
      ["DMA", "DPU", "SHAVE"].forEach((name, kind) => pen.fillText(name, GUTTER - 10, kind * third + third / 2));
    }
  }
  npusim.Tasks = Tasks;
  npusim.Lanes = Lanes;
  npusim.gutter = GUTTER;
})();
