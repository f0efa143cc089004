"use strict";
/* A plot under the keyboard: arrows step through its marks, whose texts are shown and said; Enter is a
   click. The tiles of a treemap are opened. */
npusim.plotKeys = (node) => {
  const said = npusim.el("p", { class: "said", role: "status" });
  node.after(said);
  node.tabIndex = 0;
  node.setAttribute("role", "application");
  node.setAttribute("aria-label", `${node.getAttribute("aria-label") ?? "Plot"}. Left and right step through the marks, up and down through the curves, `
    + "Enter opens a mark, plus and minus zoom, 0 shows all, h hides a curve.");
  const DRAWN_MS = 100; // Plotly draws no more than one hover in 50 ms
  let curve = 0, point = -1, waiting = 0;

  const size = ({ x, y, z, ids }) => ids?.length ?? (z ? z.length * (z[0]?.length ?? 0) : Math.max(x?.length ?? 0, y?.length ?? 0));
  const hidden = (number) => node.data[number].visible === "legendonly";
  const seen = (number) => !hidden(number) && size(node.data[number]) > 0 && node.data[number].hoverinfo !== "skip";
  const at = () => {
    const { z } = node.data[curve];
    return z ? [Math.floor(point / z[0].length), point % z[0].length] : point;
  };
  const show = () => {
    const { xaxis = "x", yaxis = "y", ids, labels, text, customdata } = node.data[curve];
    if (ids) {
      said.textContent = [labels[point], text[point], customdata[point]].filter(Boolean).map(npusim.plainText).join(" · ");
      return;
    }
    Plotly.Fx.hover(node, [{ curveNumber: curve, pointNumber: at() }], xaxis + yaxis);
    clearTimeout(waiting);
    waiting = setTimeout(() => { said.textContent = [...node.querySelectorAll(".hoverlayer text")].map(({ textContent }) => textContent).join(", "); }, DRAWN_MS);
  };
  const along = (by) => {
    if (!seen(curve)) return;
    const count = size(node.data[curve]);
    point = (point + by + count) % count;
    show();
  };
  const across = (by) => {
    const count = node.data.length;
    for (let tries = 0; tries < count; tries++) {
      curve = (curve + by + count) % count;
      if (seen(curve)) break;
    }
    point = Math.min(Math.max(point, 0), size(node.data[curve]) - 1);
    if (seen(curve)) show();
  };
  const zoom = (factor) => {
    const change = {};
    for (const [key, axis] of Object.entries(node.layout)) if (/^[xy]axis\d*$/.test(key) && axis.range && !axis.fixedrange) {
      const [low, high] = axis.range.map(Number), middle = (low + high) / 2, half = ((high - low) / 2) * factor;
      if (Number.isFinite(middle)) change[`${key}.range`] = [middle - half, middle + half];
    }
    if (Object.keys(change).length) Plotly.relayout(node, change);
  };
  const whole = () => Plotly.relayout(node, Object.fromEntries(Object.keys(node.layout).filter((key) => /^[xy]axis\d*$/.test(key))
    .map((key) => [`${key}.autorange`, node.layout[key].range?.[0] > node.layout[key].range?.[1] ? "reversed" : true])));
  const keys = {
    ArrowRight: () => along(1), ArrowLeft: () => along(-1), ArrowDown: () => across(1), ArrowUp: () => across(-1),
    Escape: () => { Plotly.Fx.unhover(node); said.textContent = ""; }, "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1 / 0.7), 0: whole,
    h: () => Plotly.restyle(node, { visible: hidden(curve) ? true : "legendonly" }, [curve]),
    Enter: () => {
      if (point < 0) return;
      if (node.data[curve].ids) Plotly.restyle(node, { level: node.data[curve].ids[point] }, [curve]);
      else node.emit("plotly_click", { points: [{ curveNumber: curve, pointNumber: point, customdata: node.data[curve].customdata?.[point] }] });
    },
  };
  node.addEventListener("keydown", (event) => {
    if (event.target !== node || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
};
