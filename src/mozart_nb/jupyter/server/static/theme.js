// Light or dark, before anything is drawn: as chosen here, else as the JupyterLab around this page, else as the system.
(() => {
  const root = document.documentElement;
  root.classList.add("has-script");
  const KEY = "mozart-theme";
  const stored = () => { try { return localStorage.getItem(KEY); } catch { return null; } };

  function around() {
    try {
      const light = window.parent === window ? undefined : window.parent.document.body.dataset.jpThemeLight;
      return light === undefined ? "" : light === "true" ? "light" : "dark";
    } catch { return ""; }  // another site's frame
  }

  function apply() {
    const theme = stored() || around();
    if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
  }

  function choose(theme) {
    try { theme ? localStorage.setItem(KEY, theme) : localStorage.removeItem(KEY); } catch { /* private window */ }
    apply();
  }

  window.mozartTheme = { chosen: () => stored() || "", choose };
  apply();
  window.addEventListener("storage", (event) => { if (event.key === KEY) apply(); });
  if (window.parent !== window) {
    try {
      new MutationObserver(apply).observe(window.parent.document.body, { attributeFilter: ["data-jp-theme-light"] });
    } catch { /* another site's frame */ }
  }
})();
