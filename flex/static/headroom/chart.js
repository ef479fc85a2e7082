// Replaces the chart drawn by the server by one with a cursor. Times, labels and units come from the server; colours
// and dashes from the style sheet, by the server's own drawing, so that both look alike in either theme.
"use strict";

(() => {
  const HEIGHT = 340;
  const LABEL_PX = 50;
  const FONT = "13px Inter, 'Noto Sans', system-ui, sans-serif";
  const charts = new Map();

  const dashes = (style) => (style.strokeDasharray === "none" ? [] : style.strokeDasharray.split(",").map(parseFloat));

  // A value holds for its whole period: the last one is said again at the period's end.
  const stepped = (values) => [...values, values.at(-1) ?? null];

  const seriesOf = (figure, curve) => {
    const style = getComputedStyle(figure.querySelector(`.legend .series-${curve.key}`));
    return {
      label: curve.label,
      stroke: style.stroke,
      fill: curve.is_area ? style.fill : undefined,
      width: parseFloat(style.strokeWidth),
      dash: dashes(style),
      paths: uPlot.paths.stepped({ align: 1 }),
      points: { show: false },
    };
  };

  // Whole local hours, as many as fit.
  const hourSplits = (data) => (u) => {
    const room = Math.max(2, Math.floor(u.bbox.width / devicePixelRatio / LABEL_PX));
    const hours = data.labels.flatMap((label, at) => (label.slice(3, 5) === "00" ? [at] : []));
    const every = [1, 2, 3, 4, 6, 12].find((n) => hours.length / n <= room) ?? 24;
    return hours.filter((at) => parseInt(data.labels[at].slice(0, 2), 10) % every === 0).map((at) => data.starts[at]);
  };

  // Below the hours: the hour before and after a clock change, told apart by their zones.
  const drawClockChange = (data, colour) => (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = `${13 * devicePixelRatio}px Inter, 'Noto Sans', system-ui, sans-serif`;
    ctx.fillStyle = ctx.strokeStyle = colour;
    for (const { boundary, label, anchor } of data.clock_change) {
      const x = u.valToPos(data.starts[boundary], "x", true);
      const bottom = bbox.top + bbox.height;
      ctx.beginPath();
      ctx.moveTo(x, bottom);
      ctx.lineTo(x, bottom + 36 * devicePixelRatio);
      ctx.stroke();
      ctx.textAlign = anchor === "end" ? "right" : "left";
      ctx.fillText(label, x + (anchor === "end" ? -4 : 4) * devicePixelRatio, bottom + 42 * devicePixelRatio);
    }
    ctx.restore();
  };

  const drawDays = (data, colour) => (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.font = `600 ${13 * devicePixelRatio}px Inter, 'Noto Sans', system-ui, sans-serif`;
    ctx.fillStyle = ctx.strokeStyle = colour;
    ctx.textAlign = "left";
    data.days.forEach(({ boundary, label }, at) => {
      const x = u.valToPos(data.starts[boundary], "x", true);
      const next = data.days[at + 1];
      const end = next ? u.valToPos(data.starts[next.boundary], "x", true) : bbox.left + bbox.width;
      ctx.beginPath();
      ctx.moveTo(x, 0);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const room = end - x - 12 * devicePixelRatio;
      const text = [label, label.replace(/ \d{4}$/, ""), ""].find((one) => ctx.measureText(one).width <= room);
      ctx.fillText(text, x + 6 * devicePixelRatio, 15 * devicePixelRatio);
    });
    ctx.restore();
  };

  const readOut = (figure, data) => (u) => {
    const at = u.cursor.idx === null ? null : Math.min(u.cursor.idx, data.labels.length - 2);
    const when = at === null ? "" : `${data.labels[at]} to ${data.labels[at + 1]}`;
    figure.querySelector(".legend .cursor .value").textContent = when;
    for (const curve of data.series) {
      const value = at === null ? null : curve.values[at];
      const text = value === null ? "" : `${value.toFixed(1)} ${data.unit}`;
      figure.querySelector(`.legend [data-key="${curve.key}"] .value`).textContent = text;
    }
  };

  const axes = (figure, data) => {
    const text = getComputedStyle(figure.querySelector(".axis text")).fill;
    const grid = getComputedStyle(figure.querySelector(".grid path")).stroke;
    const shared = { stroke: text, font: FONT, ticks: { stroke: grid, width: 1 } };
    const labels = new Map(data.starts.map((start, at) => [start, data.labels[at].slice(0, 5)]));
    return [
      { ...shared, grid: { show: false }, splits: hourSplits(data), size: data.clock_change.length ? 52 : 34, values: (u, splits) => splits.map((at) => labels.get(at)) },
      { ...shared, grid: { stroke: grid, width: 1 }, splits: () => data.ticks, size: 64, label: data.unit, labelFont: FONT, labelSize: 20 },
    ];
  };

  const lineOf = (figure) => getComputedStyle(figure.querySelector(".day path")).stroke;

  const options = (figure, data, width) => ({
    width,
    height: HEIGHT,
    padding: [22, 30, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false, setScale: false }, y: false, points: { show: false } },
    scales: {
      x: { time: false },
      y: { range: [data.ticks[0], data.ticks.at(-1)] },
    },
    axes: axes(figure, data),
    series: [{}, ...data.series.map((curve) => seriesOf(figure, curve))],
    hooks: {
      drawAxes: [drawDays(data, lineOf(figure)), drawClockChange(data, lineOf(figure))],
      setCursor: [readOut(figure, data)],
    },
  });

  const move = (u, data, step) => {
    const at = Math.min(Math.max((u.cursor.idx ?? (step > 0 ? -1 : data.starts.length - 1)) + step, 0), data.starts.length - 2);
    u.setCursor({ left: u.valToPos(data.starts[at], "x"), top: 0 });
  };

  const draw = (figure) => {
    const data = JSON.parse(document.getElementById(figure.dataset.chart).textContent);
    charts.get(figure)?.destroy();
    figure.querySelector(".plotted")?.remove();
    const place = document.createElement("div");
    place.className = "plotted";
    place.tabIndex = 0;
    place.setAttribute("role", "group");
    place.setAttribute("aria-label", `${figure.querySelector("svg title").textContent}. Left and right arrow keys read it.`);
    figure.querySelector(".drawn").before(place);
    const values = [data.starts, ...data.series.map((curve) => stepped(curve.values))];
    const u = new uPlot(options(figure, data, place.clientWidth), values, place);
    place.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      move(u, data, step);
    });
    figure.classList.add("is-plotted");
    charts.set(figure, u);
  };

  const drawIn = (element) => element.querySelectorAll("[data-chart]").forEach(draw);
  const drawAgain = () => charts.forEach((_, figure) => draw(figure));

  drawIn(document);
  document.addEventListener("htmx:load", (event) => {
    if (event.detail.elt !== document.body) drawIn(event.detail.elt);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width === innerWidth) return;
    width = innerWidth;
    requestAnimationFrame(drawAgain);
  });
})();
