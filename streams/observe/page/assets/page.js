// What the pages of worker and trainer share: asking, formats, tables, terms. Text reaches the page as text alone.

const EVERY_MS = 2000, PATIENCE_MS = 5000;

export const $ = id => document.getElementById(id);

// -- formats

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const compact = new Intl.NumberFormat("en", {notation: "compact", maximumFractionDigits: 1});
const known = x => x !== null && x !== undefined;
export const count = n => !known(n) ? "–" : n < 100000 ? whole.format(n) : compact.format(n);
export const figure = (x, digits = 3) => !known(x) ? "–" : x === 0 ? "0" : Math.abs(x) >= 1e5 || Math.abs(x) < 1e-4 ? x.toExponential(digits - 1) : Number(x.toPrecision(digits)).toString();
export const places = (x, n = 2) => known(x) ? x.toFixed(n) : "–";
export const chance = p => !known(p) ? "–" : p > .995 && p < 1 ? "> 0.99" : p < .005 && p > 0 ? "< 0.01" : p.toFixed(2);
export const share = x => !known(x) ? "–" : x > 0 && x < .0005 ? "< 0.1 %" : (100 * x).toFixed(x < .1 || x > .99 && x < 1 ? 1 : 0) + " %";
export const bytes = n => !known(n) ? "–" : n < 1e6 ? (n / 1e3).toFixed(0) + " kB" : n < 1e9 ? (n / 1e6).toFixed(0) + " MB" : (n / 1e9).toFixed(1) + " GB";
export const span = t => !known(t) ? "–" : t < .9995 ? Math.round(t * 1000) + " ms" : t < 10 ? t.toFixed(1) + " s"
  : t < 120 ? Math.round(t) + " s" : t < 7200 ? Math.round(t / 60) + " min"
  : t < 172800 ? Math.round(t / 3600) + " h" : Math.round(t / 86400) + " d";
export const words = name => name.replaceAll("_", " ");
export const sum = o => Object.values(o).reduce((a, b) => a + b, 0);
export const moment = ms => known(ms) ? new Date(ms).toISOString().slice(0, 19).replace("T", " ") : "–";
export const clock = (seconds, n = 5) => new Date(1000 * seconds).toISOString().slice(11, 11 + n);

// -- elements

// An element with attributes and children; whatever is no element becomes text.
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter(child => known(child) && child !== ""));
  return made;
}
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
export function say(id, text, unit) {
  $(id).replaceChildren(el("span", {}, text), ...(unit ? [el("small", {}, unit)] : []));
}
export function pill(id, good, text) {
  $(id).textContent = text;
  $(id).className = "pill " + (good ? "good" : "bad");
}

// A table with `titles` ([text, class, term] or text) and `lines` of cells (text or element); the first cell heads its row.
export function table(id, titles, lines, nothing = "") {
  if (!lines.length && nothing) return $(id).replaceChildren(el("caption", {class: "soft left"}, nothing));
  const heads = titles.map(title => Array.isArray(title) ? title : [title]);
  const attributes = at => heads[at][1] ? {class: heads[at][1]} : {};
  const body = el("tbody", {}, ...lines.map(line => el("tr", {}, ...line.map((cell, at) =>
    at ? el("td", attributes(at), cell) : el("th", {scope: "row", ...attributes(0)}, cell)))));
  if ($(id).tHead && $(id).tBodies.length) return $(id).tBodies[0].replaceWith(body); // a term in its head may be in focus
  const head = el("tr", {}, ...heads.map(([text, , term], at) =>
    el("th", {scope: "col", ...attributes(at)}, term ? explained(text, term) : text)));
  $(id).replaceChildren(el("thead", {}, head), body);
}

// Whether `value` differs from what it was the last time under this `key`: what has not changed is not drawn again, so
// that what a person has opened or marked stays so.
const drawn = new Map();
export function changed(key, value) {
  const text = JSON.stringify(value);
  if (drawn.get(key) === text) return false;
  drawn.set(key, text);
  return true;
}

// -- terms: explained on hover, on focus and on touch, and all together at the end of the page

const TERMS = {
  "weight": "How much an event counts for whoever trains on it; 1 is the average event. Published to sie.weights.v1.",
  "lag": "Records in the log that are not weighed yet, and how long ago the oldest of them was written.",
  "latency": "From the moment a record was fetched until the brokers have confirmed its weights.",
  "checkpoint": "State and offset, made durable together. What no checkpoint covers is processed again after a crash; nothing is lost.",
  "uniform": "The twin of the recommender that learns from every event alike: what there would be without weights.",
  "weighted": "The twin of the recommender that learns with the weights at full strength.",
  "log loss": "How wrong predictions were that were made before the label was known (progressive validation), in nats per settled sample. Lower is better. Over five minutes.",
  "calibration": "Conversions predicted over conversions that came. 1 is right; above 1, too many were predicted. Over five minutes.",
  "AUC": "The chance that a sample that converted had the higher prediction of two. 0.5 is a coin, 1 is perfect. Over the newest settled samples.",
  "settled sample": "A view or click whose attribution window is over: its label is final.",
  "noise": "Events that are no sign of somebody's interest: bots, slips, fake orders. P(noise) is the probability of that; weight is taken off above an even chance.",
  "strength": "How much of the weighting is published, 0 to 1. The guard lowers it while there is evidence that weights do harm.",
  "guard": "A running test on settled samples of whether weights do harm. Log evidence of 3 (at guard.alpha = 0.05) establishes it.",
  "judged views": "Settled views by which the guard has judged.",
  "effective": "Effective sample size of the weights over the number of samples: 100 % where all weigh the same.",
  "dead letter": "A record that could not be read, published to sie.dead-letters.v1 with the reason. The stream goes on.",
  "epoch": "Number of this ownership of the partition; published as the rows' generation.",
  "open views": "Samples that wait for their label.",
  "event time": "The latest time that an event of the partition carries: the partition's own clock.",
  "announcement": "A record that says from which offset of each partition a model version applies.",
  "importance net": "A net that the trainer fine-tunes on settled samples; its f(x) says how useful a sample will be. Factor influence of the weight.",
  "priors": "What all partitions have learned, put together, so that each knows what the others do.",
  "noise model": "What tells noise from ordinary events by 71 signals of an account's way through the shop; fitted by the trainer on this shop's own log.",
  "gate": "A version is announced only if it passes: it must show a gain on samples it has not seen.",
  "down-weighted": "Statements with less than half the weight of an average event, put together by user and by item, those first that lost most.",
  "factor": "One part of a weight, which multiplies: the weight is the product of its factors.",
  "window": "The newest settled samples, which a fine-tune learns from and is judged by.",
};
const described = new Set();

export function explained(text, term = text) {
  return wire(el("span", {"data-term": term}, text));
}
function wire(element) {
  const term = element.dataset.term, id = "term-" + term.replaceAll(/\W/g, "-");
  if (!TERMS[term]) throw new Error("no such term: " + term);
  if (!described.has(term)) {
    described.add(term);
    document.body.append(el("span", {id, hidden: ""}, TERMS[term]));
  }
  element.tabIndex = 0;
  element.setAttribute("aria-describedby", id);
  return element;
}
function tips() {
  const tip = el("div", {id: "tip", "aria-hidden": "true", hidden: ""});
  document.body.append(tip);
  const hide = () => { tip.hidden = true; };
  const show = event => {
    const on = event.target.closest?.("[data-term]");
    if (!on) return hide();
    tip.textContent = TERMS[on.dataset.term];
    tip.hidden = false;
    const at = on.getBoundingClientRect(), box = tip.getBoundingClientRect();
    const below = at.bottom + 6 + box.height < innerHeight;
    tip.style.left = Math.max(8, Math.min(at.left, innerWidth - box.width - 8)) + "px";
    tip.style.top = (below ? at.bottom + 6 : at.top - box.height - 6) + "px";
  };
  addEventListener("pointerover", show);
  addEventListener("focusin", show);
  addEventListener("focusout", hide);
  addEventListener("scroll", hide, {passive: true});
  addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
}
// The terms that this page uses, in the order of `TERMS`; filled in when it is opened.
function glossary() {
  $("terms").parentElement.addEventListener("toggle", () => $("terms").replaceChildren(...Object.entries(TERMS)
    .filter(([term]) => described.has(term)).flatMap(([term, meaning]) => [el("dt", {}, term), el("dd", {}, meaning)])));
}

// -- asking

function state(told) {
  if (!changed("state", told)) return;
  if (changed("state name", told.name)) $("announced").textContent = told.sentence; // read aloud: not at every second more
  $("state").className = "card state " + told.tone;
  $("state").dataset.name = told.name;
  $("sentence").textContent = told.sentence;
  $("advice").textContent = told.advice;
  document.title = `${told.sentence.split(":")[0].slice(0, 40)} · sie-online ${document.body.dataset.who}`;
}

// Ask /status.json for ever, and `show` what comes; `who` answers.
export function follow(who, show) {
  document.body.dataset.who = who;
  tips();
  document.querySelectorAll("[data-term]").forEach(wire);
  glossary();
  let heard = Date.now() / 1000;
  const ask = async () => {
    try {
      const answer = await fetch("/status.json", {signal: AbortSignal.timeout(PATIENCE_MS)});
      if (!answer.ok) throw new Error(answer.status);
      const told = await answer.json();
      heard = Date.now() / 1000;
      document.body.classList.remove("lost");
      state(told.state);
      $("note").textContent = `as of ${clock(heard, 8)} UTC`;
      show(told);
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof DOMException || error.message.match(/^\d+$/))) console.error(error);
      document.body.classList.add("lost");
      state({name: "lost", tone: "bad", sentence: `No answer since ${clock(heard, 8)} UTC.`,
        advice: `The ${who} has ended, is being started again, or cannot be reached from here. What is below is as it was then.`});
      $("note").textContent = "trying again";
    }
    setTimeout(ask, EVERY_MS);
  };
  ask();
}
