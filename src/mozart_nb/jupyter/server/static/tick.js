// Running times go on between two looks at the server.
const begun = new WeakMap();

export function startTicking() {
  tick();
  setInterval(() => { if (!document.hidden) tick(); }, 1000);
}

export function tick() {
  const now = performance.now();
  for (const one of document.querySelectorAll("[data-elapsed]")) {
    const said = one.dataset.elapsed;
    let known = begun.get(one);
    if (!known || known.said !== said) {
      known = { said, at: now - Number(said) * 1000 };
      begun.set(one, known);
    }
    const text = clock((now - known.at) / 1000);
    if (one.textContent !== text) one.textContent = text;
  }
}

/** `0:07`, `12:34`, `1:02:03`, `2 d 1:02:03`: as `mozart_nb.words.clock` writes it. */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const days = Math.floor(whole / 86400), hours = Math.floor((whole % 86400) / 3600);
  const minutes = Math.floor((whole % 3600) / 60), rest = whole % 60;
  const two = (number) => String(number).padStart(2, "0");
  const text = hours || days ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
  return days ? `${days} d ${text}` : text;
}
