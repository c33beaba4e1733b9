// The button for light and dark: as the system, light, dark.
const NEXT = { "": "light", light: "dark", dark: "" };
const LOOK = { "": ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

export function watchTheme() {
  const button = document.getElementById("theme");
  if (!button) return;
  const show = () => {
    const [sign, words] = LOOK[window.mozartTheme.chosen()] ?? LOOK[""];
    button.textContent = sign;
    button.title = `Colours: ${words}`;
    button.setAttribute("aria-label", `Colours: ${words}`);
  };
  button.addEventListener("click", () => {
    window.mozartTheme.choose(NEXT[window.mozartTheme.chosen()] ?? "");
    show();
  });
  show();
}
