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

  function mergeConfig(theme, own) {
    const merged = { ...theme, ...own };
    for (const [key, value] of Object.entries(own || {})) {
      if (theme[key] && typeof theme[key] === "object") merged[key] = { ...theme[key], ...value };
    }
    return merged;
  }

  // The still picture stays in the page: on paper it is the one that shows, in light colours whatever the screen has.
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
    const config = mergeConfig(content.config[shade], spec.config);
    config.font = getComputedStyle(document.body).fontFamily;
    delete spec.config;
    const options = {
      mode: "vega-lite", actions: false, renderer: "svg", ast: true, config,
      formatLocale: content.formatLocale, timeFormatLocale: content.timeFormatLocale,
      tooltip: { theme: shade },
    };
    const holder = document.createElement("div");
    const last = view.querySelector(".wb-live-view");
    holder.className = "wb-live-view";
    if (last) last.replaceWith(holder);
    else view.prepend(holder);
    view.classList.add("wb-drawn");
    let drawn;
    try {
      drawn = await vegaEmbed(holder, spec, options);
    } catch (error) {
      if (last) holder.replaceWith(last);
      else {
        holder.remove();
        view.classList.remove("wb-drawn");
      }
      throw error;
    }
    for (let tries = 0; !isWhole && tries < 3; tries += 1) {
      const width = holder.querySelector("svg").getBoundingClientRect().width;
      if (width <= column + 1) break;
      if (fills) spec.width = Math.max(60, spec.width - Math.ceil(width - column));
      else scaleWidths(spec, Math.max(0.2, (column / width) * 0.97));
      drawn.finalize();
      drawn = await vegaEmbed(holder, spec, options);
    }
    const picture = holder.querySelector("svg");
    for (const mark of picture.querySelectorAll("[role],[aria-label],[aria-roledescription]")) {
      for (const told of ["role", "aria-label", "aria-roledescription"]) mark.removeAttribute(told);
    }
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", figure.getAttribute("aria-label"));
    if (figure.finish) figure.finish();
    figure.finish = () => drawn.finalize();
  }

  function dataOf(spec, datasets) {
    const names = new Set();
    JSON.stringify(spec, (key, value) => {
      if (key === "data" && value && Array.isArray(datasets[value.name]) && datasets[value.name].length) names.add(value.name);
      return value;
    });
    return [...names].map((name) => datasets[name]);
  }

  function csvCell(value) {
    if (value === null || value === undefined) return "";
    let text = String(value);
    if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  }

  function save(rows, name) {
    const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
    const text = "\ufeff" + lines.map((line) => line.map(csvCell).join(",")).join("\r\n") + "\r\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // The first screen has no room to lose: there the data are offered at its end.
  function offerData(figure, content) {
    const number = Number(figure.dataset.chart);
    const all = dataOf(content.specs[number], content.datasets);
    const label = figure.getAttribute("aria-label");
    const row = document.createElement("p");
    row.className = "wb-data";
    all.forEach((rows, one) => {
      const part = all.length > 1 ? ` ${one + 1}` : "";
      const button = document.createElement("button");
      button.className = "wb-csv";
      button.type = "button";
      button.textContent = words.wordsCsv + part;
      button.setAttribute("aria-label", `${button.textContent}: ${label}`);
      button.addEventListener("click", () => save(rows, `chart-${number + 1}${all.length > 1 ? `-${one + 1}` : ""}.csv`));
      row.append(button);
    });
    if (all.length) (figure.closest(".wb-first") || figure).append(row);
  }

  // Whoever is in the way of a definition can put it aside (Escape) until the next one.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") root.classList.add("wb-quiet");
  });
  for (const kind of ["mouseover", "focusin"]) {
    document.addEventListener(kind, (event) => {
      if (event.target.closest && event.target.closest("a.wb-ref")) root.classList.remove("wb-quiet");
    });
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
