"use strict";
/* Puts the page together: tabs, their blocks, the theme. A tab's plots are drawn when it is first shown, or printed. */
(async () => {
  await npusim.unpack();
  const { el, payload } = npusim;
  const list = document.getElementById("tabs"), panels = document.getElementById("panels");
  const tabs = payload.tabs.map((tab) => {
    const button = el("button", { type: "button", role: "tab", id: `tab-${tab.id}`, "aria-controls": `panel-${tab.id}`,
      on: { click: () => select(tab.id) } }, tab.title);
    const panel = el("section", { role: "tabpanel", id: `panel-${tab.id}`, "aria-labelledby": `tab-${tab.id}`, "data-title": tab.title, hidden: true });
    list.append(button);
    panels.append(panel);
    return { ...tab, button, panel, filled: false };
  });

  const fill = (tab) => {
    if (tab.filled) return;
    tab.filled = true;
    for (const block of tab.blocks) {
      const made = npusim.blocks[block.kind](block, tab.id);
      const { content, mounted } = Array.isArray(made) ? { content: made } : made;
      tab.panel.append(el("div", { class: `block ${block.width ?? ""} ${block.kind === "cards" ? "bare" : ""}` },
        block.title ? el("h2", {}, block.title) : null, block.lead ? el("p", { class: "lead" }, block.lead) : null, ...content));
      mounted?.();
    }
  };
  const select = (id, focus = false) => {
    for (const tab of tabs) {
      const chosen = tab.id === id;
      tab.button.setAttribute("aria-selected", chosen);
      tab.button.tabIndex = chosen ? 0 : -1;
      tab.panel.hidden = !chosen;
      if (chosen) {
        fill(tab);
        for (const plot of tab.panel.querySelectorAll(".js-plotly-plot")) window.Plotly.Plots.resize(plot);
        if (focus) tab.button.focus();
      }
    }
    if (location.hash !== `#${id}`) history.replaceState(null, "", `#${id}`);
  };
  npusim.goto = (id, op) => {
    select(id, true);
    npusim.showOp[id]?.(op);
    window.scrollTo({ top: 0 });
  };
  list.addEventListener("keydown", (event) => {
    const at = tabs.findIndex((tab) => tab.button === document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    select(tabs[(to + tabs.length) % tabs.length].id, true);
  });

  /* The theme is the system's until the reader chooses; the choice is kept where the browser lets a file keep it. */
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  let choice = null;
  try { choice = localStorage.getItem("npusim-theme"); } catch { /* no storage for files here */ }
  const apply = (paper = false) => {
    document.documentElement.toggleAttribute("data-paper", paper);
    const dark = !paper && (choice ? choice === "dark" : system.matches);
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = dark ? "☀" : "☾";
    for (const redraw of npusim.redraws) redraw();
  };
  button.addEventListener("click", () => {
    choice = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("npusim-theme", choice); } catch { /* as above */ }
    apply();
  });
  system.addEventListener("change", () => apply());
  apply();
  /* On paper all tabs stand below one another, in light colours and as wide as the sheet (page.css). */
  window.addEventListener("beforeprint", () => {
    document.documentElement.toggleAttribute("data-paper", true);
    tabs.forEach(fill);
    apply(true);
  });
  window.addEventListener("afterprint", () => apply());

  const wanted = location.hash.slice(1);
  select(tabs.some((tab) => tab.id === wanted) ? wanted : tabs[0].id);
  document.documentElement.dataset.ready = "true";
})();
