// The map of batches: the pointer names a cell, a click opens its batch. The field beside it does the same by keyboard.
export function watchMap() {
  document.addEventListener("mousemove", (event) => {
    const map = event.target.closest("#map");
    const place = document.getElementById("under-pointer");
    if (!place) return;
    const found = map ? batchUnder(map, event) : null;
    const words = !found ? "" : found.first === found.last ? `batch ${found.first}` : `batches ${found.first}–${found.last}`;
    if (place.textContent !== words) place.textContent = words;
  });
  document.addEventListener("click", (event) => {
    const map = event.target.closest("#map");
    const found = map && batchUnder(map, event);
    if (found) location.assign(`${map.dataset.batchHref}/${found.first}`);
  });
}

function batchUnder(map, event) {
  const { total, columns, rows, perCell } = map.dataset;
  const box = map.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * Number(columns));
  const y = Math.floor(((event.clientY - box.top) / box.height) * Number(rows));
  if (x < 0 || x >= Number(columns) || y < 0) return null;
  const first = (y * Number(columns) + x) * Number(perCell) + 1;
  if (first > Number(total)) return null;
  return { first, last: Math.min(Number(total), first + Number(perCell) - 1) };
}
