// Keeps a page up to date: the server renders what changes, and only differences are put into the page.
// Server-sent events say when to ask; where they do not come through, the page asks every few seconds.
import { morph } from "./morph.js";
import { startTicking, tick } from "./tick.js";

const LEAST_MS = 2000; // between two requests, however much happens
const SOON_MS = 300; // what happens rarely comes alone: one request for a burst
const SHARE = 4; // a page that takes long to make is asked for less often

export function startLive(main) {
  return new Live(main);
}

class Live {
  constructor(main) {
    this.main = main;
    this.stream = null;
    this.timer = 0;
    this.asking = null;
    this.again = false;
    this.asked = 0;
    this.took = 0;
    this.fails = 0;
    document.addEventListener("visibilitychange", () => this.sync(true));
    watchFrame(() => this.sync(true));
    window.addEventListener("pagehide", () => this.hangUp());
    window.addEventListener("pageshow", (event) => event.persisted && this.sync(true));
    followLogs(main, new Map());
    startTicking();
    this.sync(false);
  }

  /** Listen and ask as the page wants it now. A page that nobody sees neither listens nor asks. */
  sync(isBack) {
    const { live, events } = this.main.dataset;
    if (!isSeen() || !live) {
      this.hangUp();
      if (!live) this.show("");
      return;
    }
    if (events) this.listen(events);
    else this.close();
    if (!events && !this.fails) this.show("polling");
    this.plan(isBack ? 0 : undefined);
  }

  listen(address) {
    if (this.stream && this.stream.address === address) return;
    this.close();
    const stream = new EventSource(address);
    stream.address = address;
    stream.onopen = () => this.show("live");
    stream.onerror = () => {
      if (!this.fails) this.show("polling");
      if (stream.readyState === EventSource.CLOSED && this.stream === stream) this.stream = null;
    };
    const heard = () => this.plan(SOON_MS);
    for (const name of ["message", "status", "reset", "reload", "gone"]) stream.addEventListener(name, heard);
    this.stream = stream;
  }

  /** Ask after so many milliseconds, or when it is time anyway. */
  plan(wait) {
    const usual = Number(this.main.dataset.seconds || 5) * 1000 * (this.fails ? Math.min(6, this.fails + 1) : 1);
    const isUrgent = wait !== undefined;
    if (isUrgent && this.urgent) return;
    clearTimeout(this.timer);
    this.urgent = isUrgent;
    const since = performance.now() - this.asked;
    const least = Math.max(LEAST_MS, SHARE * this.took) - since;
    this.timer = setTimeout(() => this.refresh(), Math.max(isUrgent ? wait : usual, least, 0));
  }

  async refresh() {
    clearTimeout(this.timer);
    this.urgent = false;
    if (!this.main.dataset.live) return;
    if (this.asking) { this.again = true; return; }
    await this.load(this.main.dataset.live);
    // A stream that was refused, by a server that had too much to do, is not asked for again by itself.
    if (isSeen() && this.main.dataset.events && !this.stream) this.listen(this.main.dataset.events);
    if (this.again) { this.again = false; this.plan(0); } else if (isSeen()) this.plan();
  }

  /** Put what stands at that address into the page. False when it could not be had. */
  async load(address) {
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    this.asked = performance.now();
    try {
      const response = await fetch(address, {
        credentials: "same-origin", headers: { Accept: "text/html" }, signal: asking.signal,
      });
      if (response.redirected && new URL(response.url).pathname !== new URL(address, location.href).pathname) {
        this.lost("You are signed out. Reload the page to sign in.");
        return false;
      }
      const text = await response.text();
      if (asking.signal.aborted) return false;
      this.took = performance.now() - this.asked;
      if (!response.ok) {
        this.lost(response.status === 404 ? "This job is gone." : `The server answered ${response.status}.`);
        return false;
      }
      this.put(new DOMParser().parseFromString(text, "text/html"));
      if (this.fails) { this.fails = 0; this.show(this.stream ? "live" : "polling"); }
      return true;
    } catch (error) {
      if (error.name !== "AbortError") this.lost("The server cannot be reached.");
      return false;
    } finally {
      if (this.asking === asking) this.asking = null;
    }
  }

  put(page) {
    const fresh = page.getElementById("main");
    if (!fresh) return;
    const before = statusOf(this.main);
    const logs = atTheirEnd(this.main);
    const held = document.activeElement;
    morph(this.main, fresh);
    if (held && held.id && document.activeElement !== held) document.getElementById(held.id)?.focus({ preventScroll: true });
    document.title = page.title;
    followLogs(this.main, logs);
    tick();
    const after = statusOf(this.main);
    if (before && after && before !== after) announce(`${document.querySelector("h1")?.textContent ?? ""}: ${after}`);
    this.sync(false);
  }

  lost(words) {
    this.fails += 1;
    this.show("lost", words);
  }

  show(state, words) {
    this.state = state;
    const place = document.getElementById("link-state");
    if (!place) return;
    const usual = { live: "live", polling: "up to date", lost: "not up to date", "": "" }[state ?? ""];
    const said = state === "lost" && words ? words : usual;
    place.hidden = !said;
    place.dataset.state = state ?? "";
    if (place.textContent !== said) place.textContent = said;
    place.title = { live: "Changes appear as they happen", polling: "Looked at every few seconds" }[state] ?? "";
  }

  close() {
    this.stream?.close();
    this.stream = null;
  }

  hangUp() {
    this.close();
    clearTimeout(this.timer);
    this.urgent = false;
  }
}

/** Whether anybody can see the page: a tab of JupyterLab behind another one is not hidden, but its frame is not drawn. */
function isSeen() {
  try {
    return !document.hidden && (!window.frameElement || window.frameElement.getClientRects().length > 0);
  } catch { return !document.hidden; } // another site's frame
}

/** Tell when the frame around this page comes or goes. A stream of each tab would use up the browser's connections. */
function watchFrame(tell) {
  try {
    const frame = window.frameElement;
    let wasSeen = isSeen();
    const look = () => {
      if (isSeen() === wasSeen) return;
      wasSeen = !wasSeen;
      tell();
    };
    if (frame) new window.parent.IntersectionObserver(look).observe(frame);
  } catch { /* another site's frame */ }
}

const statusOf = (main) => main.querySelector("#status")?.dataset.status ?? "";

export function announce(words) {
  const place = document.getElementById("announce");
  if (place) place.textContent = words;
}

/** Logs that show their end now, and those that are new, show their end after the change too. */
function atTheirEnd(main) {
  return new Map([...main.querySelectorAll("[data-follows]")].map((log) => [
    log, log.scrollHeight - log.scrollTop - log.clientHeight < 24,
  ]));
}

function followLogs(main, before) {
  for (const log of main.querySelectorAll("[data-follows]")) {
    if (before.get(log) ?? true) log.scrollTop = log.scrollHeight;
  }
}
