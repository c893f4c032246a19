"use strict";
// Draws the specification under each figure; again when the reader's colour scheme changes.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const charts = [...document.querySelectorAll("figure.chart")].map((figure) => ({
    box: figure.querySelector("div"),
    spec: JSON.parse(figure.querySelector("script").textContent),
  }));

  const options = () => ({
    mode: "vega-lite",
    renderer: "svg",
    theme: dark.matches ? "dark" : undefined,
    config: {
      background: "transparent",
      font: "system-ui, sans-serif",
      view: { stroke: dark.matches ? "#555" : "#ddd" },
      axis: { gridColor: dark.matches ? "#444" : "#e4e4e4" },
    },
    tooltip: { theme: dark.matches ? "dark" : "light" },
    actions: { export: true, source: false, compiled: false, editor: false },
  });

  async function draw(chart) {
    try {
      if (chart.drawn) chart.drawn.finalize();
      chart.drawn = await vegaEmbed(chart.box, chart.spec, options());
    } catch (error) {
      chart.box.textContent = `This chart could not be drawn: ${error.message}`;
      throw error;
    }
  }

  async function drawAll() {
    document.documentElement.dataset.scheme = dark.matches ? "dark" : "light";
    const results = await Promise.allSettled(charts.map(draw));
    const failed = results.filter((result) => result.status === "rejected");
    failed.forEach((result) => console.error(result.reason));
    document.documentElement.dataset.charts = failed.length ? "failed" : "drawn";
  }

  dark.addEventListener("change", drawAll);
  drawAll();
})();
