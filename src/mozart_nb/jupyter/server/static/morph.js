// Makes one tree like another by changing only what differs, so that focus, selection, scrolling, unfolded parts and
// whatever somebody is typing stay as they are.

const KEEPS = "data-kept"; // an element whose inside belongs to scripts

export function morph(from, to) {
  syncAttributes(from, to);
  if (from.hasAttribute(KEEPS) || from.tagName === "TEXTAREA") return;
  syncChildren(from, to);
}

function syncAttributes(from, to) {
  const isHeld = from === document.activeElement;
  const mine = (name) => (name === "open" && from.tagName === "DETAILS") || name === "data-touched";
  for (const { name, value } of to.attributes) {
    if (mine(name) || from.getAttribute(name) === value) continue;
    from.setAttribute(name, value);
    if (name === "value" && !isHeld && !from.hasAttribute("data-touched")) from.value = value;
  }
  for (const { name } of [...from.attributes]) {
    if (!mine(name) && !to.hasAttribute(name)) from.removeAttribute(name);
  }
}

function syncChildren(from, to) {
  const wanted = new Set([...to.children].map((one) => one.id).filter(Boolean));
  const known = new Map([...from.children].filter((one) => one.id).map((one) => [one.id, one]));
  let place = from.firstChild;
  for (const target of [...to.childNodes]) {
    let node = target.id ? known.get(target.id) : undefined;
    if (node && node.nodeName !== target.nodeName) node = undefined;
    if (!node && !target.id) {
      // What has a name and is wanted further down is passed by, not overwritten.
      while (place && place.id && wanted.has(place.id) && !alike(place, target)) break;
      if (place && alike(place, target)) node = place;
    }
    if (!node) {
      from.insertBefore(document.importNode(target, true), place);
      continue;
    }
    if (node === place) place = place.nextSibling;
    else from.insertBefore(node, place);
    if (node.nodeType === Node.ELEMENT_NODE) morph(node, target);
    else if (node.data !== target.data) node.data = target.data;
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function alike(one, other) {
  return one.nodeType === other.nodeType && one.nodeName === other.nodeName && !one.id && !other.id;
}
