// The page for a new job: what is written is checked while it is written, rehearsed on request, and started.
import { agrees } from "./actions.js";
import { post, problemNote, root, sentence } from "./api.js";

const PAUSE_MS = 450; // after the last key
const DRAFT = "mozart-draft";
const LOOK = { error: ["failed", "✕"], warning: ["waiting", "◔"], info: ["running", "▸"] };
const NOUN = { info: "note" };
const CAN_START_OVER = ["JobChangedError", "PlanMismatchError"];

export function watchEditor() {
  const form = document.getElementById("editor");
  if (form) new Editor(form);
}

class Editor {
  constructor(form) {
    this.form = form;
    this.field = document.getElementById("yaml");
    this.verdict = document.getElementById("verdict");
    this.findings = document.getElementById("findings");
    this.rehearsal = document.getElementById("rehearsal");
    this.said = document.getElementById("said");
    this.timer = 0;
    this.checking = null;
    this.restore();
    this.field.addEventListener("input", () => this.changed());
    this.field.addEventListener("keydown", (event) => this.key(event));
    for (const name of ["folder", "limit"]) document.getElementById(name).addEventListener("change", () => this.changed());
    form.addEventListener("submit", (event) => { event.preventDefault(); this.start(false); });
    document.getElementById("check").addEventListener("click", () => this.check());
    document.getElementById("rehearse").addEventListener("click", () => this.rehearse());
    this.findings.addEventListener("click", (event) => {
      const line = event.target.closest("[data-line]")?.dataset.line;
      if (line) this.go(Number(line));
    });
    this.check();
  }

  get body() {
    return { config: this.field.value, folder: document.getElementById("folder").value.trim() };
  }

  get limit() {
    return Math.max(0, Number(document.getElementById("limit").value) || 0);
  }

  restore() {
    try {
      const draft = sessionStorage.getItem(DRAFT);
      if (draft) this.field.value = draft;
    } catch { /* private window */ }
  }

  changed() {
    try { sessionStorage.setItem(DRAFT, this.field.value); } catch { /* private window */ }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), PAUSE_MS);
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.check();
    } else if (event.key === "Enter" && !event.shiftKey && !event.altKey && !event.isComposing) {
      const before = this.field.value.slice(0, this.field.selectionStart);
      const line = before.slice(before.lastIndexOf("\n") + 1);
      const deeper = /[:|>]\s*$/.test(line) ? "  " : "";
      const indent = line.match(/^ */)[0] + deeper;
      if (!indent) return;
      event.preventDefault();
      document.execCommand("insertText", false, `\n${indent}`); // the only way that can be undone
    }
  }

  async check() {
    clearTimeout(this.timer);
    this.checking?.abort();
    const checking = (this.checking = new AbortController());
    if (!this.field.value.trim()) {
      this.tell("Nothing to check yet", []);
      return false;
    }
    try {
      const found = await post("validate", this.body, { signal: checking.signal });
      this.tell(verdictOf(found), found.issues, found.valid ? "completed" : "failed");
      return found.valid;
    } catch (problem) {
      if (problem.name !== "AbortError") this.tellProblem(problem);
      return false;
    }
  }

  tell(words, issues, status = "") {
    const mark = status ? markOf(status, status === "completed" ? "✓" : "✕") : "";
    this.verdict.replaceChildren(mark, mark ? " " : "", words);
    this.field.setAttribute("aria-invalid", String(status === "failed"));
    this.findings.replaceChildren(...issues.slice(0, 30).map(issueNote));
    if (issues.length > 30) this.findings.append(`and ${issues.length - 30} more`);
  }

  tellProblem(problem) {
    this.verdict.textContent = "Could not be checked";
    this.findings.replaceChildren(problemNote(problem));
  }

  async rehearse() {
    this.rehearsal.replaceChildren(heading("Rehearsal"), "Working it out …");
    try {
      const found = await post("rehearse", { ...this.body, limit: this.limit });
      this.rehearsal.replaceChildren(heading("Rehearsal"), ...plan(found));
    } catch (problem) {
      this.rehearsal.replaceChildren(heading("Rehearsal"), problemNote(problem));
    }
    this.rehearsal.scrollIntoView({ block: "nearest" });
  }

  async start(fresh) {
    const button = document.getElementById("start");
    button.disabled = true;
    this.said.replaceChildren(note("running", "Starting …"));
    const body = { ...this.body, limit: this.limit, rehearse: document.getElementById("free").checked };
    try {
      const made = await post("jobs", fresh ? { ...body, fresh } : body);
      try { sessionStorage.removeItem(DRAFT); } catch { /* private window */ }
      await this.arrive(made);
    } catch (problem) {
      this.said.replaceChildren(problemNote(problem));
      if (problem.mistakes.length) await this.check();
      if (CAN_START_OVER.includes(problem.document?.error)) this.offerFresh();
    } finally {
      button.disabled = false;
    }
  }

  /** Go to the page of the job once it has one: what is queued is on disk only when its turn has come. */
  async arrive(made) {
    const address = `${root()}/jobs/${encodeURIComponent(made.key)}/run`;
    for (let tries = 0; ; tries += 1) {
      if (await exists(address)) {
        location.assign(address);
        return;
      }
      if (tries === 8) this.said.replaceChildren(note("waiting", made.said || "Accepted; it begins when its turn has come."));
      await new Promise((resolve) => setTimeout(resolve, tries < 8 ? 250 : 2000));
    }
  }

  offerFresh() {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "danger";
    button.textContent = "Start over …";
    button.addEventListener("click", async () => {
      const asks = "The job begins anew with its first batch, and pays for all of it again. What it has done so far is archived.";
      if (await agrees(asks, "Start over")) this.start(true);
    });
    this.said.append(button);
  }

  go(number) {
    const lines = this.field.value.split("\n");
    const start = lines.slice(0, number - 1).join("\n").length + (number > 1 ? 1 : 0);
    this.field.focus();
    this.field.setSelectionRange(start, start + (lines[number - 1] ?? "").length);
    const height = this.field.scrollHeight / lines.length;
    this.field.scrollTop = Math.max(0, (number - 6) * height);
  }
}

async function exists(address) {
  try {
    return (await fetch(`${address}?fragment=1`, { method: "HEAD", credentials: "same-origin" })).ok;
  } catch {
    return false;
  }
}

function verdictOf(found) {
  const many = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  const said = [];
  if (found.errors) said.push(many(found.errors, "error"));
  if (found.warnings) said.push(many(found.warnings, "warning"));
  if (!found.valid) return said.join(", ") || "It cannot run";
  const batches = found.batches == null ? "" : `, ${found.batches.toLocaleString("en")} ${found.batches === 1 ? "batch" : "batches"}`;
  return `Ready to run${batches}${said.length ? ` · ${said.join(", ")}` : ""}`;
}

function issueNote(issue) {
  const severity = issue.severity.toLowerCase();
  const [status, sign] = LOOK[severity] ?? LOOK.info;
  const box = note(status, "");
  const head = document.createElement("p");
  head.append(markOf(status, sign), ` ${NOUN[severity] ?? severity} `);
  const code = document.createElement("small");
  code.textContent = issue.code;
  head.append(code, " ");
  if (issue.line) {
    const link = document.createElement("button");
    link.type = "button";
    link.className = "goto";
    link.dataset.line = issue.line;
    link.textContent = `line ${issue.line}`;
    head.append(link);
  } else if (issue.path) {
    head.append(issue.path);
  }
  box.replaceChildren(head, sentence(issue.message));
  if (issue.suggestion) {
    const help = sentence(issue.suggestion);
    help.className = "next";
    box.append(help);
  }
  return box;
}

function plan(found) {
  const { plan: told, prompt, rules } = found;
  const facts = document.createElement("dl");
  facts.className = "facts";
  const pairs = [
    ["batches", String(told.selected?.count ?? told.total_batches)],
    ["at once", String(told.max_concurrent)],
    ["backend", told.backend],
    ["prompts", told.tokens?.all_prompts == null ? "" : `about ${told.tokens.all_prompts.toLocaleString("en")} tokens`],
    ["expected cost", told.cost_usd == null ? "unknown" : `$${told.cost_usd.toFixed(told.cost_usd > 0 && told.cost_usd < 0.1 ? 4 : 2)}`],
    ["folder", told.workspace],
  ];
  for (const [label, value] of pairs) {
    if (!value) continue;
    const pair = document.createElement("div"), term = document.createElement("dt"), what = document.createElement("dd");
    term.textContent = label;
    what.textContent = value;
    pair.append(term, what);
    facts.append(pair);
  }
  const shown = [facts];
  if (prompt) {
    const text = document.createElement("pre");
    text.className = "text";
    text.tabIndex = 0;
    text.textContent = prompt.text;
    shown.push(heading("Prompt of batch 1", "h3"), text);
  }
  if (rules?.length) {
    const list = document.createElement("ul");
    list.className = "steps";
    for (const rule of rules) {
      const item = document.createElement("li");
      item.textContent = [rule.type, rule.path, rule.description].filter(Boolean).join(" ");
      list.append(item);
    }
    shown.push(heading("Checks of its answer", "h3"), list);
  }
  return shown;
}

function heading(words, level = "h2") {
  const one = document.createElement(level);
  one.textContent = words;
  return one;
}

function note(status, words) {
  const box = document.createElement("div");
  box.className = `note is-${status}`;
  box.textContent = words;
  return box;
}

function markOf(status, sign) {
  const mark = document.createElement("span");
  mark.className = `mark is-${status}`;
  mark.setAttribute("aria-hidden", "true");
  mark.textContent = sign;
  return mark;
}
