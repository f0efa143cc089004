"use strict";
/* Plotly blocks. A description holds Plotly's data and layout; colours "var:NAME" are the page's CSS variables, so that
   a plot follows the theme. */
(() => {
  const { el, blocks } = npusim;

  const coloured = (value) => {
    if (typeof value === "string") return value.startsWith("var:") ? npusim.colour(value) : value;
    if (Array.isArray(value)) return value.map(coloured);
    if (value && typeof value === "object" && !ArrayBuffer.isView(value))
      return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, coloured(each)]));
    return value;
  };

  const base = () => {
    const text = npusim.colour("var:text");
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: npusim.palette,
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: text },
      margin: { l: 70, r: 20, t: 16, b: 48 }, hoverlabel: {
        bgcolor: npusim.colour("var:panel"), bordercolor: npusim.colour("var:line"), font: { color: text, size: 12.5 },
        align: "left", namelength: -1,
      },
      legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", traceorder: "normal" }, hovermode: "closest", barmode: "stack",
    };
  };
  const axis = () => ({
    gridcolor: npusim.colour("var:line"), zerolinecolor: npusim.colour("var:line"), linecolor: npusim.colour("var:line"),
    tickcolor: npusim.colour("var:line"), automargin: true,
    title: { standoff: 10, font: { size: 13, color: npusim.colour("var:muted") } },
  });
  const merge = (under, over) => {
    const result = { ...under };
    for (const [key, value] of Object.entries(over))
      result[key] = value && typeof value === "object" && !Array.isArray(value) && typeof result[key] === "object"
        ? merge(result[key], value) : value;
    return result;
  };
  const themed = (layout) => {
    const result = merge(base(), coloured(layout));
    for (const key of new Set(["xaxis", "yaxis", ...Object.keys(layout)]))
      if (/^[xy]axis\d*$/.test(key)) result[key] = merge(axis(), result[key] ?? {});
    return result;
  };
  /* On a narrow screen: long titles of axes in lines, of long names their ends, a line of height for each name in the
     legend, and the steps of a waterfall below each other, their texts to the right of them. */
  const NARROW = 560, TITLE = 34, TICK = 24, LEGEND_LINE = 20;
  const inLines = (text) => text.split(" ").reduce((lines, word) => {
    const last = lines[lines.length - 1];
    return last && last.length + word.length < TITLE ? [...lines.slice(0, -1), `${last} ${word}`] : [...lines, word];
  }, []).join("<br>");
  const ending = (text) => {
    const plain = npusim.plainText(String(text));
    return plain.length > TICK ? npusim.plotText(`…${plain.slice(1 - TICK)}`) : text;
  };
  const turned = ({ data, layout, height }) => {
    if (!data.some(({ type }) => type === "waterfall")) return { data, layout, height };
    const { xaxis, yaxis, ...rest } = layout;
    const [{ x, y, text, measure }] = data;
    let before = 0;
    const annotations = x.map((step, i) => {
      const after = measure[i] === "relative" ? before + y[i] : y[i];
      const right = measure[i] === "relative" ? Math.max(before, after) : after;
      before = after;
      return { x: right, y: step, text: ` ${text[i]}`, xanchor: "left", showarrow: false };
    });
    return {
      data: data.map((trace) => ({ ...trace, orientation: "h", x: trace.y, y: trace.x, textposition: "none" })),
      layout: { ...rest, annotations, xaxis: yaxis, yaxis: { ...xaxis, autorange: "reversed" }, margin: { t: 10, l: 10, r: 70 } },
      height: 90 + 34 * data[0].x.length,
    };
  };
  const narrowed = (spec) => {
    const { data, layout, height } = turned(spec);
    const axes = Object.entries(layout).map(([key, value]) => [key, !/^[xy]axis\d*$/.test(key) || !value ? value : {
      ...value,
      ...(value.title?.text ? { title: { ...value.title, text: inLines(value.title.text) } } : {}),
      ...(key.startsWith("y") && value.ticktext ? { ticktext: value.ticktext.map(ending) } : {}),
    }]);
    const named = layout.showlegend === false ? 0 : data.filter(({ name, showlegend }) => name && showlegend !== false).length;
    return { data, layout: { ...Object.fromEntries(axes), margin: { r: 36, ...layout.margin } }, height: height + LEGEND_LINE * Math.max(named - 1, 0) };
  };

  const config = {
    responsive: true, displaylogo: false, showSendToCloud: false, showEditInChartStudio: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
    toImageButtonOptions: { format: "svg", filename: "npusim" },
  };

  /* Plotly is 5 MB of script: it is run when the first plot is drawn, so that the page itself stands at once. */
  const loaded = () => {
    const source = document.getElementById("plotly");
    if (source.type !== "text/plain") return;
    const script = el("script", { id: "plotly" });
    script.textContent = source.textContent;
    source.replaceWith(script);
  };

  /* A second's work, so not before the reader has had time to do something. */
  setTimeout(() => (window.requestIdleCallback ?? setTimeout)(loaded), 1500);

  /* Draws now and whenever the theme changes or the page is printed; spec() gives {data, layout, height} afresh. */
  npusim.plot = (node, spec) => {
    const draw = () => {
      const made = spec();
      const { data, layout, height } = window.innerWidth <= NARROW ? narrowed(made) : made;
      node.style.height = `${height}px`;
      loaded();
      return Plotly.react(node, coloured(data), themed(layout), config);
    };
    npusim.onTheme(draw);
    draw();
    npusim.plotKeys(node);
    return draw;
  };

  /* With `link`, a click on a mark shows the op that is its customdata in that tab. */
  blocks.plot = ({ data, layout, height, label, link }) => {
    const node = el("div", { class: "plot", role: "img", "aria-label": label });
    return {
      content: [node],
      mounted: () => {
        npusim.plot(node, () => ({ data, layout, height: height ?? 420 }));
        if (link) node.on("plotly_click", ({ points }) => {
          if (Number.isInteger(points[0].customdata)) npusim.goto(link, points[0].customdata);
        });
      },
    };
  };
})();
