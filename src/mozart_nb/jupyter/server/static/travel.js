// Going to another part or moment of the same page changes only what differs: pagers, filters, marks, the time slider.
const DRAG_MS = 120;

export function watchTime(live) {
  let timer = 0;
  const go = async (address, { keep = "push" } = {}) => {
    const target = new URL(address, location.href);
    const part = new URL(target);
    part.searchParams.set("fragment", "1");
    part.hash = "";
    if (keep === "push") history.pushState(null, "", target);
    else if (keep === "replace") history.replaceState(null, "", target);
    if (!(await live.load(part.href)) && keep === "push" && live.state === "lost") location.assign(target);
  };

  document.addEventListener("input", (event) => {
    const slider = event.target.closest("#travel input[type=range]");
    if (!slider) return;
    clearTimeout(timer);
    timer = setTimeout(() => go(address(slider.form), { keep: "replace" }), DRAG_MS);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "get" || !isHere(form.action)) return;
    event.preventDefault();
    go(address(form));
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("main a[href]");
    if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.target || !isHere(link.href)) return;
    event.preventDefault();
    go(link.href);
  });
  window.addEventListener("popstate", () => go(location.href, { keep: "" }));
}

const isHere = (href) => {
  const target = new URL(href, location.href);
  return target.origin === location.origin && target.pathname === location.pathname;
};

/** What the form asks for, without what is empty; the right end of the slider is now. */
function address(form) {
  const target = new URL(form.action, location.href);
  target.search = "";
  for (const [name, value] of new FormData(form)) {
    const field = form.elements[name];
    const isNow = field?.type === "range" && value === field.max;
    if (value && !isNow) target.searchParams.append(name, value);
  }
  return target.href;
}
