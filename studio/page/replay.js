// A run of the plan over simulated time: sessions travel, queues and caches fill, servers fail.

import * as api from "./api.js";
import { button, byId, h, number, percent, table } from "./elements.js";

const SPEEDS = [1, 10, 60, 300];
const MOST_DOTS = 300;

export class Replay {
  constructor(map, on) {
    this.map = map;
    this.on = on;
    this.run = null;
    this.asked = 0;
    this.failures = [];
    this.now = 0;
    this.speed = 60;
    this.playing = false;
    this.drawStart();
  }

  get active() {
    return this.run !== null;
  }

  drawStart() {
    byId("replay").replaceChildren(button("Replay", () => this.load(), { "data-key": "replay" }));
  }

  async load() {
    await this.on.trying(async () => {
      const first = !this.run;
      const own = ++this.asked;
      const run = await api.replay(this.failures);
      // Of another state by now, or another one was asked for.
      if (!run || own !== this.asked) return;
      this.run = run;
      if (first) {
        this.now = Math.min(this.run.end_s, this.run.sessions[0]?.arrival_s ?? 0);
        this.controls();
      }
      this.draw();
    });
  }

  /** The state has changed: what was replayed is no longer what is shown. */
  leave() {
    this.asked++;
    if (!this.run) return;
    this.run = null;
    this.playing = false;
    this.failures = [];
    this.map.bars([]);
    this.map.travellers([]);
    this.drawStart();
  }

  fail(id) {
    this.failures = [...this.failures, [this.now, id]];
    return this.load();
  }

  controls() {
    const speeds = SPEEDS.map((v) => h("option", { value: v, selected: v === this.speed }, `${v} x`));
    this.slider = h("input", {
      type: "range",
      min: 0,
      max: this.run.end_s,
      step: "any",
      value: this.now,
      "aria-label": "time",
      oninput: (event) => this.go(Number(event.target.value)),
    });
    this.clock = h("output", {});
    this.list = h("div", {});
    this.play = button("Play", () => this.toggle());
    byId("replay").replaceChildren(
      h(
        "div",
        { class: "bar" },
        this.play,
        this.slider,
        this.clock,
        h("label", {}, "speed ", h("select", { onchange: (e) => (this.speed = Number(e.target.value)) }, speeds)),
        button("Let the chosen server fail now", () => this.on.failChosen()),
        button("End the replay", () => this.leave()),
      ),
      h("p", { class: "note" }, "Bars below a server: sessions that stand in line or are served there, and cache in use. A dot goes once along its chain for the prompt and once for every token."),
      this.list,
    );
    this.play.focus();
  }

  toggle() {
    this.playing = !this.playing;
    this.play.textContent = this.playing ? "Pause" : "Play";
    if (this.playing) {
      if (this.now >= this.run.end_s) this.now = 0;
      let last = performance.now();
      const step = (time) => {
        if (!this.playing || !this.run) return;
        this.go(Math.min(this.run.end_s, this.now + (this.speed * (time - last)) / 1000));
        last = time;
        if (this.now < this.run.end_s) requestAnimationFrame(step);
        else this.toggle();
      };
      requestAnimationFrame(step);
    }
  }

  go(time) {
    this.now = time;
    this.slider.value = time;
    this.draw();
  }

  draw() {
    const { run, now } = this;
    if (!run) return;
    this.slider.max = run.end_s;
    const here = new Map(run.servers.map((id) => [id, 0]));
    const dots = [];
    let waiting = 0;
    for (const session of run.sessions) {
      if (session.arrival_s > now) break;
      if ((session.finish_s ?? run.end_s) < now || session.status === "rejected") continue;
      if (session.start_s === null || session.start_s > now) {
        waiting += 1;
        continue;
      }
      const chain = chainAt(session, now).map((row) => run.servers[row]);
      for (const id of chain) here.set(id, here.get(id) + 1);
      if (dots.length < MOST_DOTS) dots.push(this.dot(session, chain));
    }
    const cache = this.cacheNow();
    const downs = downAt(run.events, now);
    const most = Math.max(4, ...here.values());
    this.map.bars(
      run.servers.map((id, row) => ({
        id,
        queue: here.get(id) / most,
        cache: cache[row] / 100,
        down: downs.has(id),
      })),
    );
    this.map.travellers(dots.filter(Boolean));
    this.tell(here, cache, downs, waiting);
  }

  cacheNow() {
    const { times_s: times, percent: rows } = this.run.cache;
    let [low, high] = [0, times.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= this.now) low = middle;
      else high = middle;
    }
    return rows[low] ?? this.run.servers.map(() => 0);
  }

  dot(session, chain) {
    const { now } = this;
    const client = this.run.clients[session.client];
    const first = session.first_s ?? Infinity;
    let part = (now - session.start_s) / (first - session.start_s);
    if (now >= first) {
      const token = ((session.finish_s ?? first) - first) / Math.max(1, session.tokens - 1);
      part = token > 0 ? ((now - first) / token) % 1 : 1;
    }
    const stops = [this.map.spot("client", client), ...chain.map((id) => this.map.spot("server", id))];
    const way = this.map.path(stops.filter(Boolean));
    if (!way.length) return null;
    const at = way[Math.min(way.length - 1, Math.floor((part || 0) * way.length))];
    return { ...at, series: session.client };
  }

  tell(here, cache, downs, waiting) {
    this.clock.textContent = `${number(this.now)} s, ${waiting} waiting`;
    const rows = this.run.servers
      .map((id, row) => [id, here.get(id), cache[row], downs.has(id)])
      .sort((a, b) => b[1] - a[1])
      .slice(0, 8)
      .map(([id, count, used, down]) => [id, String(count), percent(used / 100), down ? "down" : "up"]);
    const failed = this.failures.map(([at, id], i) =>
      h("li", {}, `${id} fails at ${number(at)} s `, button("take back", () => {
        this.failures = this.failures.filter((_, k) => k !== i);
        this.load();
      }, { class: "small" })),
    );
    this.list.replaceChildren(
      table("Fullest servers at this time", ["server", "sessions", "cache", "state"], rows),
      failed.length ? h("ul", {}, failed) : "",
    );
  }
}

function chainAt(session, now) {
  let servers = [];
  for (const [since, chain] of session.legs) {
    if (since <= now || !servers.length) servers = chain;
  }
  return servers;
}

function downAt(events, now) {
  const down = new Set();
  const seen = new Set();
  for (const event of events) {
    if (event.up && !seen.has(event.server)) down.add(event.server);
    seen.add(event.server);
  }
  for (const event of events) {
    if (event.time_s > now) break;
    if (event.up) down.delete(event.server);
    else down.add(event.server);
  }
  return down;
}
