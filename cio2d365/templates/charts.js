(() => {
  const options = { mode: "vega-lite", ast: true, renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
  for (const script of document.querySelectorAll("script.cio-spec")) {
    const figure = script.parentElement.querySelector("figure.cio-chart");
    if (!figure) continue;
    const drawing = figure.querySelector("img");
    const box = document.createElement("div");
    figure.append(box);
    vegaEmbed(box, JSON.parse(script.textContent), options).then((result) => {
      if (drawing) drawing.remove();
      figure.dataset.ready = "yes";
      figure.view = result.view;
    }).catch((problem) => {
      box.remove();
      figure.dataset.failed = String(problem);
    });
  }
})();
