// Results: figures before and now, who is busiest, chains, what was changed, what can be saved.

import { button, byId, h, number, percent, show, table } from "./elements.js";

const MOST_ROWS = 12;

export function showResults(state, on) {
  showFigures(state);
  showServers(state);
  showChains(state);
  showChanges(state, on);
  showSaving(state, on);
}

function showFigures({ before, after, same }) {
  const rows = [];
  const now = new Map(after.figures.map((f) => [f.id, f]));
  const was = new Map(before.figures.map((f) => [f.id, f]));
  const compared = (title, a, b, less) =>
    rows.push(same ? [title, number(b)] : [title, number(a), number(b), signed(a, b, less)]);
  for (const [id, figure] of new Map([...was, ...now])) {
    const [a, b] = [was.get(id)?.value, now.get(id)?.value];
    compared(figure.title, a, b, figure.less);
  }
  const { carried_per_s: carried, most_per_s: most } = before;
  compared("capacity of the chains, requests/s", carried, after.carried_per_s, false);
  compared("no plan exceeds, requests/s", most, after.most_per_s, false);
  compared("load, requests/s", before.load_per_s, after.load_per_s);
  if (before.rise_percent !== null || after.rise_percent !== null) {
    compared("perplexity rises by precision, %", before.rise_percent, after.rise_percent, true);
  }
  for (const [part, seconds] of Object.entries(after.parts_s)) {
    compared(`of the response: ${part} s`, before.parts_s[part], seconds, true);
  }
  const shown = same
    ? table("Figures", ["figure", "now"], rows)
    : table("Before and now", ["figure", "before", "now", "change"], rows);
  const side = (name, s) => `${name}: ${s.error || `${s.method} with router ${s.router}${proof(s)}`}`;
  show(
    byId("figures"),
    h("h2", {}, same ? "What happens" : "Before and now"),
    shown,
    same ? null : h("p", { class: "note" }, side("before", before)),
    h("p", { class: "note" }, side("now", after)),
  );
}

function proof(side) {
  const reached = side.proof && side.proof.objective;
  if (!reached || reached.bound === null || reached.value === null) return "";
  const beyond = reached.direction === "min" ? "below" : "above";
  const [value, bound] = [number(reached.value), number(reached.bound)];
  return `; proven of the ${reached.id}: ${value} ${reached.unit}, no plan is ${beyond} ${bound}`;
}

function signed(a, b, less) {
  if (a === null || b === null || a === undefined || b === undefined || !a) return "";
  const share = (100 * (b - a)) / Math.abs(a);
  if (Math.abs(share) < 0.05) return "0 %";
  if (less === undefined) return `${share > 0 ? "+" : ""}${share.toFixed(1)} %`;
  const better = share < 0 === less;
  const text = `${share > 0 ? "+" : ""}${share.toFixed(1)} %`;
  return h("span", { class: better ? "better" : "worse" }, `${text} ${better ? "better" : "worse"}`);
}

function showServers({ before, after, same }) {
  const was = new Map(before.servers.map((r) => [r.id, r]));
  const ranked = [...after.servers].sort((a, b) => (b.share ?? 0) - (a.share ?? 0));
  const blocks = (row) => (!row ? "-" : row.end > row.start ? `${row.start}:${row.end}` : "idle");
  const old = (...cells) => (same ? [] : cells);
  const rows = ranked.map((r) => [
    r.id,
    ...old(blocks(was.get(r.id))),
    blocks(r),
    ...old(percent(was.get(r.id)?.share)),
    percent(r.share),
    r.binds.length ? `full: ${r.binds.join(", ")}` : percent(r.compute_frac),
  ]);
  const columns = same
    ? ["server", "blocks", "requests", "compute at capacity"]
    : ["server", "blocks before", "now", "requests before", "now", "compute at capacity"];
  const rest = rows.slice(MOST_ROWS);
  show(
    byId("servers"),
    h("h2", {}, "Busiest servers"),
    table("Servers by the share of requests that pass", columns, rows.slice(0, MOST_ROWS)),
    rest.length ? fold("servers-all", `${rest.length} more`, table("Further servers", columns, rest)) : null,
  );
}

const open = new Set();

/** Something folded that stays as it was left when it is drawn again. */
function fold(key, title, ...inner) {
  const toggled = (event) => (event.target.open ? open.add(key) : open.delete(key));
  const summary = h("summary", { "data-key": key }, title);
  return h("details", { open: open.has(key), ontoggle: toggled }, summary, ...inner);
}

function showChains({ before, after, same }) {
  const words = (chain) => chain.hops.map((hop) => `${hop.server}[${hop.start}:${hop.end}]`).join(" > ");
  const was = new Map(before.chains.map((c) => [c.client, words(c)]));
  const long = (text) => h("span", { class: "chain" }, text);
  const rows = after.chains.map((c) => [
    c.client,
    number(c.weight),
    ...(same ? [] : [long(was.get(c.client) ?? "-")]),
    long(words(c)),
  ]);
  const clients = new Map(before.clients.map((c) => [c.client, c]));
  const times = after.clients.map((c) => [
    c.client,
    ...(same ? [] : [number(clients.get(c.client)?.response_s)]),
    number(c.response_s),
    number(c.ttft_s),
    number(c.tpot_ms),
  ]);
  show(
    byId("chains"),
    times.length
      ? table("Clients", ["client", ...(same ? ["response s"] : ["response s before", "now"]), "TTFT s", "per token ms"], times)
      : null,
    fold("chains", "Chains", table("Most used chains", ["client", "requests", ...(same ? ["chain"] : ["before", "now"])], rows)),
  );
}

function showChanges({ changes }, on) {
  const items = changes.map((text, i) => {
    const named = { "aria-label": `take back: ${text}`, "data-key": `back-${i}`, class: "small" };
    return h("li", {}, text, " ", button("take back", () => on.act("take_back", i), named));
  });
  show(
    byId("changes"),
    h("h2", {}, "Changes"),
    items.length ? h("ol", {}, items) : h("p", { class: "note" }, "None yet: drag a server."),
  );
}

function showSaving({ after, model }, on) {
  const none = !after.method;
  const keep = (what, text, disabled) =>
    button(text, () => on.save(what), { disabled, "data-key": `save-${what}` });
  const typed = { oninput: (event) => (event.target.dataset.dirty = "yes") };
  const name = h("input", { value: model, size: 24, "data-key": "launch-model", ...typed });
  const launch = () => on.save("launch", `?model=${encodeURIComponent(name.value)}`);
  show(
    byId("save"),
    h("h2", {}, "Save"),
    h(
      "div",
      { class: "bar" },
      keep("scenario", "Scenario"),
      keep("plan", "Plan", none),
      keep("report", "Report", none),
      button("Launch files", launch, { disabled: none, "data-key": "save-launch" }),
      h("label", {}, "checkpoint ", name),
    ),
  );
}
