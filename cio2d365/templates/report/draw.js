"use strict";
for (const chart of document.querySelectorAll("[data-chart]")) {
  const spec = JSON.parse(chart.querySelector("script").textContent);
  const box = document.createElement("div");
  box.className = "drawn";
  const controls = document.createElement("div");
  controls.className = "controls";
  chart.prepend(controls, box);
  // Vega's interpreter (`ast`) needs no eval; the editor and source actions would post figures to a web page.
  const options = {
    mode: "vega-lite", ast: true, renderer: "svg", bind: controls,
    actions: { export: true, source: false, compiled: false, editor: false },
  };
  vegaEmbed(box, spec, options).then(
    () => { chart.querySelector(".cio-chart")?.remove(); chart.dataset.ready = "true"; },
    (error) => { controls.remove(); box.remove(); chart.dataset.failed = String(error); },
  );
}
