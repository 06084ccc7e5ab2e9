// Curves over the last hour and the histogram of weights, as SVG.

import {clock, count, el, explained, share, svg} from "/page/page.js";

const LONGEST_S = 3600, SHORTEST_S = 600, WIDTH = 1000, HEIGHT = 100;
const finite = values => values.filter(value => value !== null);

// Draw into figure `into`. `lines`: [{values, name, term}], of which the first is ours and the second, dashed, what it is
// held against; `at`: their times, s since 1970; `low` and `high`: what the axis holds at least; `mark`: a dotted line there.
export function curve(into, {title, term, lines, at, format, low = null, high = null, mark = null, now, nothing}) {
  const every = lines.flatMap(line => finite(line.values));
  const caption = el("figcaption", {}, term ? explained(title, term) : title);
  if (!every.length) {
    into.replaceChildren(caption, legend(lines), el("div", {class: "plot"}, el("div", {class: "empty"}, nothing)), el("div", {class: "hours"}));
    return;
  }
  const span = Math.min(LONGEST_S, Math.max(SHORTEST_S, now - at[0]));
  const output = el("output", {});
  caption.append(output);
  const [bottom, top] = range(every, low, high);
  const x = seconds => WIDTH * (1 - (now - seconds) / span);
  const y = value => HEIGHT - HEIGHT * (value - bottom) / (top - bottom);
  const drawing = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": summary(title, lines, format)});
  for (const part of [.25, .5, .75]) drawing.append(svg("line", {class: "grid", x1: WIDTH * part, x2: WIDTH * part, y1: 0, y2: HEIGHT}));
  if (mark !== null && mark >= bottom && mark <= top) drawing.append(svg("line", {class: "one", x1: 0, x2: WIDTH, y1: y(mark), y2: y(mark)}));
  if (lines.length === 1) drawing.append(svg("path", {class: "area", d: area(lines[0].values, at, x, y)}));
  [...lines].reverse().forEach(line => drawing.append(
    svg("path", {class: line === lines[0] ? "line" : "line other", d: path(line.values, at, x, y)})));
  const cursor = svg("line", {class: "cursor", y1: 0, y2: HEIGHT, visibility: "hidden"});
  drawing.append(cursor);
  const plot = el("div", {class: "plot"}, el("span", {class: "edge top"}, format(top)), el("span", {class: "edge bottom"}, format(bottom)), drawing);
  const tell = index => {
    const values = lines.map(line => format(line.values[index])).join(" · ");
    output.textContent = index === at.length - 1 ? values : `${values} at ${clock(at[index])}`;
  };
  tell(at.length - 1);
  plot.addEventListener("pointermove", event => {
    const box = plot.getBoundingClientRect(), seconds = now - span * (1 - (event.clientX - box.left) / box.width);
    const nearest = at.reduce((best, each, index) => Math.abs(each - seconds) < Math.abs(at[best] - seconds) ? index : best, 0);
    cursor.setAttribute("x1", x(at[nearest])); cursor.setAttribute("x2", x(at[nearest])); cursor.setAttribute("visibility", "visible");
    tell(nearest);
  });
  plot.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); tell(at.length - 1); });
  into.replaceChildren(caption, legend(lines), plot, hours(now, span));
}

function legend(lines) {
  if (lines.length < 2) return el("div", {class: "legend"});
  return el("div", {class: "legend"}, ...lines.map((line, index) => el("span", {},
    svg("svg", {viewBox: "0 0 22 8", "aria-hidden": "true"}, svg("path", {class: index ? "line other" : "line", d: "M1 4H21"})),
    explained(line.name))));
}
const hours = (now, span) => el("div", {class: "hours", "aria-hidden": "true"},
  ...[span, span / 2, 0].map(ago => el("span", {}, clock(now - ago) + (ago ? "" : " UTC"))));

function summary(title, lines, format) {
  return lines.map(line => {
    const values = finite(line.values);
    if (!values.length) return `${line.name ?? title}: not known`;
    return `${title}${line.name ? ", " + line.name : ""}: ${format(values.at(-1))} now, between ${format(Math.min(...values))} and ${format(Math.max(...values))} in the last hour`;
  }).join("; ");
}
function range(values, low, high) {
  let bottom = Math.min(...values, ...(low === null ? [] : [low])), top = Math.max(...values, ...(high === null ? [] : [high]));
  if (top - bottom < 1e-9 * Math.max(1, Math.abs(top))) { top += Math.abs(top) * .1 || 1; if (low === null) bottom -= Math.abs(bottom) * .1; }
  const room = .06 * (top - bottom);
  return [low !== null && bottom >= low ? low : bottom - room, high !== null && top <= high ? high : top + room];
}
// Runs of known values, each as [first, last]: where nothing was known the line has a gap.
function runs(values) {
  const found = [];
  values.forEach((value, index) => {
    if (value === null) return;
    if (index && values[index - 1] !== null) found.at(-1)[1] = index; else found.push([index, index]);
  });
  return found;
}
const point = (values, at, x, y) => index => `${x(at[index]).toFixed(1)} ${y(values[index]).toFixed(2)}`;
const indices = ([first, last]) => Array.from({length: last - first + 1}, (_, step) => first + step);
function path(values, at, x, y) {
  const place = point(values, at, x, y);
  return runs(values).map(run => "M" + indices(run).map(place).join("L") + (run[0] === run[1] ? "h.1" : "")).join("");
}
function area(values, at, x, y) {
  const place = point(values, at, x, y);
  return runs(values).filter(([first, last]) => last > first).map(run =>
    `M${x(at[run[0]]).toFixed(1)} ${HEIGHT}L${indices(run).map(place).join("L")}L${x(at[run[1]]).toFixed(1)} ${HEIGHT}Z`).join("");
}

const TICKS = [[1 / 256, "1/256"], [1 / 64, "1/64"], [1 / 16, "1/16"], [1 / 4, "1/4"], [1, "1"], [4, "4"]];

// Bars over half octaves of weight, as high as the logarithm of how many there are.
export function histogram(into, {edges, counts}) {
  const all = counts.reduce((a, b) => a + b, 0);
  if (!all) return into.replaceChildren(el("p", {class: "soft"}, "No event was weighed yet."));
  const decades = Math.max(1, Math.ceil(Math.log10(Math.max(...counts)))), step = WIDTH / counts.length;
  const height = n => n < 1 ? 0 : HEIGHT * (Math.log10(n) + .25) / (decades + .25);
  const drawing = svg("svg", {viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Histogram of ${count(all)} weights: ${share(below(edges, counts, .5) / all)} are below one half`});
  const marks = Array.from({length: decades + 1}, (_, decade) => 10 ** decade);
  for (const n of marks) drawing.append(svg("line", {class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT - height(n), y2: HEIGHT - height(n)}));
  counts.forEach((n, index) => {
    const edge = edges[index], range = edge === undefined ? `above ${edges.at(-1).toPrecision(3)}` : `up to ${edge.toPrecision(3)}`;
    const bar = svg("rect", {x: index * step + 1.5, width: step - 3, y: HEIGHT - height(n), height: height(n),
      class: edge <= .501 ? "low" : "usual"}, svg("title", {}, `${range}: ${count(n)} (${share(n / all)})`));
    drawing.append(bar);
  });
  const frame = el("div", {class: "histogram"}, drawing, ...marks.map(n => {
    const mark = el("span", {class: "mark"}, count(n));
    mark.style.bottom = height(n) + "%";
    return mark;
  }));
  const axis = el("div", {class: "axis"}, ...TICKS.filter(([weight]) => edges.includes(weight)).map(([weight, text]) => {
    const tick = el("span", {}, text);
    tick.style.left = 100 * (edges.indexOf(weight) + 1) / counts.length + "%";
    return tick;
  }));
  into.replaceChildren(frame, axis, el("p", {class: "soft"},
    `${count(all)} events; ${share(below(edges, counts, .5) / all)} weigh less than half the average (amber).`));
}
const below = (edges, counts, weight) => counts.reduce((n, each, index) => edges[index] <= weight + 1e-9 ? n + each : n, 0);
