"use strict";
/* The simple blocks of a page: cards, a split bar, facts, the command, notes. Each takes its description and returns
   what goes into its frame. */
(() => {
  const { el, blocks } = npusim;

  blocks.cards = ({ items }) => [
    el("div", { class: "cards" }, ...items.map(({ label, value, unit, hint, tone }) =>
      el("div", { class: `card ${tone ?? ""}` },
        el("div", { class: "label" }, label),
        el("div", { class: "value" }, value, " ", unit ? el("small", {}, unit) : null),
        hint ? el("div", { class: "hint" }, hint) : null))),
  ];

  blocks.split = ({ parts, label }) => {
    const whole = parts.reduce((sum, part) => sum + part.value, 0) || 1;
    const text = (part) => `${part.label}: ${part.text}, ${npusim.percent(part.value / whole)}`;
    const shown = parts.filter((part) => part.value > 0);
    return [
      el("div", { class: "split", role: "img", "aria-label": `${label}: ${shown.map(text).join("; ")}` },
        ...shown.map((part) => el("span", {
          title: text(part), style: `flex: ${part.value / whole} 0 0; background: ${fill(part)}`,
        }))),
      el("ul", { class: "legend" }, ...shown.map((part) =>
        el("li", {}, el("i", { style: `background: ${fill(part)}` }), `${part.label} `,
          el("b", {}, npusim.percent(part.value / whole)), " ", el("em", {}, part.text)))),
    ];
  };
  /* Two engines at once are striped in both their colours. */
  const fill = ({ colours }) => {
    const [first, ...rest] = colours.map(npusim.css);
    if (!rest.length) return first;
    const bands = [first, ...rest];
    const stops = bands.map((band, i) => `${band} ${i * 6}px ${(i + 1) * 6}px`).join(", ");
    return `repeating-linear-gradient(135deg, ${stops})`;
  };

  blocks.facts = ({ items }) => [npusim.facts(items)];
  npusim.facts = (items) =>
    el("dl", { class: "facts" }, ...items.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))]));

  blocks.command = ({ text }) => {
    const button = el("button", { type: "button", class: "quiet", on: { click: () => npusim.copy(text, button) } }, "Copy");
    return [el("div", { class: "command" }, el("code", { tabindex: 0 }, text), button)];
  };

  blocks.notes = ({ items }) => [el("ul", { class: "notes" }, ...items.map((item) => el("li", {}, item)))];
})();
