// Draws the charts that the server describes, and fetches the page again when there is something new.
"use strict";
(() => {
  const root = document.documentElement;
  const content = () => document.getElementById("content");
  let drawn = [];
  // That of the page's texts, whatever the browser's own is.
  const timeZone = root.dataset.zone;
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const calendar = new Intl.DateTimeFormat("en-CA", { timeZone, month: "2-digit", day: "2-digit" });

  const stored = localStorage.getItem("theme");
  if (stored) root.dataset.theme = stored;

  function colour(name) {
    return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
  }

  function options(box, data) {
    const bars = data.kind === "bars";
    const axis = { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    const written = (value) => (value == null ? "–" : `${Math.round(value * 1000) / 1000}${data.unit}`);
    const named = data.names.length > 0;
    // Of a single moment the axis shows an hour, not the day that uPlot would.
    const alone = named ? 0.5 : 1800;
    const pad = data.x.length > 1 ? (data.x[1] - data.x[0]) / 2 : alone;
    const last = data.x[data.x.length - 1];
    const days = !named && last - data.x[0] > 172800;
    const moment = (at) => (days ? calendar : clock).format(new Date(at * 1000));
    const place = (at) => (named ? (data.names[at] ?? "") : moment(at));
    return {
      width: box.clientWidth,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), timeZone),
      height: innerWidth < 640 ? 170 : 200,
      scales: {
        x: { time: !named, range: () => [data.x[0] - pad, last + pad] },
        y: { range: (_, low, high) => [bars ? 0 : Math.min(low, 0), high > 0 ? high * 1.1 : 1] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 30,
          space: named ? 40 : 64,
          values: (_, moments) => moments.map(place),
          ...(named ? { incrs: [1, 2, 5, 10] } : days ? { incrs: [86400, 172800] } : {}),
        },
        { ...axis, size: 58, values: (_, values) => values.map(written) },
      ],
      series: [
        { label: " ", value: (_, at) => (at == null ? "" : place(at)) },
        ...data.series.map((each) => ({
          label: each.label,
          stroke: colour(each.colour),
          fill: bars ? colour(each.colour) : undefined,
          width: bars ? 0 : 2,
          points: { show: !bars && data.x.length < 15 },
          spanGaps: true,
          paths: bars ? uPlot.paths.bars({ size: [0.75, 40], radius: 0.2 }) : undefined,
          value: (_, value, series, at) => written(at == null ? value : each.values[at]) + interval(each, at),
        })),
        // The bounds are drawn as the edges of a band, and have no line in the legend.
        ...withInterval(data).flatMap((each) =>
          [each.high, each.low].map(() => ({
            class: "bound",
            stroke: `${colour(each.colour)}66`,
            width: 1,
            points: { show: !bars && data.x.length < 15, size: 4 },
            spanGaps: true,
          })),
        ),
      ],
      bands: withInterval(data).map((each, place) => {
        const first = data.series.length + 1 + 2 * place;
        return { series: [first, first + 1], fill: `${colour(each.colour)}22` };
      }),
    };

    function interval(each, at) {
      if (at == null || each.low[at] == null || each.high[at] == null) return "";
      return ` (${written(each.low[at])}–${written(each.high[at])})`;
    }
  }

  function withInterval(data) {
    return data.series.filter((each) => each.low.length > 0);
  }

  // Later series are drawn first, each on the sum of those before it.
  function stacked(data) {
    const sums = data.x.map(() => 0);
    return data.series.map((each) => each.values.map((value, place) => (sums[place] += value ?? 0)));
  }

  function draw() {
    drawn.forEach((plot) => plot.destroy());
    drawn = [...document.querySelectorAll(".chart")].map((box) => {
      const data = JSON.parse(box.dataset.chart);
      let columns = data.series.map((each) => each.values);
      if (data.kind === "bars") {
        columns = stacked(data).reverse();
        data.series.reverse();
      }
      const bounds = withInterval(data).flatMap((each) => [each.high, each.low]);
      return new uPlot(options(box, data), [data.x, ...columns, ...bounds], box);
    });
  }

  async function refresh() {
    const busy = document.activeElement && document.activeElement.closest("form");
    if (busy || document.hidden) return;
    const response = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("content");
    const open = [...content().querySelectorAll("details")].map((each) => each.open);
    content().replaceWith(document.adoptNode(fresh));
    content().querySelectorAll("details").forEach((each, place) => (each.open = open[place] ?? each.open));
    draw();
  }

  document.getElementById("theme").addEventListener("click", () => {
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    const shown = root.dataset.theme || (dark ? "dark" : "light");
    root.dataset.theme = shown === "dark" ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    draw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  let resized;
  addEventListener("resize", () => {
    clearTimeout(resized);
    resized = setTimeout(draw, 150);
  });
  document.addEventListener("visibilitychange", refresh);

  draw();
  document.querySelector("nav [aria-current]").scrollIntoView({ block: "nearest", inline: "center" });
  const dot = document.getElementById("news");
  const news = new EventSource("/dashboard/stream");
  news.addEventListener("open", () => dot.classList.add("on"));
  news.addEventListener("error", () => dot.classList.remove("on"));
  news.addEventListener("changed", refresh);
})();
