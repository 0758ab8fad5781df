// The page: shows the state that the server tells, and sends what is done to it.

import * as api from "./api.js";
import { byId, h, s, show } from "./elements.js";
import { find, showForm } from "./forms.js";
import { WorldMap, keyOf } from "./map.js";
import { showResults } from "./panels.js";
import { Replay } from "./replay.js";
import { showSwarm } from "./swarm.js";

const STEP = 0.5;
const FAR = 5;
/** Arrow keys that follow each other are one move. */
const PAUSE_MS = 350;

let state = null;
let chosen = null;
let map = null;
let replay = null;
let pending = null;

const on = {
  act: (name, value) => trying(async () => take(await api.act(name, value))),
  change: (kind, value) => on.changes([{ kind, value }]),
  changes: (list) => on.act("change", list),
  save: (what, query) => trying(() => api.save(what, query)),
  trying,
  movable: (machine) => machine.what !== "off",
  choose(machine) {
    chosen = keyOf(machine);
    render();
  },
  move(machine, [lat, lon]) {
    chosen = keyOf(machine);
    machine.place = [lat, lon];
    on.change("move", [machine.id, `${lat},${lon}`]);
  },
  off(machine) {
    if (machine.what === "server") chosen = `off:${machine.id}`;
    return on.change("remove", machine.id);
  },
  switchOn(machine) {
    chosen = `server:${machine.id}`;
    return on.act("switch_on", machine.by);
  },
  clone(machine) {
    const id = freeName(machine.id);
    const [lat, lon] = machine.place || [];
    const kind = machine.what === "client" ? "add_client" : "add_server";
    const where = machine.place ? { lat: nudged(lat, 85), lon: nudged(lon, 179) } : {};
    chosen = `${machine.what}:${id}`;
    on.change(kind, { id, like: machine.id, ...where });
  },
  add(device) {
    const id = freeName(device);
    const near = state.clients.find((c) => c.place) || state.servers.find((c) => c.place);
    const [lat, lon] = near ? near.place : [50, 8];
    chosen = `server:${id}`;
    on.change("add_server", { id, device, lat: nudged(lat, 85), lon: nudged(lon, 179) });
  },
  failChosen() {
    const machine = chosen && find(state, chosen);
    if (machine?.what === "server") replay.fail(machine.id);
    else tell("choose a server first");
  },
  key(event, machine) {
    const by = event.shiftKey ? FAR : STEP;
    const ways = { ArrowUp: [by, 0], ArrowDown: [-by, 0], ArrowLeft: [0, -by], ArrowRight: [0, by] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (ways[event.key] && on.movable(machine)) nudge(machine, ways[event.key]);
    else if (event.key === "Enter") on.choose(machine);
    else if (event.key === " " && replay.active) replay.toggle();
    else if (event.key === " ") on.choose(machine);
    else if (event.key === "Delete" && machine.what === "off") on.switchOn(machine);
    else if (event.key === "Delete") on.off(machine);
    else if (event.key.toLowerCase() === "c" && machine.what !== "off") on.clone(machine);
    else if (event.key.toLowerCase() === "f" && replay.active) replay.fail(machine.id);
    else if (event.key.toLowerCase() === "r") nextOfRegion(machine);
    else return;
    event.preventDefault();
  },
};

function nudged(value, most) {
  return Math.min(most, Math.round((value + 0.6) * 100) / 100);
}

function nudge(machine, [north, east]) {
  if (!machine.place) return;
  const key = keyOf(machine);
  const from = pending && pending.key === key ? pending.to : machine.place;
  const lon = ((((from[1] + east + 180) % 360) + 360) % 360) - 180;
  const to = [Math.max(-85, Math.min(85, from[0] + north)), lon].map((v) => Math.round(v * 100) / 100);
  if (pending) clearTimeout(pending.timer);
  chosen = key;
  pending = { key, to };
  pending.timer = setTimeout(() => {
    pending = null;
    on.change("move", [machine.id, to.join(",")]);
  }, PAUSE_MS);
  const shown = find(state, key);
  if (shown) machineOf(key).place = to;
  render();
}

function machineOf(key) {
  const [what, ...rest] = key.split(":");
  const list = what === "client" ? state.clients : state.servers;
  return list.find((m) => m.id === rest.join(":"));
}

function nextOfRegion(machine) {
  const mine = state.servers.filter((m) => m.region === machine.region);
  const next = mine[(mine.findIndex((m) => m.id === machine.id) + 1) % mine.length];
  if (!next) return;
  chosen = `server:${next.id}`;
  render();
  [...document.querySelectorAll(".machine")].find((m) => m.dataset.key === chosen)?.focus();
}

function freeName(base) {
  const taken = new Set([...state.servers, ...state.clients, ...state.off].map((m) => m.id));
  const root = base.replace(/-\d+$/, "");
  for (let i = 1; ; i += 1) {
    if (!taken.has(`${root}-${i}`)) return `${root}-${i}`;
  }
}

async function trying(what) {
  try {
    tell("");
    await what();
  } catch (error) {
    tell(error.message);
    if (map && state) render();
  }
}

function tell(message) {
  byId("error").textContent = message;
}

function take(told) {
  if (state && told.revision < state.revision) return;
  const changed = state && JSON.stringify(told.changes) !== JSON.stringify(state.changes);
  state = told;
  if (changed) replay.leave();
  render();
}

function render() {
  byId("title").textContent = state.name;
  document.title = `${state.name} - swarmplan studio`;
  byId("about").textContent = `${state.servers.length} servers, ${state.blocks} blocks of ${state.model}`;
  setText("sentence", state.busy ? `${state.sentence} ...` : state.sentence);
  setText("why", state.after.error || state.why);
  byId("undo").disabled = !state.can_undo;
  byId("redo").disabled = !state.can_redo;
  byId("pin").disabled = state.same;
  byId("stay").checked = state.stay;
  byId("pause").textContent = state.paused ? "Search for a better plan" : "Stop the search";
  byId("pause").disabled = !state.paused && !state.searching;
  const [elapsed, value] = state.progress || [null, null];
  const best = value ? `, best so far ${value.toPrecision(4)} s` : "";
  byId("search").textContent =
    state.searching + (elapsed ? `: ${elapsed.toFixed(0)} s${best}` : "");
  const side = document.querySelector("input[name=side]:checked").value;
  map.show(state, { chosen, side: state[side] });
  if (replay.active) replay.draw();
  showTray();
  showLegend();
  showForm(state, chosen, on);
  showSwarm(state, on);
  showResults(state, on);
}

function setText(id, text) {
  if (byId(id).textContent !== text) byId(id).textContent = text;
}

function showTray() {
  const lost = [
    ...state.servers.map((m) => ({ ...m, what: "server" })),
    ...state.clients.map((m) => ({ ...m, what: "client" })),
    ...state.off.map((m) => ({ ...m, what: "off" })),
  ].filter((m) => !m.place);
  const items = lost.map((m) =>
    h("button", { type: "button", "data-key": keyOf(m), "aria-pressed": String(chosen === keyOf(m)),
      onclick: () => on.choose(m), onkeydown: (e) => on.key(e, m) },
    m.what === "off" ? `${m.id} (off)` : m.id),
  );
  show(byId("tray"), lost.length ? h("span", { class: "note" }, "without a known place:") : null, items);
}

function showLegend() {
  const kinds = new Map(state.servers.map((m) => [m.kind, m.device]));
  const items = [...kinds].sort(([a], [b]) => a - b).map(([kind, device]) =>
    h("li", {}, s("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true" }, map.sample(kind)), device),
  );
  const ring = [s("circle", { class: "client", r: 7 }), s("circle", { class: "dot", r: 2.6 })];
  items.push(h("li", {}, s("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true" }, ring), "client"));
  show(byId("legend"), items);
}

function wire() {
  byId("undo").addEventListener("click", () => on.act("undo"));
  byId("redo").addEventListener("click", () => on.act("redo"));
  byId("pin").addEventListener("click", () => on.act("before"));
  byId("pause").addEventListener("click", () => on.act("pause", !state.paused));
  byId("stay").addEventListener("change", (event) => on.act("stay", event.target.checked));
  byId("side").addEventListener("change", render);
  byId("closer").addEventListener("click", () => map.closer(1.6));
  byId("farther").addEventListener("click", () => map.closer(1 / 1.6));
  byId("fit").addEventListener("click", () => {
    map.fit(state.map);
    render();
  });
  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.target.matches("input")) return;
    const key = event.key.toLowerCase();
    if (key === "z" && !event.shiftKey) on.act("undo");
    else if (key === "y" || (key === "z" && event.shiftKey)) on.act("redo");
    else return;
    event.preventDefault();
  });
}

async function listen() {
  for (;;) {
    try {
      take(await api.state(state.revision));
      document.body.classList.remove("lost");
    } catch (error) {
      document.body.classList.add("lost");
      tell(`no answer: ${error.message}`);
      await new Promise((done) => setTimeout(done, 2000));
    }
  }
}

async function begin() {
  try {
    const [land, told] = await Promise.all([api.land(), api.state()]);
    state = told;
    map = new WorldMap(land, on);
    replay = new Replay(map, on);
    wire();
    render();
  } catch (error) {
    byId("sentence").textContent = error.message;
    return;
  }
  listen();
}

begin();
