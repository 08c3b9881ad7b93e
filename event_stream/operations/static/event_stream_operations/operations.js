// Fetches the page again every few seconds and puts its live part into the place of the old one. Not while the tab is
// hidden, nor while somebody types or has paused it.
"use strict";
{
  const live = document.querySelector("[data-operations-live]");
  const bar = document.querySelector(".operations-refresh");
  const STOPPED = "operations-stopped";

  const start = () => {
    const toggle = bar.querySelector("[data-operations-toggle]");
    const refreshed = bar.querySelector("[data-operations-refreshed]");
    const seconds = Number(live.dataset.operationsLive);
    let underWay = false;

    const isOn = () => sessionStorage.getItem(STOPPED) === null;
    const show = () => {
      toggle.setAttribute("aria-pressed", String(isOn()));
      live.toggleAttribute("data-operations-stopped", !isOn());
    };
    const isBusy = () =>
      [...live.querySelectorAll("input:not([type=hidden]), textarea, select")].some(
        (field) =>
          field === document.activeElement ||
          (field.type === "checkbox" ? field.checked !== field.defaultChecked
            : field.tagName !== "SELECT" && field.value !== field.defaultValue),
      );

    // What a person has opened stays open, and the focus stays where it was.
    const replace = (fresh) => {
      const open = [...live.querySelectorAll("details[open][id]")].map((details) => details.id);
      const buttons = [...live.querySelectorAll("button, summary, a")];
      const focused = buttons.indexOf(document.activeElement);
      const label = focused < 0 ? null : name(buttons[focused]);
      live.replaceChildren(...fresh.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
      if (label !== null) {
        [...live.querySelectorAll("button, summary, a")].find((element) => name(element) === label)?.focus();
      }
    };
    const name = (element) => element.getAttribute("aria-label") ?? element.textContent.trim();

    const refresh = async () => {
      if (underWay || document.hidden || !isOn() || isBusy()) return;
      underWay = true;
      try {
        const answer = await fetch(location.href, { credentials: "same-origin" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("[data-operations-live]");
        if (answer.ok && fresh !== null) {
          if (!isBusy()) replace(fresh);
          refreshed.textContent = `Refreshed at ${new Date().toLocaleTimeString()}`;
        } else if (answer.ok) {
          // The login page: the session is over.
          location.reload();
        } else {
          refreshed.textContent = `Not refreshed: the server answered ${answer.status}`;
        }
      } catch {
        refreshed.textContent = "Not refreshed: the server does not answer";
      } finally {
        underWay = false;
      }
    };

    toggle.addEventListener("click", () => {
      if (isOn()) sessionStorage.setItem(STOPPED, "");
      else sessionStorage.removeItem(STOPPED);
      show();
      refresh();
    });
    document.addEventListener("visibilitychange", refresh);
    bar.hidden = false;
    show();
    setInterval(refresh, seconds * 1000);
  };

  if (live !== null && bar !== null) start();
}
