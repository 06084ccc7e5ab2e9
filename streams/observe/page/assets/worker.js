// The page of a worker.

import {curve, histogram} from "/page/curves.js";
import {models} from "/page/models.js";
import {$, bytes, chance, changed, clock, count, el, explained, figure, follow, moment, pill, places, say, share, span, sum, table, words} from "/page/page.js";

const UNLABELLED = "No sample has settled in the last five minutes: labels come when the attribution window ends.";

function head(s) {
  pill("alive", s.alive, s.alive ? "alive" : "stuck");
  pill("ready", s.ready, s.ready ? "ready" : "not ready");
  $("version").textContent = s.version;
  $("uptime").textContent = "up " + span(s.uptime_s);
}

function tiles(s) {
  const newest = name => s.curves.figures[name].at(-1) ?? null, rate = newest("rate");
  say("rate", count(rate));
  $("rows").textContent = `${count(s.rows)} rows published since the start`;
  const late = Math.max(...s.partitions.map(p => p.lag_s ?? 0), 0);
  say("lag", s.lag === null ? "unknown" : count(s.lag), s.lag === null ? "" : s.lag === 1 ? "record" : "records");
  $("eta").textContent = s.lag === null ? "not known while the brokers are away or just after the start" : s.lag === 0 ? "caught up"
    : late ? `the oldest was written ${span(late)} ago` : rate ? `about ${span(s.lag / rate)} of work` : "";
  say("latency", span(s.since_arrival.p50_s), "median");
  $("tail").textContent = s.since_arrival.p99_s === null ? "" : "99 % within " + span(s.since_arrival.p99_s);
  const ages = s.partitions.map(p => p.checkpoint_age_s).filter(age => age !== null);
  say("checkpoint", ages.length ? span(Math.max(...ages)) : "–", ages.length ? "of work at most" : "");
  $("unacked").textContent = bytes(s.unacked_bytes) + " published, unconfirmed";
  say("memory", bytes(s.memory_bytes));
  const limit = s.tables.limit && s.tables.limit * s.partitions.length; // it is of one shard
  $("tables").textContent = limit ? `tables take ${bytes(s.tables.used)}, ${bytes(limit)} at most` : `${count(s.open_views.used)} open views`;
}

function curves(s) {
  if (!changed("curves", s.curves)) return;
  const {at, figures} = s.curves, now = at.at(-1) ?? s.now;
  const draw = (id, names, options) => curve($("curve-" + id), {at, now, nothing: UNLABELLED,
    lines: names.map(name => ({values: figures[name], name: names.length > 1 ? words(name).split(" ").at(-1) : undefined})), ...options});
  const twins = name => [name + "_weighted", name + "_uniform"];
  const inSeconds = figures.lag_s.some(value => value !== null);
  $("since").textContent = at.length && now - at[0] < 3500 ? `· kept since ${clock(at[0])} UTC, when this process began` : "";
  draw("rate", ["rate"], {title: "Events per second", format: count, low: 0, nothing: "Nothing was processed yet."});
  draw("lag", [inSeconds ? "lag_s" : "lag"], {title: inSeconds ? "Lag, seconds" : "Lag, records", term: "lag", format: inSeconds ? span : count, low: 0, nothing: "Not known."});
  draw("latency", ["p99_s"], {title: "Fetched to published, 99 %", term: "latency", format: span, low: 0, nothing: "Nothing was published in the last minute."});
  draw("log-loss", twins("log_loss"), {title: "Log loss", term: "log loss", format: x => figure(x)});
  draw("calibration", twins("calibration"), {title: "Calibration", term: "calibration", format: x => figure(x), mark: 1, nothing: "No conversion has settled in the last five minutes."});
  draw("auc", twins("auc"), {title: "AUC", term: "AUC", format: x => figure(x), nothing: "Not known before samples of both labels have settled."});
  draw("noise", ["noise"], {title: "Events taken for noise", term: "noise", format: share, low: 0, nothing: "No event was judged in the last five minutes."});
  draw("strength", ["strength"], {title: "Strength of the weights", term: "strength", format: x => figure(x), low: 0, high: 1, nothing: "Not known yet."});
}

function quality(s) {
  const newest = name => [...s.curves.figures[name]].reverse().find(value => value !== null) ?? null;
  const now = Object.fromEntries(["log_loss", "calibration", "auc"].flatMap(name => ["weighted", "uniform"].map(twin => [`${name}_${twin}`, newest(`${name}_${twin}`)])));
  if (!changed("quality", [now, s.strength, s.effective_ratio])) return;
  const gain = now.log_loss_uniform === null ? null : now.log_loss_uniform - now.log_loss_weighted;
  $("verdict").textContent = gain === null ? UNLABELLED
    : Math.abs(gain) < 5e-5 ? "The recommender predicts as well with weights as without."
    : gain > 0 ? `With weights the recommender's log loss is ${figure(gain, 2)} lower than without.`
    : `With weights the recommender's log loss is ${figure(-gain, 2)} higher than without: the guard decides whether that is harm.`;
  table("quality", ["", ["with weights", "", "weighted"], ["without", "", "uniform"]], [
    [explained("log loss"), places(now.log_loss_weighted, 4), places(now.log_loss_uniform, 4)],
    [explained("calibration"), places(now.calibration_weighted), places(now.calibration_uniform)],
    [explained("AUC"), places(now.auc_weighted, 3), places(now.auc_uniform, 3)],
    [explained("strength in force", "strength"), places(s.strength), ""],
    [explained("effective sample size", "effective"), share(s.effective_ratio), ""],
  ]);
}

function noise(s) {
  if (!changed("noise", s.noise)) return;
  $("noise-note").textContent = s.noise.length ? "Since this process began, at first statement." : "";
  table("noise", ["type", "judged", "taken for noise", "mean P(noise)"],
    s.noise.map(n => [words(n.type), count(n.judged), share(n.share), places(n.probability, 3)]), "No event was judged yet.");
}

function trainer(s) {
  if (!changed("trainer", s.trainer)) return;
  const beside = s.trainer;
  if (!beside) {
    $("trainer").textContent = "No trainer runs beside this worker.";
    $("trainer-note").textContent = "Where one runs, its own page says what it does (trainer.web, http://127.0.0.1:8081 by default); "
      + "what it announces and what its gate refuses is told above, as the store has it.";
    return;
  }
  const text = el("span", {class: beside.state.tone === "bad" ? "bad" : ""}, beside.state.sentence);
  const address = `${location.protocol}//${location.hostname}:${beside.port}/`;
  $("trainer").replaceChildren(text, " ", ...(beside.port ? [el("a", {href: address}, "Its page")] : []));
  $("trainer-note").textContent = [beside.state.advice, beside.device && `It runs on the ${beside.device === "cuda" ? "GPU" : "CPU"}.`,
    beside.restarts && `It was started anew ${count(beside.restarts)} times.`].filter(Boolean).join(" ");
}

function lowest(s) {
  const {ids, users, items, read_share: read} = s.published;
  if (!changed("lowest", s.published)) return;
  const titles = kind => [[kind, "id"], "events", ["weight", "", "weight"], "P(noise)", ["mainly because", "wrap"]];
  const lines = all => all.map(w => [ids ? w.id : "(not shown)", count(w.events), figure(w.weight, 2), chance(w.noise_probability),
    w.why ? `${w.why} (×\u00a0${figure(w.times, 2)})` : "several factors together"]);
  table("users", titles("user"), lines(users), "None weighed less than half an average event.");
  table("items", titles("item"), lines(items), "None weighed less than half an average event.");
  const hidden = ids ? "" : " Ids are not shown: this site listens beyond this machine and users have no pseudonyms (web.ids).";
  $("sampled").textContent = (read === null ? "" : read > .995 ? "Of all first statements." : `Of a sample: about ${share(read)} of the statements are looked at.`) + hidden;
}

function example(s) {
  const e = s.published.example;
  if (!e || !changed("example", e)) return;
  const id = text => s.published.ids ? el("code", {}, text) : el("span", {class: "soft"}, "(not shown)");
  const fact = (name, value) => el("span", {}, el("span", {class: "soft"}, name + " "), value);
  $("example").replaceChildren(
    el("p", {class: "big"}, e.sentence),
    el("p", {class: "product"}, el("b", {}, figure(e.weight, 3)), el("i", {}, "="),
      ...(e.parts.length ? e.parts : [{factor: "nothing", times: 1}]).flatMap((part, at) => [...(at ? [el("i", {}, "×")] : []), el("span", {}, figure(part.times, 3), " ", el("i", {}, part.factor))])),
    el("ul", {}, ...e.parts.map(part => el("li", {}, el("b", {}, part.factor), ` × ${figure(part.times, 3)}: ${part.why}`))),
    el("p", {class: "facts"}, fact("event", id(e.event_id)), fact("user", id(e.user_id)), fact("item", id(e.item_id)),
      fact("at", moment(e.event_time_ms) + " UTC"), fact("label", e.label + (e.final && e.revision ? ", final" : "")), fact("probability", figure(e.probability)),
      fact("P(noise)", chance(e.noise_probability)), fact("uncertainty", "± " + figure(e.uncertainty, 2)),
      fact("place", `partition ${e.partition}, offset ${e.offset}, revision ${e.revision}`)),
    el("p", {class: "soft note"}, "More of it, and of any other event: ", el("code", {}, s.published.ids ? "sie explain " + e.event_id : "sie explain EVENT_ID")));
}

function events(s) {
  const all = sum(s.events), outcomes = ["weighted", "duplicate", "heartbeat", "erasure", "dead_letter"];
  if (!changed("events", [s.events, s.dead_letters, s.evictions])) return;
  table("events", ["became", "events", "share"], outcomes.map(o => [words(o), count(s.events[o] ?? 0), all ? share((s.events[o] ?? 0) / all) : "–"]));
  table("dead", ["reason", "records", "share"], Object.entries(s.dead_letters).sort((a, b) => b[1] - a[1])
    .map(([reason, n]) => [words(reason), count(n), all ? share(n / all) : "–"]), "None.");
}

function partitions(s) {
  table("partitions", ["partition", ["epoch", "", "epoch"], ["lag", "", "lag"], "behind", ["event time", "", "event time"], "newest final row", ["open views", "", "open views"],
    ["effective", "", "effective"], ["strength", "", "strength"], ["judged views", "", "judged views"], ["log evidence of harm, help", "", "guard"], ["not in a checkpoint", "", "checkpoint"]],
    s.partitions.map(p => [p.partition, count(p.epoch), count(p.lag), span(p.lag_s), moment(p.event_time_ms), moment(p.final_row_ms), count(p.open_views), share(p.effective_ratio),
      places(p.strength), count(p.judged_views), p.log_harm === null ? "–" : `${places(p.log_harm)}, ${places(p.log_help)}`, span(p.checkpoint_age_s)]), "None.");
}

follow("worker", s => {
  head(s);
  tiles(s);
  curves(s);
  quality(s);
  noise(s);
  if (changed("models", [s.models, s.partitions.length])) models($("models"), s.models, true, s.partitions.length);
  trainer(s);
  lowest(s);
  example(s);
  if (changed("weights", s.weights)) histogram($("weights"), s.weights);
  events(s);
  if (changed("partitions", s.partitions)) partitions(s);
});
