// Pages are whole without this. With it they are live: told that something changed, a page fetches itself again and
// takes over the parts that are marked `data-live`. What somebody is just typing into or has opened stays as it is.
"use strict";

const at = document.body.dataset.liveAt;
const light = document.getElementById("live");
let waiting = false;
let fetching = false;

function busy(part) {
  const focus = document.activeElement;
  const typing = part.contains(focus) && focus.matches("input, select, textarea");
  return typing || [...part.querySelectorAll("details")].some((one) => one.open) || chosen(part);
}

function chosen(part) {
  const selection = document.getSelection();
  return selection && !selection.isCollapsed && part.contains(selection.anchorNode);
}

function nameOf(element) {
  return ["href", "action", "name"].map((name) => element.getAttribute(name)).find(Boolean) || element.textContent;
}

function replace(part, fresh) {
  const focus = part.contains(document.activeElement) ? document.activeElement : null;
  const scrolled = [...part.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
  part.replaceChildren(...fresh.childNodes);
  part.querySelectorAll(".scroll").forEach((one, place) => { one.scrollLeft = scrolled[place] || 0; });
  if (focus && focus !== part) {
    const same = [...part.querySelectorAll(focus.tagName)].find((one) => nameOf(one) === nameOf(focus));
    if (same) same.focus({ preventScroll: true });
  }
}

async function refresh() {
  if (fetching || document.hidden) { waiting = true; return; }
  fetching = true;
  waiting = false;
  try {
    const answer = await fetch(location.href, { headers: { "X-Live": "1" }, redirect: "manual" });
    if (answer.type === "opaqueredirect") { location.reload(); return; }
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh && fresh.innerHTML !== part.innerHTML && !busy(part)) replace(part, fresh);
    }
  } catch { /* the next change tries again */ } finally {
    fetching = false;
    if (waiting) setTimeout(refresh, 500);
  }
}

function listen() {
  let first = true;
  const line = new EventSource(at);
  line.addEventListener("open", () => { light.hidden = false; });
  line.addEventListener("changed", () => { if (!first) refresh(); first = false; });
  line.addEventListener("error", () => {
    light.hidden = true;
    first = false; // what changed meanwhile was missed
    if (line.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  });
  addEventListener("pagehide", () => line.close());
}

document.addEventListener("visibilitychange", () => { if (!document.hidden && waiting) refresh(); });
document.addEventListener("keydown", (event) => {
  const search = document.querySelector("[data-search]");
  if (event.key === "/" && search && !event.target.matches("input, select, textarea")) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});
// Whoever presses twice means once.
document.addEventListener("submit", (event) => {
  if (event.target.dataset.sent) { event.preventDefault(); return; }
  if (event.target.method === "post") event.target.dataset.sent = "1";
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((one) => delete one.dataset.sent));

if (at) listen();
