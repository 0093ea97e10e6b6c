// The `data_visualization` block: bar, area, line and pie, drawn as SVG with the figures as its text.
import { node } from "./text.js";

const WIDTH = 560;
const HEIGHT = 200;
const LEFT = 56;
const TOP = 8;
const BOTTOM = 24;
const CHARACTER = 9; // the widest that one of a label becomes, on a phone
const number = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });
// Japanese characters are twice as wide.
const widthOf = (label) => [...label].reduce((sum, one) => sum + (one > "\u2e7f" ? 2 : 1), 0) * CHARACTER;
const onAxis = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export function chart({ title, chart: drawn }) {
  const pie = drawn.type === "pie";
  const names = pie ? drawn.segments.map((one) => points([one])) : drawn.series.map(({ name }) => name);
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": described(drawn) });
  picture.append(...(pie ? slices(drawn.segments) : onAxes(drawn)));
  const legend = node("div", "legend", ...names.map((name, index) => node("span", `key s${index % 6}`, name)));
  return node("div", "block chart", node("div", "heading", title), picture, names.length > 1 ? legend : "");
}

const points = (data) => data.map(({ label, value }) => `${label} ${number.format(value)}`).join(", ");

function described(drawn) {
  if (drawn.type === "pie") return points(drawn.segments);
  return drawn.series.map(({ name, data }) => `${name}: ${points(data)}`).join("; ");
}

function slices(segments) {
  const total = segments.reduce((sum, { value }) => sum + value, 0);
  const [x, y, r] = [WIDTH / 2, HEIGHT / 2, HEIGHT / 2 - TOP];
  const at = (share) => `${x + r * Math.sin(2 * Math.PI * share)} ${y - r * Math.cos(2 * Math.PI * share)}`;
  let from = 0;
  return segments.map(({ value }, index) => {
    const to = from + value / total;
    const whole = to - from > 0.9999;
    const large = to - from > 0.5 ? 1 : 0;
    const path = `M ${x} ${y} L ${at(from)} A ${r} ${r} 0 ${large} 1 ${at(whole ? from + 0.9999 : to)} Z`;
    from = to;
    return svg("path", { d: path, class: `fill s${index % 6}` });
  });
}

function onAxes({ type, series, axis_config: axes }) {
  const { categories } = axes;
  const values = series.flatMap(({ data }) => data.map(({ value }) => value));
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const span = high - low || 1;
  const y = (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / span);
  const step = (WIDTH - LEFT) / categories.length;
  const drawn = [low, (low + high) / 2, high].flatMap((value) => [
    svg("line", { x1: LEFT, x2: WIDTH, y1: y(value), y2: y(value), class: "grid" }),
    svg("text", { x: LEFT - 6, y: y(value) + 4, class: "axis end" }, onAxis.format(value)),
  ]);
  const every = Math.ceil(Math.max(categories.length / 8, Math.max(...categories.map(widthOf)) / step));
  const end = categories.at(-1);
  const endBegins = (categories.length - 1) % every ? Infinity : WIDTH - widthOf(end);
  categories.forEach((category, index) => {
    if (index % every) return;
    const last = index === categories.length - 1;
    const x = last ? WIDTH : LEFT + step * (index + 0.5);
    if (!last && x + widthOf(category) / 2 > endBegins) return;
    drawn.push(svg("text", { x, y: HEIGHT - 6, class: last ? "axis end" : "axis middle" }, category));
  });
  series.forEach(({ data }, index) => {
    const byLabel = new Map(data.map(({ label, value }) => [label, value]));
    const ordered = categories.map((category) => byLabel.get(category));
    const colour = `s${index % 6}`;
    if (type === "bar") {
      const wide = (step * 0.7) / series.length;
      ordered.forEach((value, place) => {
        const x = LEFT + step * (place + 0.15) + wide * index;
        const [top, base] = [Math.min(y(value), y(0)), Math.max(y(value), y(0))];
        drawn.push(svg("rect", { x, y: top, width: wide, height: base - top, class: `fill ${colour}` }));
      });
      return;
    }
    const line = ordered.map((value, place) => `${LEFT + step * (place + 0.5)} ${y(value)}`);
    if (type === "area") {
      const ends = [`${LEFT + step * (categories.length - 0.5)} ${y(0)}`, `${LEFT + step * 0.5} ${y(0)}`];
      drawn.push(svg("path", { d: `M ${[...line, ...ends].join(" L ")} Z`, class: `fill faint ${colour}` }));
    }
    drawn.push(svg("path", { d: `M ${line.join(" L ")}`, class: `stroke ${colour}` }));
  });
  return drawn;
}
