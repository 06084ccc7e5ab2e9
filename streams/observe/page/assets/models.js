// Models: what is in force, since when and why; earlier ones, and those that the gate refused.

import {clock, count, el, explained, moment, span} from "/page/page.js";

const LATE_MS = 300000; // an announcement applies within seconds of the log's end

const when = ms => [el("time", {datetime: new Date(ms).toISOString()}, moment(ms) + " UTC"), ` (${span(Math.max(0, Date.now() - ms) / 1000)} ago)`];
const version = name => el("code", {}, name);
const list = (items) => el("ul", {}, ...items.map(item => el("li", {}, ...item)));

// Cards of `models`; `here`: whether they are those in force in a worker's own partitions.
export function models(into, told, here, partitions = 0) {
  into.replaceChildren(...told.map(model => el("article", {class: "card model", "data-model": model.model},
    el("h3", {}, explained(capital(model.name), model.name)),
    force(model),
    el("p", {}, capital(model.newest.why) + "."),
    here && model.newest.n ? adoption(model, partitions) : "",
    here && model.places.length ? places(model) : "",
    refused(model),
    earlier(model))));
}
const capital = text => text.charAt(0).toUpperCase() + text.slice(1);

function force({newest}) {
  if (!newest.n) return el("p", {class: "soft"}, "Nothing was announced.");
  return el("p", {class: "force"}, version(newest.version), el("br"),
    el("span", {class: "soft"}, `announcement ${newest.n}, made `, ...when(newest.at_ms)));
}
function adoption({newest, places}, partitions) {
  const there = places.filter(place => place.n === newest.n);
  if (there.length >= partitions) return el("p", {class: "good"}, `In force in ${partitions === 1 ? "the partition" : `all ${partitions} partitions`} here.`);
  const late = Date.now() - newest.at_ms > LATE_MS;
  return el("p", {class: late ? "busy" : "soft"}, `In force in ${there.length} of ${partitions} partitions here so far; each takes it up at its offset.`);
}
function places({places: all}) {
  return el("details", {}, el("summary", {}, "Since which offset"), list(all.map(({partition, n, offset, late}) => [
    `partition ${partition}: announcement ${n} since offset ${count(offset)}${late ? ", later than announced" : ""}`])));
}
function refused({refused: all}) {
  if (!all.length) return el("p", {class: "soft"}, "None was refused lately.");
  const latest = all[0];
  return el("details", {}, el("summary", {}, `${all.length} refused, the latest at ${clock(latest.at_ms / 1000)} UTC`),
    list(all.map(({version: name, at_ms, reasons}) => [version(name), ", ", ...when(at_ms), ": ", reasons.join("; ") + "."])));
}
function earlier({earlier: all}) {
  if (!all.length) return "";
  return el("details", {}, el("summary", {}, `${all.length} earlier announcement${all.length > 1 ? "s" : ""}`),
    list(all.map(({n, version: name, at_ms, why}) => [`${n}: `, version(name), ", ", ...when(at_ms), ": ", why + "."])));
}
