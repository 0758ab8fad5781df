// What can be changed of the whole swarm: load, lengths, precision, accuracy, drafts.

import { button, byId, choice, field, h, number, rounded, show } from "./elements.js";

/** The choice that leaves a precision to the planner. */
export const OPEN = "open";
export const TOKENS = { min: 1, step: 1 };
const GAPS = [
  [0, "even"],
  [1, "Poisson"],
  [3, "bursts"],
];
const DRAFTS = ["auto", 0, 1, 2, 3, 4, 6, 8, 10];
/** What drafts are taken for until somebody says better. */
const FIRST_DRAFTS = { acceptance: 0.7, draft_ms: 10 };

/** Processes of arrivals, and the one that is there. */
export function gapsWith(own) {
  return GAPS.some(([v]) => v === own) ? GAPS : [...GAPS, [own, `gaps vary by ${number(own)}`]];
}

/** A stream's field: by its client where that says which, else by its position. */
export function stream(state, { index, client }, name) {
  const alone = state.streams.filter((s) => s.client === client).length === 1;
  const plain = alone && /^[^"*?[\]]*[^"*?[\]\d][^"*?[\]]*$/.test(client);
  return `workload.streams.${plain ? `"${client}"` : index}.${name}`;
}

export function showSwarm(state, on) {
  show(byId("swarm"), h("h2", {}, "The swarm"), ...load(state, on), ...accuracy(state, on), ...drafts(state, on), adding(state, on));
}

function load(state, on) {
  const { streams, trace } = state;
  const set = (name) => (value) => on.change("set", [`workload.${name}`, value]);
  const scaled = (factor) =>
    on.changes(streams.map((s) => ({ kind: "set", value: [
      stream(state, s, "rate_per_s"), Number((s.rate_per_s * factor).toPrecision(6))] })));
  const factors = streams.length
    ? [0.5, 0.8, 1.25, 2].map((f) => button(`load x ${f}`, () => scaled(f), { "data-key": `load-${f}` }))
    : [];
  const ofStreams = () => [
    field("prompt tokens of all", null, set("streams.*.prompt_tokens"), TOKENS),
    field("output tokens of all", null, set("streams.*.output_tokens"), TOKENS),
    choice("arrivals of all", "", [["", "as they are"], ...GAPS], (v) => v && set("streams.*.gap_cv")(Number(v))),
  ];
  const ofTrace = () => [
    h("p", { class: "note" }, `requests of ${trace.csv}`),
    field("trace at requests per s", rounded(trace.rate_per_s), set("trace.rate_per_s"), { min: 0.000001 }),
    field("first requests of it", trace.max_requests, set("trace.max_requests"), TOKENS),
  ];
  return [
    h("p", { class: "note" }, `${number(state.after.load_per_s)} requests/s in all`),
    h("div", { class: "bar" }, factors),
    ...(trace ? ofTrace() : ofStreams()),
    field("requests simulated", state.requests, set("requests"), TOKENS),
    field("trace file", trace?.csv, (v) => set("trace")({ csv: v }), { type: "text", spellcheck: "false" }),
  ];
}

/** By what states go over links, where more than one way is known or used. */
export function wireOf(label, used, known, set) {
  const [open, ways] = [used.length > 1, [...new Set([...known, ...used])]];
  if (ways.length < 2) return [];
  const named = ways.map((w) => [w, w === "none" ? "as they are" : w]);
  const chosen = `planner chooses (${(open ? used : ways).join(", ")})`;
  return [choice(label, open ? OPEN : used[0], [...named, [OPEN, chosen]], (v) => set(v === OPEN ? ways : v))];
}

function accuracy(state, on) {
  const every = (name, value) => [{ kind: "set", value: [`servers.*.${name}`, value] }];
  const precision = (v) => {
    if (v === OPEN) return on.changes(every("precisions", state.quantisations));
    const own = state.servers.some((m) => m.own || m.precisions) ? every("quantisation", v) : [];
    return on.changes([{ kind: "set", value: ["model.quantisation", v] }, ...own]);
  };
  const wire = (v) => {
    const own = state.servers.some((m) => m.own_wire) ? every("wire", v) : [];
    return on.changes([{ kind: "set", value: ["network.wire", v] }, ...own]);
  };
  const open = state.servers.every((m) => m.precisions);
  return [
    choice("precision of all", open ? OPEN : state.quantisation, [...state.quantisations, [OPEN, "planner chooses"]], precision),
    ...wireOf("states on all links", state.wire, state.wires, wire),
    field("accuracy budget of all, %", rounded(state.accuracy_budget),
      (v) => on.change("set", ["accuracy.budget", v]), { min: 0 }),
  ];
}

function drafts(state, on) {
  const given = state.speculation;
  const set = (name) => (value) => on.change("set", [`speculation.${name}`, value]);
  if (!given) {
    const begin = () => on.changes(Object.entries(FIRST_DRAFTS).map(([kind, value]) => ({ kind, value })));
    return [h("div", { class: "bar" }, button("Let clients draft", begin, { "data-key": "draft" }))];
  }
  const models = Object.entries(given.models || {});
  const own = (name, of) => (models.length ? `models."${name}".${of}` : of);
  const one = ([name, m]) => [
    field(`drafts accepted${name && ` (${name})`}`, rounded(m.acceptance),
      models.length ? set(own(name, "acceptance")) : (v) => on.change("acceptance", v), { min: 0, max: 1 }),
    field(`a draft takes ms${name && ` (${name})`}`, rounded(m.draft_ms),
      models.length ? set(own(name, "draft_ms")) : (v) => on.change("draft_ms", v), { min: 0 }),
  ];
  const now = given.draft_tokens ?? "auto";
  const known = DRAFTS.some((d) => d === now) ? DRAFTS : [...DRAFTS, now];
  return [
    ...(models.length ? models : [["", given]]).flatMap(one),
    choice("drafts of a pass", now, known.map((d) => [d, d === "auto" ? "planner chooses" : d || "none"]),
      (v) => set("draft_tokens")(v === "auto" ? v : Number(v))),
  ];
}

function adding(state, on) {
  const device = choice("device of a new server", state.devices[0], state.devices, () => {});
  const add = () => on.add(device.querySelector("select").value);
  return h("div", { class: "bar" }, device, button("Add a server", add, { "data-key": "add" }));
}
