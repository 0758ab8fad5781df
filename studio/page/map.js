// The map: land, chains, machines that can be dragged, chosen and moved by keys.

import { byId, s } from "./elements.js";

const SHAPES = [
  "M-1 0a1 1 0 1 0 2 0a1 1 0 1 0-2 0z",
  "M-.9-.9h1.8v1.8h-1.8z",
  "M0-1.35L1.17.68h-2.34z",
  "M0-1.25L1.25 0L0 1.25L-1.25 0z",
  "M-.45-1.2h.9v.75h.75v.9h-.75v.75h-.9v-.75h-.75v-.9h.75z",
  "M0 1.35L1.17-.68h-2.34z",
  "M1.1 0L.55.95h-1.1L-1.1 0l.55-.95h1.1z",
  "M-.5-1.4h1v2.8h-1z",
];
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "12 4", "5 2 1 2", "1 4", "14 3 3 3"];
const NEAR = 15;
const MOST_NAMES = 40;

export class WorldMap {
  constructor(land, on) {
    this.land = land;
    this.on = on;
    this.view = null;
    this.zoom = { x: 0, y: 0, size: 1 };
    this.dragging = null;
    this.waiting = null;
    this.layers = {};
    for (const name of ["ground", "chains", "leads", "machines", "bars", "travellers"]) {
      this.layers[name] = s("g", { "aria-hidden": name === "machines" ? null : "true" });
    }
    this.svg = s(
      "svg",
      { role: "group", "aria-label": "Servers and clients on a map" },
      Object.values(this.layers),
    );
    this.svg.addEventListener("pointermove", (event) => this.drag(event));
    this.svg.addEventListener("pointerup", (event) => this.drop(event));
    this.svg.addEventListener("pointercancel", () => this.drop(null));
    byId("world").append(this.svg);
  }

  /** Show a state; while something is dragged the last one waits. */
  show(state, options) {
    if (this.dragging) {
      this.waiting = [state, options];
      return;
    }
    if (!this.view) this.fit(state.map);
    this.state = state;
    this.options = options;
    this.place(state);
    this.drawChains(options.side);
    this.drawMachines();
  }

  fit(view) {
    this.view = view;
    this.zoom = { x: 0, y: 0, size: 1 };
    this.frame();
    this.drawGround();
  }

  closer(factor, around) {
    const { width, height } = this.view;
    const size = Math.min(1, Math.max(1 / 32, this.zoom.size / factor));
    const middle = (edge, span) => edge + (span * this.zoom.size) / 2;
    const at = around || { x: middle(this.zoom.x, width), y: middle(this.zoom.y, height) };
    const x = at.x - (width * size) / 2;
    const y = at.y - (height * size) / 2;
    this.zoom = {
      x: Math.min(Math.max(0, x), width * (1 - size)),
      y: Math.min(Math.max(0, y), height * (1 - size)),
      size,
    };
    this.frame();
    if (this.state) this.show(this.state, this.options);
  }

  frame() {
    const { x, y, size } = this.zoom;
    const { width, height } = this.view;
    this.svg.setAttribute("viewBox", `${x} ${y} ${width * size} ${height * size}`);
  }

  at([lat, lon]) {
    const { west, north, scale } = this.view;
    const turned = west + ((((lon - west) % 360) + 360) % 360);
    return { x: (turned - west) * scale, y: (north - lat) * scale };
  }

  placeAt({ x, y }) {
    const { west, north, scale } = this.view;
    const lon = ((((west + x / scale + 180) % 360) + 360) % 360) - 180;
    const lat = Math.max(-85, Math.min(85, north - y / scale));
    return [Math.round(lat * 100) / 100, Math.round(lon * 100) / 100];
  }

  pointer(event) {
    const matrix = this.svg.getScreenCTM();
    return new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
  }

  drawGround() {
    const { west, north, scale, width, height } = this.view;
    const east = west + width / scale;
    const parts = [s("rect", { class: "sea", x: 0, y: 0, width, height })];
    for (const turn of [-360, 0, 360]) {
      const met = this.land.pieces.filter((p) => p.west + turn < east && p.east + turn > west);
      const x = (turn - 180 - west) * scale;
      const y = (north - 90) * scale;
      const transform = `translate(${x} ${y}) scale(${scale / 10})`;
      if (met.length) {
        parts.push(s("path", { class: "land", d: met.map((p) => p.path).join(""), transform }));
      }
    }
    this.layers.ground.replaceChildren(...parts);
  }

  /** Where each machine is drawn: those that would cover each other stand around their place. */
  place(state) {
    const near = NEAR * this.zoom.size;
    const machines = [
      ...state.servers.map((m) => ({ ...m, what: "server" })),
      ...state.clients.map((m) => ({ ...m, what: "client" })),
      ...state.off.map((m) => ({ ...m, what: "off" })),
    ].filter((m) => m.place);
    const groups = new Map();
    for (const machine of machines) {
      const { x, y } = this.at(machine.place);
      const cell = `${Math.round(x / near)}:${Math.round(y / near)}`;
      if (!groups.has(cell)) groups.set(cell, []);
      groups.get(cell).push({ machine, x, y });
    }
    this.spots = new Map();
    for (const members of groups.values()) {
      members.forEach((m, i) => {
        const turn = (2 * Math.PI * i) / members.length;
        const away = members.length > 1 ? Math.max(near * 0.8, (near * members.length) / 6) : 0;
        const spot = { ...m, atX: m.x, atY: m.y };
        spot.x += away * Math.cos(turn);
        spot.y += away * Math.sin(turn);
        this.spots.set(keyOf(m.machine), spot);
      });
    }
  }

  spot(what, id) {
    return this.spots.get(`${what}:${id}`);
  }

  drawChains(side) {
    const rows = new Map(this.state.clients.map((c) => [c.id, c.series % 8]));
    const most = Math.max(1, ...side.chains.map((c) => c.weight));
    const parts = side.chains.map((chain) => {
      const stops = [this.spot("client", chain.client)];
      stops.push(...chain.hops.map((hop) => this.spot("server", hop.server)));
      const known = stops.filter(Boolean);
      const row = rows.get(chain.client) ?? 0;
      const width = (1.2 + (3 * chain.weight) / most) * this.zoom.size;
      return s("polyline", {
        class: `arc l${row}`,
        points: this.path(known).map(({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "),
        "stroke-width": width,
        "stroke-dasharray": DASHES[row],
      });
    });
    this.layers.chains.replaceChildren(...parts);
  }

  /** A way over stops, bent like a great circle between places that are far apart. */
  path(stops) {
    const way = stops.length ? [{ x: stops[0].x, y: stops[0].y }] : [];
    for (let i = 1; i < stops.length; i += 1) {
      const [a, b] = [stops[i - 1], stops[i]];
      const bend = Math.min(0.12, Math.abs(b.x - a.x) / 4000) * Math.abs(b.x - a.x);
      for (let k = 1; k <= 12; k += 1) {
        const t = k / 12;
        way.push({
          x: a.x + (b.x - a.x) * t,
          y: a.y + (b.y - a.y) * t - 4 * bend * t * (1 - t),
        });
      }
    }
    return way;
  }

  drawMachines() {
    const focused = this.svg.contains(document.activeElement)
      ? document.activeElement.dataset.key
      : null;
    const shares = new Map(this.options.side.servers.map((r) => [r.id, r]));
    const names = this.spots.size <= MOST_NAMES ? this.names() : new Map();
    const leads = [];
    const marks = [];
    for (const spot of this.spots.values()) {
      if (Math.hypot(spot.x - spot.atX, spot.y - spot.atY) > 1) {
        const line = { class: "lead", x1: spot.atX, y1: spot.atY, x2: spot.x, y2: spot.y };
        leads.push(s("line", { ...line, "stroke-width": this.zoom.size }));
      }
      marks.push(this.mark(spot, shares.get(spot.machine.id), names.get(keyOf(spot.machine))));
    }
    this.layers.leads.replaceChildren(...leads);
    this.layers.machines.replaceChildren(...marks);
    if (focused) {
      // Who was switched off or on goes by another key: the one that is chosen.
      const at = (key) => marks.find((m) => m.dataset.key === key);
      (at(focused) || at(this.options.chosen))?.focus({ preventScroll: true });
    }
  }

  /**
   * Whose names can stand, and on which side: none covers a mark or another name. Clients come
   * first, the one that is chosen before them; it has its name in any case.
   */
  names() {
    const { size } = this.zoom;
    const key = ({ machine }) => keyOf(machine);
    const rank = (spot) => (this.options.chosen === key(spot) ? 0 : spot.machine.what === "client" ? 1 : 2);
    const spots = [...this.spots.values()];
    const marks = spots.map((s) => ({ key: key(s), box: around(s.x, s.y, 9 * size) }));
    const taken = [];
    const shown = new Map();
    for (const spot of spots.sort((a, b) => rank(a) - rank(b))) {
      const wide = (13 + 7 * Math.min(24, spot.machine.id.length)) * size;
      const tall = 8 * size;
      const sides = this.atEdge(spot.x) ? ["end"] : ["start", "end"];
      const boxOf = (side) => {
        const [from, to] = side === "end" ? [spot.x - wide, spot.x] : [spot.x, spot.x + wide];
        return [from, spot.y - tall, to, spot.y + tall];
      };
      const free = (box) =>
        !taken.some((t) => meet(box, t)) && !marks.some((m) => m.key !== key(spot) && meet(box, m.box));
      const side = sides.find((s) => free(boxOf(s))) ?? (rank(spot) ? undefined : sides[0]);
      if (!side) continue;
      taken.push(boxOf(side));
      shown.set(key(spot), side);
    }
    return shown;
  }

  /** Near the right edge a name can only stand left of its mark. */
  atEdge(x) {
    return x > this.zoom.x + this.view.width * this.zoom.size * 0.85;
  }

  mark(spot, row, named) {
    const { machine } = spot;
    const { size } = this.zoom;
    const key = keyOf(machine);
    const chosen = this.options.chosen === key;
    const words = this.describe(machine, row);
    const group = s(
      "g",
      {
        class: `machine ${machine.what}${chosen ? " chosen" : ""}`,
        transform: `translate(${spot.x.toFixed(2)} ${spot.y.toFixed(2)}) scale(${size})`,
        tabindex: "0",
        role: "button",
        "aria-pressed": chosen ? "true" : "false",
        "aria-label": words,
        "data-key": key,
      },
      s("title", {}, words),
      s("circle", { class: "touch", r: 14 }),
    );
    if (machine.what === "client") {
      group.append(s("circle", { class: "client", r: 8 }), s("circle", { class: "dot", r: 3 }));
    } else {
      const share = row && row.share !== null ? row.share : 0;
      const radius = 5 + 5 * Math.sqrt(Math.min(1, share));
      const kind = machine.kind % SHAPES.length;
      const idle = machine.what === "off" || !row || row.end === row.start;
      const style = `mark f${kind}${idle ? " idle" : ""}`;
      group.append(s("path", { class: style, d: SHAPES[kind], transform: `scale(${radius})` }));
    }
    if (named || chosen) {
      const name = machine.id.length > 24 ? `${machine.id.slice(0, 23)}…` : machine.id;
      const anchor = named || (this.atEdge(spot.x) ? "end" : "start");
      const side = { x: anchor === "end" ? -13 : 13, "text-anchor": anchor };
      group.append(s("text", { class: "label", y: 4, ...side }, name));
    }
    group.addEventListener("pointerdown", (event) => this.grab(event, spot, group));
    group.addEventListener("keydown", (event) => this.on.key(event, machine));
    return group;
  }

  describe(machine, row) {
    if (machine.what === "client") return `client ${machine.id}`;
    if (machine.what === "off") return `${machine.id}, switched off`;
    const blocks = row && row.end > row.start ? `blocks ${row.start} to ${row.end - 1}` : "idle";
    const share = row && row.share !== null ? `, ${Math.round(100 * row.share)} % of requests` : "";
    return `${machine.id}, ${machine.device}, ${blocks}${share}`;
  }

  grab(event, spot, group) {
    if (event.button) return;
    event.preventDefault();
    group.focus({ preventScroll: true });
    const start = this.pointer(event);
    this.dragging = { spot, group, start, moved: false };
    this.svg.setPointerCapture(event.pointerId);
  }

  drag(event) {
    const held = this.dragging;
    if (!held) return;
    const at = this.pointer(event);
    const [dx, dy] = [at.x - held.start.x, at.y - held.start.y];
    held.moved ||= Math.hypot(dx, dy) > 4 * this.zoom.size && this.on.movable(held.spot.machine);
    if (held.moved) {
      held.to = { x: held.spot.x + dx, y: held.spot.y + dy };
      const { x, y } = held.to;
      held.group.setAttribute("transform", `translate(${x} ${y}) scale(${this.zoom.size})`);
    }
  }

  drop(event) {
    const held = this.dragging;
    if (!held) return;
    this.dragging = null;
    const waiting = this.waiting;
    this.waiting = null;
    if (event && held.moved) this.on.move(held.spot.machine, this.placeAt(held.to));
    else if (event) this.on.choose(held.spot.machine);
    if (waiting) this.show(...waiting);
  }

  /** The mark of a device, for the legend. */
  sample(kind) {
    const row = kind % SHAPES.length;
    return s("path", { class: `mark f${row}`, d: SHAPES[row], transform: "scale(6)" });
  }

  /** Bars beside servers: sessions here and cache in use. */
  bars(rows) {
    const { size } = this.zoom;
    const parts = [];
    for (const row of rows) {
      const spot = this.spot("server", row.id);
      if (!spot) continue;
      const transform = `translate(${spot.x} ${spot.y}) scale(${size})`;
      parts.push(
        s(
          "g",
          { transform },
          bar("trough", 12, 1),
          bar("queue", 12, row.queue),
          bar("trough", 17, 1),
          bar("cache", 17, row.cache),
          row.down ? s("path", { class: "down", d: "M-9-9L9 9M9-9L-9 9" }) : null,
        ),
      );
    }
    this.layers.bars.replaceChildren(...parts);
  }

  travellers(dots) {
    const { size } = this.zoom;
    const parts = dots.map((d) =>
      s("circle", { class: `traveller f${d.series % 8}`, cx: d.x, cy: d.y, r: 3.2 * size }),
    );
    this.layers.travellers.replaceChildren(...parts);
  }
}

function around(x, y, reach) {
  return [x - reach, y - reach, x + reach, y + reach];
}

function meet(a, b) {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}

function bar(style, y, full) {
  return s("rect", { class: style, x: -12, y, width: 24 * Math.min(1, full), height: 4 });
}

export function keyOf(machine) {
  return `${machine.what}:${machine.id}`;
}
