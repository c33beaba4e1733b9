// Buttons that steer a job, and answers to its questions.
import { post, problemNote, sentence } from "./api.js";

export function watchActions(live) {
  document.addEventListener("click", (event) => {
    const batch = event.target.closest("button[data-edits]")?.dataset.edits;
    if (!batch) return;
    const field = document.getElementById(`question-text-${batch}`);
    field.value = document.getElementById(`question-prompt-text-${batch}`).textContent;
    field.rows = Math.min(20, field.value.split("\n").length + 2);
    field.focus();
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-action]");
    if (!button) return;
    event.preventDefault();
    if (button.dataset.asks && !(await agrees(button.dataset.asks, button.dataset.yes))) return;
    const body = { action: button.dataset.action };
    if (button.dataset.batches) body.batches = button.dataset.batches.split(",").map(Number);
    await steer(button.closest("[data-job]").dataset.job, body, [button], live);
  });
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-answer]");
    if (!form) return;
    event.preventDefault();
    const body = { action: "answer", batches: [Number(form.dataset.batch)], reply: event.submitter.value };
    body.attempt = Number(form.dataset.attempt); // another question may be open by the time this arrives
    const text = form.elements.text.value.trim();
    if (text) body.text = text;
    await steer(form.dataset.answer, body, form.querySelectorAll("button"), live);
  });
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
  });
}

async function steer(key, body, buttons, live) {
  const said = document.getElementById("said");
  for (const button of buttons) { button.disabled = true; button.setAttribute("aria-busy", "true"); }
  try {
    const answer = await post(`jobs/${encodeURIComponent(key)}/actions`, body);
    const words = answer.said || "Asked.";
    const note = sentence(words[0].toUpperCase() + words.slice(1));
    said?.replaceChildren(note);
    setTimeout(() => { if (said?.firstChild === note) note.remove(); }, 8000);
  } catch (problem) {
    said?.replaceChildren(problemNote(problem));
  } finally {
    for (const button of buttons) { button.disabled = false; button.removeAttribute("aria-busy"); }
    live.plan(0);
    setTimeout(() => live.plan(0), 1200); // the host takes requests a few times per second
  }
}

/** Whether the person in front of the screen is sure. */
export function agrees(text, yes) {
  const dialog = document.getElementById("ask");
  document.getElementById("ask-text").textContent = text;
  document.getElementById("ask-yes").textContent = yes || "Yes";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
