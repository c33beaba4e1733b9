// Tells whoever looks at something else that a job has settled. Called with plain data; every text is set as text.
(function (told) {
  "use strict";
  const BUTTON = "background:none;border:0;color:inherit;cursor:pointer;font:inherit;padding:0 2px";
  const heard = (window.mozartHeard = window.mozartHeard || new Set());
  if (heard.has(told.key)) return; // a job may have several dashboards, and a dashboard several views
  heard.add(told.key);

  const dashboard = document.querySelector("." + told.place);
  const place = dashboard && (dashboard.closest(".jp-Cell-outputWrapper, .output_wrapper") || dashboard);
  const isAway = () => document.hidden || !document.hasFocus();
  const whenBack = (act) => {
    const check = () => {
      if (isAway()) return;
      window.removeEventListener("focus", check);
      document.removeEventListener("visibilitychange", check);
      act();
    };
    window.addEventListener("focus", check);
    document.addEventListener("visibilitychange", check);
  };

  if (isAway()) {
    toast();
    callInTitle();
    callBySystem();
  } else if (told.seconds >= told.least && !isSeen(dashboard)) {
    toast();
  }

  // Now, not in the next frame: the dashboard is about to give way to what is kept of it.
  function isSeen(element) {
    if (!element || !element.isConnected) return false;
    const own = element.getBoundingClientRect();
    let top = Math.max(own.top, 0);
    let bottom = Math.min(own.bottom, window.innerHeight);
    for (let box = element.parentElement; box && box !== document.body; box = box.parentElement) {
      if (getComputedStyle(box).overflowY === "visible") continue;
      const edges = box.getBoundingClientRect();
      top = Math.max(top, edges.top);
      bottom = Math.min(bottom, edges.bottom);
    }
    return own.height > 0 && bottom - top >= Math.min(60, own.height / 2);
  }

  function made(tag, style, text) {
    const element = document.createElement(tag);
    element.style.cssText = style;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function rack() {
    let found = document.getElementById("mozart-toasts");
    if (!found) {
      found = made("div", "position:fixed;right:16px;bottom:36px;z-index:100000;display:flex;flex-direction:column;" +
        "gap:8px;width:340px;max-width:calc(100vw - 32px);pointer-events:none");
      found.id = "mozart-toasts";
      found.setAttribute("role", "status");
      found.setAttribute("aria-label", "jobs that have settled");
      document.body.appendChild(found);
    }
    return found;
  }

  function toast() {
    const card = made("div", "pointer-events:auto;box-sizing:border-box;padding:9px 12px;border-radius:4px;" +
      "font:13px/1.4 var(--jp-ui-font-family,system-ui,sans-serif);color:var(--jp-ui-font-color1,CanvasText);" +
      "background:var(--jp-layout-color1,Canvas);border:1px solid var(--jp-border-color1,GrayText);" +
      "border-left:4px solid " + told.colour + ";box-shadow:0 4px 14px rgba(0,0,0,.28);overflow-wrap:anywhere");
    card.className = "mozart-toast";
    const head = made("div", "display:flex;gap:8px;align-items:baseline");
    const title = made("b", "flex:1;font-weight:600", told.title);
    title.setAttribute("dir", "auto");
    const close = made("button", BUTTON, "\u2715");
    close.setAttribute("aria-label", "Dismiss");
    close.onclick = () => card.remove();
    head.append(made("span", "color:" + told.colour, told.symbol), title, close);
    card.append(head, ...told.lines.map((line) => {
      const row = made("div", "color:var(--jp-ui-font-color2,inherit)", line);
      row.setAttribute("dir", "auto");
      return row;
    }));
    if (place && place !== dashboard) {
      const show = made("button", BUTTON + ";padding:2px 0;text-decoration:underline", "Show");
      show.onclick = () => {
        const cell = place.isConnected && place.getClientRects().length ? place : null;
        if (cell) cell.scrollIntoView({ block: "center" });
        card.remove();
      };
      if (place.isConnected && place.getClientRects().length) card.append(show);
    }
    rack().appendChild(card);
    const fade = () => told.linger && window.setTimeout(() => card.remove(), told.linger * 1000);
    isAway() ? whenBack(fade) : fade();
  }

  function callInTitle() {
    const call = told.symbol + " " + told.title;
    window.mozartTitle?.stop();
    let own = document.title;
    const turn = () => {
      if (document.title !== call) own = document.title; // the page may have renamed itself meanwhile
      document.title = document.title === call ? own : call;
    };
    turn();
    const timer = window.setInterval(turn, 1500);
    const stop = () => {
      window.clearInterval(timer);
      if (document.title === call) document.title = own;
    };
    window.mozartTitle = { stop };
    whenBack(stop);
  }

  function callBySystem() {
    if (!window.Notification || Notification.permission !== "granted") return; // nobody is asked for it
    try {
      const note = new Notification(told.title, { body: told.lines.join("\n"), tag: told.key });
      note.onclick = () => window.focus();
    } catch (error) {
      // phones allow it to service workers only
    }
  }
})
