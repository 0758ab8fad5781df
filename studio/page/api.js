// Questions to the server: with the token of the page's own address, to nobody else.

const kept = "swarmplan-studio-token";

function ownToken() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem(kept, given);
    history.replaceState(null, "", location.pathname);
  }
  return given || sessionStorage.getItem(kept) || "";
}

const token = ownToken();

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${token}`, ...options.headers };
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Error(told.error || `the server answered ${response.status}`);
}

function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body) });
}

export async function land() {
  return (await ask("land.json")).json();
}

export async function state(since) {
  return (await ask(since === undefined ? "api/state" : `api/state?since=${since}`)).json();
}

export async function act(name, value) {
  return (await post("api/act", { do: name, value })).json();
}

export async function replay(failures) {
  return (await post("api/replay", { failures })).json();
}

/** Let the browser keep a file; its name is the server's. */
export async function save(what, query = "") {
  const response = await ask(`api/save/${what}${query}`);
  const name = /filename="([^"]+)"/.exec(response.headers.get("content-disposition") || "");
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await response.blob());
  link.download = name ? name[1] : what;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
