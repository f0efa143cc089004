"use strict";
/* Parallel coordinates of the points of a table: a line a point, an axis a column. Dragging along an axis keeps the points
   that pass there, here and in every block that follows the selection of the table. */
(() => {
  const { el, blocks } = npusim;
  const TOP = 46, BOTTOM = 26, SIDE = 70, HEIGHT = 430, MOST_TICKS = 9, WIDE_RANGE = 50, SNAP = 0.03, LEAST = 96;

  class Scale {
    constructor(column) {
      this.column = column;
      this.number = column.kind === "number";
      const known = column.values.filter((value) => value !== null && value !== "");
      if (this.number) {
        this.low = known.reduce((a, b) => Math.min(a, b), Infinity);
        this.high = known.reduce((a, b) => Math.max(a, b), -Infinity);
        this.log = this.low > 0 && this.high / this.low > WIDE_RANGE;
      } else this.names = [...new Set(known)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    }
    /* 0 at the bottom to 1 at the top; NaN where there is no value. */
    at(row) {
      const value = this.column.values[row];
      if (value === null || value === "") return NaN;
      if (!this.number) return this.names.length > 1 ? this.names.indexOf(value) / (this.names.length - 1) : 0.5;
      if (this.low === this.high) return 0.5;
      const f = this.log ? Math.log : (x) => x;
      return (f(value) - f(this.low)) / (f(this.high) - f(this.low));
    }
    value(at) {
      if (!this.log) return this.low + at * (this.high - this.low);
      return Math.exp(Math.log(this.low) + at * (Math.log(this.high) - Math.log(this.low)));
    }
    text(at) {
      if (!this.number) return this.names[Math.round(at * (this.names.length - 1))] ?? "";
      return Number(this.value(at).toPrecision(3)).toLocaleString("en-US");
    }
    ticks() {
      if (!this.number) {
        const step = Math.ceil(this.names.length / MOST_TICKS);
        return this.names.map((name, i) => [this.names.length > 1 ? i / (this.names.length - 1) : 0.5, name]).filter((_, i) => i % step === 0);
      }
      if (!(this.low <= this.high)) return [];
      const different = [...new Set(this.column.values.filter((value) => value !== null))];
      if (different.length <= MOST_TICKS)
        return different.map((value) => [this.at(this.column.values.indexOf(value)), value.toLocaleString("en-US")]);
      return [0, 0.25, 0.5, 0.75, 1].map((at) => [at, this.text(at)]);
    }
  }

  blocks.parallel = ({ table: id, columns: keys, front, label }) => {
    const { columns } = npusim.payload.tables[id];
    const axes = keys.map((key) => new Scale(columns.find((column) => column.key === key)));
    const count = columns[0].values.length;
    const best = new Set(front);
    const places = axes.map((axis) => Float64Array.from({ length: count }, (_, row) => axis.at(row)));
    const brushes = axes.map(() => null);
    const canvas = el("canvas", { class: "parallel", role: "img", "aria-label": label });
    const handles = axes.map((axis, i) => el("button", {
      type: "button", class: "axis", "aria-label": `${axis.column.title}: drag, or arrow keys, to choose a range; Escape to drop it`,
      on: {
        pointerdown: (event) => begin(event, i), pointermove: (event) => stretch(event, i), pointerup: (event) => finish(event, i),
        keydown: (event) => press(event, i),
      },
    }));
    const selection = npusim.selection(id);
    const note = el("span", { class: "count", role: "status" });
    const clear = el("button", { type: "button", class: "quiet", on: { click: () => { brushes.fill(null); choose(); } } }, "Drop all ranges");

    const passes = (row) => brushes.every((brush, i) => !brush || (places[i][row] >= brush[0] - 1e-9 && places[i][row] <= brush[1] + 1e-9));
    const choose = () => {
      const rows = brushes.some(Boolean) ? new Set([...Array(count).keys()].filter(passes)) : null;
      selection.choose(rows);
      note.textContent = rows ? `${npusim.number(rows.size)} of ${npusim.number(count)} points pass` : "";
      clear.disabled = !rows;
      brushes.forEach((brush, i) => handles[i].setAttribute("aria-description",
        brush ? `from ${axes[i].text(brush[0])} to ${axes[i].text(brush[1])}` : "no range"));
      draw();
    };

    let width = 1, start = null;
    const x = (i) => SIDE + (axes.length > 1 ? (i / (axes.length - 1)) * (width - 2 * SIDE) : (width - 2 * SIDE) / 2);
    const y = (at) => HEIGHT - BOTTOM - at * (HEIGHT - TOP - BOTTOM);
    /* Near an end it is the end: the last point of an axis is hard to pass otherwise. */
    const fraction = (event) => {
      const at = 1 - event.offsetY / (HEIGHT - TOP - BOTTOM);
      return at < SNAP ? 0 : at > 1 - SNAP ? 1 : at;
    };
    const begin = (event, i) => { handles[i].setPointerCapture(event.pointerId); start = fraction(event); };
    const stretch = (event, i) => {
      if (start === null) return;
      const here = fraction(event);
      brushes[i] = [Math.min(start, here), Math.max(start, here)];
      draw();
    };
    const finish = (event, i) => {
      if (Math.abs(fraction(event) - start) < 0.01) brushes[i] = null;
      start = null;
      choose();
    };
    const press = (event, i) => {
      const [low, high] = brushes[i] ?? [];
      const step = 0.05;
      const next = {
        ArrowUp: () => (brushes[i] ? [Math.min(low + step, 1), Math.min(high + step, 1)] : [0.5, 1]),
        ArrowDown: () => (brushes[i] ? [Math.max(low - step, 0), Math.max(high - step, 0)] : [0, 0.5]),
        "+": () => [Math.max((low ?? 0.5) - step, 0), Math.min((high ?? 0.5) + step, 1)],
        "-": () => (brushes[i] ? [Math.min(low + step, high), Math.max(high - step, low)] : null),
        Escape: () => null,
      }[event.key];
      if (!next) return;
      event.preventDefault();
      brushes[i] = next();
      choose();
    };

    const line = (pen, row) => {
      pen.beginPath();
      let down = false;
      for (let i = 0; i < axes.length; i++) {
        const at = places[i][row];
        if (Number.isNaN(at)) { down = false; continue; }
        if (down) pen.lineTo(x(i), y(at)); else pen.moveTo(x(i), y(at));
        down = true;
      }
      pen.stroke();
    };
    const draw = () => {
      const ratio = window.devicePixelRatio || 1;
      width = canvas.clientWidth;
      if (!width) return;
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(HEIGHT * ratio);
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      const ink = Object.fromEntries(["text", "muted", "line", "accent", "warn", "panel", "idle"].map((name) => [name, npusim.colour(`var:${name}`)]));
      const faint = Math.max(0.12, Math.min(0.75, 40 / count));
      for (const layer of ["out", "beaten", "front", "failed"])
        for (let row = 0; row < count; row++) {
          const failed = places.some((place) => Number.isNaN(place[row]));
          const kind = !passes(row) ? "out" : failed ? "failed" : best.has(row) ? "front" : "beaten";
          if (kind !== layer) continue;
          pen.globalAlpha = { out: 0.12, failed: 0.8, beaten: faint, front: 0.95 }[kind];
          pen.strokeStyle = { out: ink.idle, failed: ink.warn, beaten: ink.muted, front: ink.accent }[kind];
          pen.lineWidth = kind === "front" ? 1.8 : 1;
          pen.setLineDash(kind === "failed" ? [5, 4] : []);
          line(pen, row);
        }
      pen.globalAlpha = 1;
      pen.setLineDash([]);
      pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
      pen.textBaseline = "middle";
      axes.forEach((axis, i) => {
        pen.strokeStyle = ink.text;
        pen.lineWidth = 1;
        pen.beginPath(); pen.moveTo(x(i), y(0)); pen.lineTo(x(i), y(1)); pen.stroke();
        const room = axes.length > 1 ? Math.floor(((width - 2 * SIDE) / (axes.length - 1)) / 6.8) : 60;
        pen.textAlign = "center";
        pen.fillStyle = ink.text;
        pen.fillText(npusim.clip(axis.column.title, room), x(i), 12);
        pen.fillStyle = ink.muted;
        pen.fillText(`${axis.column.unit ?? ""}${axis.log ? " log" : ""}`, x(i), 28);
        pen.textAlign = i === axes.length - 1 ? "left" : "right";
        const side = i === axes.length - 1 ? 7 : -7;
        for (const [at, text] of axis.ticks()) {
          const shown = npusim.clip(text, 14);
          pen.strokeStyle = ink.panel;
          pen.lineWidth = 3;
          pen.strokeText(shown, x(i) + side, y(at));
          pen.fillText(shown, x(i) + side, y(at));
        }
        const brush = brushes[i];
        if (brush) {
          pen.globalAlpha = 0.3;
          pen.fillStyle = ink.accent;
          pen.fillRect(x(i) - 8, y(brush[1]), 16, Math.max(y(brush[0]) - y(brush[1]), 2));
          pen.globalAlpha = 1;
          pen.strokeStyle = ink.accent;
          pen.strokeRect(x(i) - 8, y(brush[1]), 16, Math.max(y(brush[0]) - y(brush[1]), 2));
        }
        handles[i].style.left = `${x(i) - 14}px`;
      });
    };
    const legend = [["accent", "Pareto front"], ["muted", "beaten"], ["warn", "failed (dashed)"]].map(([name, text]) =>
      el("li", {}, el("i", { style: `background: var(--${name})` }), text));
    return {
      content: [
        el("div", { class: "tools" }, el("ul", { class: "legend" }, ...legend), el("span", { class: "space" }), note, clear),
        el("div", { class: "across" }, el("div", { class: "parallel-frame",
          style: `height: ${HEIGHT}px; min-width: ${2 * SIDE + LEAST * (axes.length - 1)}px` }, canvas, ...handles)),
      ],
      mounted: () => {
        choose();
        npusim.onTheme(draw);
        new ResizeObserver(draw).observe(canvas);
      },
    };
  };
})();
