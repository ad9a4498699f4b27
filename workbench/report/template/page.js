(async () => {
  "use strict";
  const root = document.documentElement;
  const words = document.body.dataset;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const ready = (how) => { root.dataset.wbReady = how; };

  function hintAtWideTables() {
    for (const box of document.querySelectorAll(".wb-scroll")) {
      const next = box.nextElementSibling;
      const hint = next && next.classList.contains("wb-hint") ? next : null;
      const isWide = box.scrollWidth > box.clientWidth + 1;
      if (isWide && !hint) {
        const words_ = document.createElement("p");
        words_.className = "wb-hint";
        words_.textContent = words.wordsScroll;
        box.after(words_);
      } else if (!isWide && hint && box.clientWidth) hint.remove();
    }
  }

  async function unpack(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (one) => one.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).text();
  }

  function scaleWidths(spec, factor) {
    if (typeof spec.width === "number") spec.width = Math.max(40, Math.floor(spec.width * factor));
    for (const key of ["hconcat", "vconcat", "concat", "layer"]) (spec[key] || []).forEach((one) => scaleWidths(one, factor));
    if (spec.spec) scaleWidths(spec.spec, factor);
  }

  function stack(spec) {
    if (spec.hconcat) { spec.vconcat = spec.hconcat; delete spec.hconcat; }
    if (spec.columns) spec.columns = 1;
  }

  function scriptFrom(code) {
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
  }

  async function draw(figure, content) {
    const view = figure.querySelector(".wb-view");
    const column = figure.clientWidth;
    const spec = structuredClone(content.specs[Number(figure.dataset.chart)]);
    const isWhole = Boolean(spec.autosize); // Vega fits it to the column by itself
    const fills = spec.usermeta && spec.usermeta.fill;
    spec.datasets = content.datasets;
    if (isWhole || fills) spec.width = column;
    else if (column < 600) stack(spec);
    if (isWhole && spec.autosize.type === "fit" && column < 600) spec.height = Math.min(spec.height, 165);
    const shade = dark.matches ? "dark" : "light";
    const config = { ...content.config[shade], ...spec.config };
    config.font = getComputedStyle(document.body).fontFamily;
    delete spec.config;
    const options = {
      mode: "vega-lite", actions: false, renderer: "svg", ast: true, config,
      formatLocale: content.formatLocale, timeFormatLocale: content.timeFormatLocale,
      tooltip: { theme: shade },
    };
    const holder = document.createElement("div");
    const last = [...view.childNodes];
    view.classList.remove("wb-still");
    view.replaceChildren(holder);
    let drawn;
    try {
      drawn = await vegaEmbed(holder, spec, options);
    } catch (error) {
      view.replaceChildren(...last);
      view.classList.add("wb-still");
      throw error;
    }
    for (let tries = 0; !isWhole && tries < 3; tries += 1) {
      const width = view.querySelector("svg").getBoundingClientRect().width;
      if (width <= column + 1) break;
      if (fills) spec.width = Math.max(60, spec.width - Math.ceil(width - column));
      else scaleWidths(spec, Math.max(0.2, (column / width) * 0.97));
      drawn.finalize();
      drawn = await vegaEmbed(holder, spec, options);
    }
    if (figure.finish) figure.finish();
    figure.finish = () => drawn.finalize();
  }

  function dataOf(spec, datasets) {
    const names = new Set();
    JSON.stringify(spec, (key, value) => {
      if (key === "data" && value && value.name && datasets[value.name]) names.add(value.name);
      return value;
    });
    return names.size === 1 ? datasets[[...names][0]] : null;
  }

  function csvCell(value) {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function offerData(figure, content) {
    const rows = dataOf(content.specs[Number(figure.dataset.chart)], content.datasets);
    if (!Array.isArray(rows) || !rows.length || figure.closest(".wb-first")) return;
    const button = document.createElement("button");
    button.className = "wb-csv";
    button.type = "button";
    button.textContent = words.wordsCsv;
    button.addEventListener("click", () => {
      const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
      const lines = [names, ...rows.map((row) => names.map((name) => row[name]))];
      const text = "\ufeff" + lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      link.download = `chart-${Number(figure.dataset.chart) + 1}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    });
    figure.append(button);
  }

  hintAtWideTables();
  document.addEventListener("toggle", hintAtWideTables, true);
  if (!figures.length || !window.DecompressionStream) {
    addEventListener("resize", hintAtWideTables);
    ready("1");
    return;
  }
  scriptFrom(await unpack("wb-library"));
  const content = JSON.parse(await unpack("wb-payload"));
  const drawAll = async () => {
    for (const figure of figures) await draw(figure, content).catch((error) => console.error(error));
  };
  await drawAll();
  figures.forEach((figure) => offerData(figure, content));
  ready("1");

  let width = innerWidth;
  let timer = 0;
  dark.addEventListener("change", drawAll);
  addEventListener("resize", () => {
    hintAtWideTables();
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(timer);
    timer = setTimeout(drawAll, 200);
  });
})();
