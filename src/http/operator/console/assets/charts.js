// Small line charts in SVG over the last hour, or over as much of it as the node has run, each with its table for whoever cannot see it.

const SVG = "http://www.w3.org/2000/svg";
const HOUR_MS = 3_600_000;
/** What the time axis shows, in minutes: the least that holds all samples. */
const SPANS = [5, 15, 30, 60];
const MARGIN = { left: 54, right: 8, top: 8, bottom: 18 };
const HEIGHT = 150;

const CHARTS = [
  { title: "Orders and refusals a second", series: [["orders", (s) => s.sold], ["refusals", (s) => s.refused]], unit: (v) => short(v) },
  { title: "Latency of accepted orders", series: [["p99", (s) => s.p99Us], ["p50", (s) => s.p50Us]], unit: duration },
  { title: "Units left", series: [["units", (s) => s.remaining]], unit: (v) => short(v) },
  { title: "Undecided attempts and worker lag", series: [["undecided", (s) => s.queue], ["lag", (s) => s.lag]], unit: (v) => short(v) },
];

export function short(value) {
  if (value >= 1e6) return (value / 1e6).toFixed(value >= 1e7 ? 0 : 1) + " M";
  if (value >= 1e4) return (value / 1e3).toFixed(0) + " k";
  return String(Math.round(value * 10) / 10);
}

export function duration(us) {
  if (us === 0) return "0";
  if (us >= 1e6) return (us / 1e6).toFixed(2) + " s";
  if (us >= 1e4) return (us / 1e3).toFixed(0) + " ms";
  return (us / 1e3).toFixed(us >= 1e3 ? 1 : 2) + " ms";
}

function node(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

function html(name, className, text) {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}

/** The next number of the kind 1, 2, 5 × 10^n. */
function nice(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

export class Charts {
  constructor(root) {
    this.samples = [];
    this.all = CHARTS.map((chart) => this.#frame(root, chart));
    new ResizeObserver(() => this.draw()).observe(root);
  }

  /** Takes samples; those that are known already are left out. */
  add(samples) {
    // Numbers begin anew with the node: then everything known is of an earlier start.
    const last = this.samples.at(-1);
    if (last && samples.length > 0 && samples.at(-1).seq < last.seq && samples.at(-1).at > last.at) this.samples = [];
    const seen = this.samples.at(-1)?.seq ?? 0;
    this.samples.push(...samples.filter((sample) => sample.seq > seen));
    const oldest = (this.samples.at(-1)?.at ?? 0) - HOUR_MS;
    while (this.samples.length > 0 && this.samples[0].at < oldest) this.samples.shift();
    this.draw();
  }

  draw() {
    for (const chart of this.all) {
      this.#lines(chart);
      if (chart.details.open) this.#table(chart);
    }
  }

  #frame(root, chart) {
    const figure = html("figure");
    const caption = html("figcaption", "", chart.title);
    const legend = html("span", "legend");
    chart.series.forEach(([name], index) => {
      const item = html("span");
      const mark = node("svg", { width: 20, height: 4, "aria-hidden": "true" });
      mark.append(node("path", { class: index ? "two" : "one", d: "M0 2H20" }));
      item.append(mark, name);
      legend.append(item);
    });
    caption.append(legend);
    const svg = node("svg", { class: "chart", role: "img", "aria-label": chart.title });
    const details = html("details");
    const summary = html("summary", "", "As a table");
    // Each is told apart by its name.
    summary.append(Object.assign(html("span", "", `: ${chart.title}`), { className: "of" }));
    const scroll = html("div", "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `${chart.title}, by minute`);
    details.append(summary, scroll);
    const made = { ...chart, svg, details, scroll };
    details.addEventListener("toggle", () => details.open && this.#table(made));
    figure.append(caption, svg, details);
    root.append(figure);
    return made;
  }

  #lines({ title, series, unit, svg }) {
    const width = svg.getBoundingClientRect().width;
    if (!width) return;
    const end = this.samples.at(-1)?.at ?? Date.now();
    const age = (end - (this.samples[0]?.at ?? end)) / 60_000;
    const span = SPANS.find((minutes) => minutes >= age) ?? SPANS.at(-1);
    const values = (of) => this.samples.map((sample) => ({ at: sample.at, value: of(sample) }));
    const all = series.map(([name, of]) => ({ name, points: values(of) }));
    const known = all.flatMap(({ points }) => points.map((p) => p.value).filter((v) => v !== null));
    const top = nice(known.reduce((most, value) => Math.max(most, value), 0));
    const x = (at) => MARGIN.left + (1 - (end - at) / (span * 60_000)) * (width - MARGIN.left - MARGIN.right);
    const y = (value) => HEIGHT - MARGIN.bottom - (value / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      const at = y(top * share);
      parts.push(node("path", { class: "grid", d: `M${MARGIN.left} ${at}H${width - MARGIN.right}` }));
      parts.push(node("text", { x: MARGIN.left - 6, y: at + 4, "text-anchor": "end" }, unit(top * share)));
    }
    for (const [minutes, anchor] of [[span, "start"], [span / 2, "middle"], [0, "end"]]) {
      const label = minutes ? `−${minutes} min` : "now";
      parts.push(node("text", { x: x(end - minutes * 60_000), y: HEIGHT - 4, "text-anchor": anchor }, label));
    }
    all.forEach(({ points }, index) => {
      let path = "";
      let pen = "M";
      for (const { at, value } of points) {
        if (value === null) { pen = "M"; continue; }
        path += `${pen}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
        // A lone point is to be seen, too.
        if (pen === "M") path += "h1";
        pen = "L";
      }
      if (path) parts.push(node("path", { class: index ? "two" : "one", d: path }));
    });
    const now = all.map(({ name, points }) => {
      const value = points.at(-1)?.value ?? null;
      return `${name} ${value === null ? "none" : unit(value)}`;
    });
    svg.setAttribute("aria-label", `${title}, last ${span} minutes. Now: ${now.join(", ")}. Highest on the scale: ${unit(top)}.`);
    svg.replaceChildren(...parts);
  }

  #table({ series, unit, scroll }) {
    const table = html("table");
    const head = table.createTHead().insertRow();
    for (const name of ["Time", ...series.map(([name]) => name)]) {
      const cell = html("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const minutes = new Map();
    for (const sample of this.samples) minutes.set(Math.floor(sample.at / 60_000), sample);
    const body = table.createTBody();
    for (const sample of [...minutes.values()].reverse()) {
      const row = body.insertRow();
      row.insertCell().textContent = new Date(sample.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      for (const [, of] of series) row.insertCell().textContent = of(sample) === null ? "–" : unit(of(sample));
    }
    scroll.replaceChildren(table);
  }
}
