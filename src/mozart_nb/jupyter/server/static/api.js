// Requests to the REST API: JSON with the cookie's XSRF token, and problems as sentences.
export const root = () => document.body.dataset.mozart;

export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `the server answered ${status}`);
    this.status = status;
    this.hint = document.hint || "";
    this.mistakes = document.mistakes || [];
    this.document = document;
  }
}

function xsrf() {
  const found = document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/);
  return found ? decodeURIComponent(found[1]) : "";
}

/** What the API answers to a request with this body; a `Problem` for whatever goes wrong. */
export async function post(path, body, { signal } = {}) {
  let response;
  try {
    response = await fetch(`${root()}/api/${path}`, {
      method: "POST",
      credentials: "same-origin",
      headers: { "Content-Type": "application/json", Accept: "application/json", "X-XSRFToken": xsrf() },
      body: JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The server cannot be reached.", hint: "Is it still running?" });
  }
  const text = await response.text();
  let document = {};
  try { document = text ? JSON.parse(text) : {}; } catch { document = { detail: response.ok ? "" : text.slice(0, 300) }; }
  if (!response.ok) throw new Problem(response.status, document);
  return document;
}

/** The same as an element to show, with the hint below. */
export function problemNote(problem) {
  const note = document.createElement("div");
  note.className = "note is-failed";
  note.append(sentence(problem.message));
  if (problem.hint) {
    const hint = sentence(problem.hint);
    hint.className = "next";
    note.append(hint);
  }
  return note;
}

/** A paragraph in which what stands in backticks is code. Everything is text. */
export function sentence(text) {
  const paragraph = document.createElement("p");
  text.split(/`([^`]+)`/).forEach((piece, place) => {
    if (!piece) return;
    if (place % 2) {
      const code = document.createElement("code");
      code.className = "copy";
      code.textContent = piece;
      paragraph.append(code);
    } else {
      paragraph.append(piece);
    }
  });
  return paragraph;
}
