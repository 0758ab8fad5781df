// What can be changed of the machine that is chosen.

import { button, byId, choice, field, h, rounded, show } from "./elements.js";
import { OPEN, TOKENS, gapsWith, stream, wireOf } from "./swarm.js";

/** A path of a scenario file that means exactly this id. */
function path(list, id, name) {
  const exact = id.replace(/[*?[]/g, "[$&]");
  return `${list}.${exact.includes('"') ? exact : `"${exact}"`}.${name}`;
}

export function showForm(state, chosen, on) {
  const machine = chosen && find(state, chosen);
  const box = byId("chosen");
  if (!machine) {
    show(box, h("h2", {}, "Choose a machine"), h("p", { class: "note" }, "On the map, by click or with Tab and Enter."));
  } else if (machine.what === "server") show(box, ...server(state, machine, on));
  else if (machine.what === "client") show(box, ...client(state, machine, on));
  else show(box, ...off(machine, on));
}

export function find(state, key) {
  const [what, ...rest] = key.split(":");
  const id = rest.join(":");
  const lists = { server: state.servers, client: state.clients, off: state.off };
  const found = (lists[what] || []).find((m) => m.id === id);
  return found && { ...found, what };
}

function place(machine, on) {
  const [lat, lon] = machine.place || [null, null];
  const to = (a, b) => on.change("move", [machine.id, `${a},${b}`]);
  return [
    field("latitude", lat, (v) => to(v, lon ?? 0), { min: -90, max: 90 }),
    field("longitude", lon, (v) => to(lat ?? 0, v), { min: -180, max: 180 }),
  ];
}

function server(state, machine, on) {
  const set = (name) => (value) => on.change("set", [path("servers", machine.id, name), value]);
  const row = state.after.servers.find((r) => r.id === machine.id);
  const at = row && row.precision ? ` at ${row.precision}` : "";
  const by = row && row.wire !== "none" ? `, states go by ${row.wire}` : "";
  const told = row && row.end > row.start ? `hosts blocks ${row.start} to ${row.end - 1}${at}${by}` : "hosts nothing";
  const precision = (v) => (v === OPEN ? set("precisions")(state.quantisations) : set("quantisation")(v));
  const known = state.devices.includes(machine.device) ? state.devices : [machine.device, ...state.devices];
  return [
    h("h2", {}, machine.id),
    h("p", { class: "note" }, told),
    choice("device", machine.device, known, set("device")),
    choice("precision", machine.precisions ? OPEN : machine.quantisation,
      [...state.quantisations, [OPEN, open(machine.precisions || state.quantisations)]], precision),
    ...wireOf("states on its links", machine.wire, state.wires, set("wire")),
    field("memory GB", rounded(machine.memory_gb), set("memory_gb"), { min: 0.01 }),
    ...place(machine, on),
    h(
      "div",
      { class: "bar" },
      button("Switch off", () => on.off(machine), { "data-key": "off" }),
      button("Clone", () => on.clone(machine), { "data-key": "clone" }),
      machine.region
        ? button(`Switch off ${machine.region}`, () => on.change("remove", machine.region), { "data-key": "region" })
        : null,
    ),
  ];
}

function open(precisions) {
  return `planner chooses (${precisions.join(", ")})`;
}

function client(state, machine, on) {
  const mine = state.streams.filter((s) => s.client === machine.id);
  const rate = mine.reduce((sum, s) => sum + s.rate_per_s, 0);
  const every = (name) => (value) =>
    on.changes(mine.map((s) => ({ kind: "set", value: [stream(state, s, name), value] })));
  const load = (value) =>
    on.changes(mine.map((s) => ({ kind: "set", value: [
      stream(state, s, "rate_per_s"), rate ? (s.rate_per_s * value) / rate : value / mine.length] })));
  return [
    h("h2", {}, `client ${machine.id}`),
    mine.length ? null : h("p", { class: "note" }, "Its requests are those of a trace."),
    ...(mine.length
      ? [
          field("requests per s", rounded(rate), load, { min: 0 }),
          choice("arrivals", machine.gap_cv, gapsWith(machine.gap_cv), (v) => every("gap_cv")(Number(v))),
          field("prompt tokens (mean)", rounded(machine.prompt_tokens), every("prompt_tokens"), TOKENS),
          field("output tokens (mean)", rounded(machine.output_tokens), every("output_tokens"), TOKENS),
        ]
      : []),
    field("accuracy budget %", rounded(machine.accuracy_budget ?? state.accuracy_budget),
      (v) => on.change("set", [path("accuracy.budget_of", machine.id, "").slice(0, -1), v]), { min: 0 }),
    ...place(machine, on),
    h(
      "div",
      { class: "bar" },
      button("Clone", () => on.clone(machine), { "data-key": "clone" }),
      button("Remove", () => on.off(machine), { "data-key": "off" }),
    ),
  ];
}

function off(machine, on) {
  const text = machine.by === machine.id ? "Switch on" : `Switch on ${machine.by}`;
  return [
    h("h2", {}, `${machine.id}, switched off`),
    h("div", { class: "bar" }, button(text, () => on.switchOn(machine), { "data-key": "on" })),
  ];
}
