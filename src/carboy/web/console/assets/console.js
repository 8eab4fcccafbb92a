"use strict";
// Times in the reader's zone with UTC at hand, copy buttons, and lists that renew themselves. All works without this.
(() => {
  const lang = document.documentElement.lang;
  const parts = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const format = new Intl.DateTimeFormat(lang, parts), withYear = new Intl.DateTimeFormat(lang, { year: "numeric", ...parts });
  const year = new Date().getFullYear();

  function localize(root) {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!isNaN(at)) { time.title = time.dateTime; time.textContent = (at.getFullYear() === year ? format : withYear).format(at); }
    }
  }

  async function renew() {
    const live = document.querySelector("[data-live]");
    const isBusy = document.hidden || (document.activeElement && document.activeElement.closest("[data-live]"))
      || new URLSearchParams(location.search).has("cursor") || String(getSelection()) || live.querySelector("details[open]");
    if (isBusy) return;
    const response = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
    if (!response.ok) return;
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.querySelector("[data-live]");
    if (!fresh) return;
    localize(fresh);
    const known = new Set([...live.querySelectorAll("tr")].map((row) => row.textContent));
    for (const row of fresh.querySelectorAll("tbody tr")) if (!known.has(row.textContent)) row.classList.add("fresh");
    live.replaceWith(fresh);
  }

  function addCopy(pre) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = pre.dataset.copy;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(pre.textContent);
      button.textContent = pre.dataset.copied;
    });
    pre.after(button);
  }

  localize(document);
  if (navigator.clipboard) document.querySelectorAll("pre[data-copy]").forEach(addCopy);
  if (document.querySelector("[data-live]")) setInterval(() => renew().catch(() => {}), 5000);
})();
