"use strict";
/* Shared helpers: DOM, numbers with units, colours, binary columns. Text from models is only ever set as textContent,
   or passed through plotText() where Plotly would read markup. */
const npusim = { payload: JSON.parse(document.getElementById("payload").textContent), blocks: {}, showOp: {} };

npusim.el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "on") for (const [event, handler] of Object.entries(value)) node.addEventListener(event, handler);
    else if (key === "style") node.style.cssText = value;
    else if (value === true) node.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

/* Plotly reads a subset of HTML, and TeX between dollars, in every text. */
npusim.plotText = (text) =>
  String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("$", "&#36;");
npusim.plainText = (text) =>
  text.replaceAll("&#36;", "$").replaceAll("&gt;", ">").replaceAll("&lt;", "<").replaceAll("&amp;", "&");

npusim.clip = (text, length) => (text.length > length ? text.slice(0, length - 1) + "…" : text);

npusim.number = (value, digits = 0) =>
  value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

npusim.scaled = (value, units) => {
  const [scale, unit] = units.find(([least]) => Math.abs(value) >= least) ?? units[units.length - 1];
  const shown = value / scale;
  const size = Math.abs(shown);
  return `${npusim.number(shown, size >= 1000 ? 0 : size >= 100 ? 1 : 2)} ${unit}`;
};
npusim.time = (us) => npusim.scaled(us, us !== 0 && Math.abs(us) < 1 ? [[1e-3, "ns"]] : [[1e6, "s"], [1e3, "ms"], [1, "µs"]]);
npusim.bytes = (count) =>
  count < 1024 ? `${npusim.number(count)} B` : npusim.scaled(count, [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]);
npusim.percent = (share) => `${npusim.number(share * 100, 1)} %`;

/* Okabe and Ito's palette: told apart with any colour vision; the last colour is for everything else. */
npusim.palette = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442"];
/* Op types have colours of their own, so that those of engines mean engines alone (looks.py has the same). */
npusim.typePalette = ["#aa3377", "#b8a425", "#8c6bb1", "#9c755f", "#ee6677", "#b5a1d6", "#7d8f3c"];
npusim.otherColour = "#8a96a3";
npusim.colour = (name) =>
  name.startsWith("var:") ? getComputedStyle(document.documentElement).getPropertyValue("--" + name.slice(4)).trim() : name;
npusim.css = (name) => (name.startsWith("var:") ? `var(--${name.slice(4)})` : name);

const inflated = (data) => {
  const packed = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate")));
};
/* A value that Python packed as JSON. */
npusim.unpacked = ({ data }) => inflated(data).json();

/* A column that Python packed (page.py): planes of bytes, of differences of bits. */
npusim.column = async ({ type, data }) => {
  const planes = new Uint8Array(await inflated(data).arrayBuffer());
  const size = Number(type[1]), count = planes.length / size, bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < size; plane++) for (let i = 0; i < count; i++) bytes[i * size + plane] = planes[plane * count + i];
  const bits = new { 8: BigUint64Array, 4: Uint32Array, 2: Uint16Array, 1: Uint8Array }[size](bytes.buffer);
  for (let i = 1; i < count; i++) bits[i] += bits[i - 1];
  const kinds = { f8: Float64Array, f4: Float32Array, i4: Int32Array, u4: Uint32Array, u2: Uint16Array, u1: Uint8Array };
  return new kinds[type](bytes.buffer);
};
/* All columns of all blocks, unpacked in their places. */
npusim.unpack = () => Promise.all(npusim.payload.tabs.flatMap((tab) => tab.blocks).filter((block) => block.data?.columns)
  .flatMap(({ data: { columns } }) => Object.entries(columns).map(async ([name, column]) => (columns[name] = await npusim.column(column)))));

npusim.download = (name, text) => {
  const link = npusim.el("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

npusim.copy = async (text, button) => {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed here";
  }
  setTimeout(() => (button.textContent = label), 1500);
};

/* The rows of a table that are chosen: null for all. Blocks that follow it add a function to `changed`. */
const selections = new Map();
npusim.selection = (id) => {
  if (!selections.has(id)) {
    const one = { rows: null, changed: [], choose: (rows) => { one.rows = rows; for (const follow of one.changed) follow(); } };
    selections.set(id, one);
  }
  return selections.get(id);
};

/* Blocks that draw with the theme's colours register here, and are drawn again when it changes. */
npusim.redraws = [];
npusim.onTheme = (draw) => npusim.redraws.push(draw);
