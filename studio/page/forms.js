// What can be changed of the machine that is chosen, and of the whole swarm.

import { button, byId, h, number, show } from "./elements.js";

/** A path of a scenario file that means exactly this id. */
function path(list, id, field) {
  const exact = id.replace(/[*?[]/g, "[$&]");
  return `${list}.${exact.includes('"') ? exact : `"${exact}"`}.${field}`;
}

function field(label, value, onchange, attributes = {}) {
  const input = h("input", {
    type: "number",
    step: "any",
    value: value ?? "",
    "data-key": label,
    oninput: (event) => (event.target.dataset.dirty = "yes"),
    onchange: (event) => {
      delete event.target.dataset.dirty;
      if (event.target.value !== "" && event.target.checkValidity()) onchange(Number(event.target.value));
      else event.target.reportValidity();
    },
    onblur: (event) => delete event.target.dataset.dirty,
    ...attributes,
  });
  return h("label", { class: "field" }, label, input);
}

function choice(label, value, options, onchange) {
  const items = options.map((o) => h("option", { value: o, selected: o === value }, o));
  const select = h("select", { "data-key": label, onchange: (e) => onchange(e.target.value) }, items);
  return h("label", { class: "field" }, label, select);
}

export function showForms(state, chosen, on) {
  const machine = chosen && find(state, chosen);
  const box = byId("chosen");
  if (!machine) {
    show(box, h("h2", {}, "Choose a machine"), h("p", { class: "note" }, "On the map, by click or with Tab and Enter."));
  } else if (machine.what === "server") show(box, ...server(state, machine, on));
  else if (machine.what === "client") show(box, ...client(state, machine, on));
  else show(box, ...off(machine, on));
  show(byId("swarm"), ...swarm(state, on));
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
  const told = row && row.end > row.start ? `hosts blocks ${row.start} to ${row.end - 1}` : "hosts nothing";
  return [
    h("h2", {}, machine.id),
    h("p", { class: "note" }, told),
    choice("device", machine.device, state.devices, set("device")),
    choice("precision", machine.quantisation, state.quantisations, set("quantisation")),
    field("memory GB", round(machine.memory_gb), set("memory_gb"), { min: 0.01 }),
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

function client(state, machine, on) {
  const mine = state.streams.filter((s) => s.client === machine.id);
  const rate = mine.reduce((sum, s) => sum + s.rate_per_s, 0);
  const every = (name) => (value) =>
    on.changes(mine.map((s) => ({ kind: "set", value: [`workload.streams.${s.index}.${name}`, value] })));
  const load = (value) =>
    on.changes(mine.map((s) => ({ kind: "set", value: [
      `workload.streams.${s.index}.rate_per_s`, rate ? (s.rate_per_s * value) / rate : value / mine.length] })));
  const whole = { min: 1, step: 1 };
  return [
    h("h2", {}, `client ${machine.id}`),
    mine.length ? null : h("p", { class: "note" }, "Its requests are those of a trace."),
    ...(mine.length
      ? [
          field("requests per s", round(rate), load, { min: 0 }),
          field("prompt tokens (mean)", round(machine.prompt_tokens), every("prompt_tokens"), whole),
          field("output tokens (mean)", round(machine.output_tokens), every("output_tokens"), whole),
        ]
      : []),
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

function swarm(state, on) {
  const scaled = (factor) =>
    on.changes(state.streams.map((s) => ({ kind: "set", value: [
      `workload.streams.${s.index}.rate_per_s`, Number((s.rate_per_s * factor).toPrecision(6))] })));
  const lengths = (name) => (value) =>
    on.changes(state.streams.map((s) => ({ kind: "set", value: [`workload.streams.${s.index}.${name}`, value] })));
  const factors = state.streams.length
    ? [0.5, 0.8, 1.25, 2].map((f) => button(`load x ${f}`, () => scaled(f), { "data-key": `load-${f}` }))
    : [];
  const whole = { min: 1, step: 1 };
  return [
    h("h2", {}, "The swarm"),
    h("p", { class: "note" }, `${number(state.after.load_per_s)} requests/s in all`),
    h("div", { class: "bar" }, factors),
    ...(state.streams.length
      ? [
          field("prompt tokens of all", null, lengths("prompt_tokens"), whole),
          field("output tokens of all", null, lengths("output_tokens"), whole),
        ]
      : []),
    choice("precision of all", state.quantisation, state.quantisations, (v) => on.change("set", ["model.quantisation", v])),
    ...(state.drafts
      ? [
          field("drafts accepted", typeof state.acceptance === "number" ? state.acceptance : null,
            (v) => on.change("acceptance", v), { min: 0, max: 1 }),
          field("a draft takes ms", state.draft_ms, (v) => on.change("draft_ms", v), { min: 0 }),
        ]
      : []),
    adding(state, on),
  ];
}

function adding(state, on) {
  const device = choice("device of a new server", state.devices[0], state.devices, () => {});
  const add = () => on.add(device.querySelector("select").value);
  return h("div", { class: "bar" }, device, button("Add a server", add, { "data-key": "add" }));
}

function round(value) {
  return value === null || value === undefined ? null : Number(value.toPrecision(6));
}
