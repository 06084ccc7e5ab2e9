// The page of a trainer.

import {models} from "/page/models.js";
import {$, changed, count, figure, follow, pill, say, span, table, words} from "/page/page.js";

const FIGURES = {
  worst_auc: "AUC of detection, worst family", median_auc: "AUC of detection, median family", innocent: "mean P(noise) of innocent behaviours",
  clean: "mean P(noise) of what is not suspected now", kept: "AUC of detection, what is taken for noise now", gain: "gain of its weights",
};

function tiles(s) {
  say("device", s.device === "cuda" ? "GPU" : s.device === "cpu" ? "CPU" : "–");
  $("speed").textContent = s.passes.samples_per_s ? `${count(s.passes.samples_per_s)} samples/s in the latest pass` : "";
  say("window", count(s.window.recent + s.window.older_positives), "samples");
  $("span").textContent = s.window.recent ? `over ${span(s.window.span_s)}, and ${count(s.window.older_positives)} older positives` : "not looked at yet";
  say("fresh", count(s.fresh_samples));
  $("due").textContent = `since the last fine-tune; ${count(s.every_samples)} bring on the next`;
  say("passes", s.passes.done || s.fine_tuning ? `${s.passes.done} of ${s.passes.of}` : "–");
  $("loss").textContent = s.passes.loss && s.passes.done ? `training loss ${figure(s.passes.loss, 4)}` : "";
  say("outcome", s.latest_outcome ? words(s.latest_outcome) : "none yet");
  $("noise-outcome").textContent = s.noise.fitting ? `noise model: fitted for ${span(s.noise.running_s)}`
    : s.noise.latest_outcome ? `noise model: ${words(s.noise.latest_outcome)}` : "noise model: not fitted yet";
}

const noiseFigures = told => table("noise-figures", ["figure", "value"],
  Object.entries(told).map(([name, value]) => [FIGURES[name] ?? words(name), figure(value, 4)]), "None was fitted since this process began.");

// What the gate's learner did with the weights of the candidate, of what is in force, and with uniform importance.
function gate(told) {
  const whose = ["candidate", "current", "uniform"], names = [["nll", "log loss"], ["auc", "AUC"], ["gauc", "AUC by user"], ["calibration", "calibration"],
    ["effective_share", "effective sample size"]];
  table("figures", ["of a learner", "with the candidate", "with what serves", ["with uniform importance"]],
    names.filter(([name]) => `candidate_${name}` in told).map(([name, title]) => [title, ...whose.map(who => figure(told[`${who}_${name}`], 4))]),
    "No candidate was judged since this process began.");
  const gains = ["current", "uniform"].filter(against => `gain_over_${against}` in told).map(against => {
    const gain = told[`gain_over_${against}`], bound = told[`gain_over_${against}_lower`];
    const than = `${gain < 0 ? "higher" : "lower"} than ${against === "uniform" ? "with uniform importance" : "with what serves"}`;
    const sure = gain < 0 || bound === undefined ? "" : bound > 0 ? `, at least ${figure(bound, 2)} by its confidence bound` : ", which is not sure";
    return `Log loss is ${figure(Math.abs(gain), 2)} ${than}${sure}.`;
  });
  $("gains").textContent = gains.join(" ");
}

function outcomes(s) {
  const kinds = [["fine_tunes", "fine-tunes"], ["noise_fits", "noise fits"], ["priors", "priors"]];
  const names = [...new Set(kinds.flatMap(([kind]) => Object.keys(s.outcomes[kind])))];
  table("outcomes", [["outcome", "left"], ...kinds.map(([, title]) => title)],
    names.map(name => [words(name), ...kinds.map(([kind]) => count(s.outcomes[kind][name] ?? 0))]), "None has ended yet.");
}

follow("trainer", s => {
  const ready = s.announcer && s.caught_up && !s.reason;
  pill("ready", ready, ready ? "ready" : "not ready");
  $("version").textContent = s.code_version;
  $("uptime").textContent = "up " + span(s.uptime_s);
  tiles(s);
  if (changed("models", s.models)) models($("models"), s.models, false);
  if (changed("figures", s.figures)) gate(s.figures);
  $("noise-events").textContent = s.noise.events ? `Fitted on ${count(s.noise.events)} events.` : "";
  if (changed("noise", s.noise.figures)) noiseFigures(s.noise.figures);
  if (changed("outcomes", s.outcomes)) outcomes(s);
});
