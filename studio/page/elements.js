// Elements, and numbers as people read them. Text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((c) => c !== null && c !== undefined));
  return element;
}

export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function byId(id) {
  return document.getElementById(id);
}

/** Four significant digits; a dash where nothing is known. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "-";
  if (Math.abs(value) < 1e-12) return "0";
  if (Math.abs(value) >= 10 ** digits) return Math.round(value).toLocaleString("en");
  return String(Number(value.toPrecision(digits)));
}

export function percent(value) {
  return value === null || value === undefined ? "-" : `${Math.round(100 * value)} %`;
}

export function table(caption, columns, rows) {
  const head = columns.map((c, i) => h("th", { scope: "col", class: i ? "n" : "" }, c));
  const body = rows.map(([first, ...rest]) =>
    h("tr", {}, h("th", { scope: "row" }, first), rest.map((cell) => h("td", { class: "n" }, cell))),
  );
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "group", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, head)),
      h("tbody", {}, body),
    ),
  );
}

export function button(text, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

/** Replace what is in a box, unless somebody is typing there. */
export function show(box, ...children) {
  const typing = box.contains(document.activeElement) && document.activeElement.matches("input, select");
  if (typing && document.activeElement.dataset.dirty) return;
  const key = box.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  box.replaceChildren(...children.flat().filter((c) => c !== null && c !== undefined));
  if (key) [...box.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key)?.focus();
}
