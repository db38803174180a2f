// Keeps the page up to date: when the journal has grown, the page is fetched
// again and its content put in place of the old, with what was unfolded left so.
"use strict";
const main = () => document.querySelector("main");
let fetching = false, again = false;

async function refresh() {
  if (document.hidden || main().contains(document.activeElement) && document.activeElement.matches("input, select") || String(getSelection())) {
    again = true;
    return;
  }
  if (fetching) { again = true; return; }
  fetching = true;
  again = false;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store" });
    if (answer.redirected) { location.reload(); return; }
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of main().querySelectorAll("details[id]")) {
      fresh.getElementById(old.id)?.toggleAttribute("open", old.open);
    }
    const focused = document.activeElement?.id;
    main().replaceWith(fresh.querySelector("main"));
    document.querySelector("#state")?.replaceWith(fresh.querySelector("#state"));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  } finally {
    fetching = false;
  }
}

if (document.body.dataset.live) {
  const source = new EventSource("/live");
  source.onmessage = refresh;
  let polling = 0;
  source.onerror = () => { if (source.readyState === EventSource.CLOSED && !polling) polling = setInterval(refresh, 10000); };
  setInterval(() => { if (again) refresh(); }, 2000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && again) refresh(); });
}
