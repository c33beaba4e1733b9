// The pages of mozart_nb in JupyterLab: a tile in the launcher, a command in the palette, pages in a tab.
//
// Written by hand in the form that JupyterLab loads prebuilt extensions in: a container of webpack's module federation
// with `init` and `get`. Everything that is used of JupyterLab comes out of the scope that Lab shares, so there is
// nothing to build and nothing to bundle.
(() => {
  "use strict";

  const NAME = "mozart-nb";
  const COMMAND = "mozart:open";
  const ICON =
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="16">' +
    '<rect x="2.5" y="2.5" width="8.5" height="8.5" rx="2" fill="#2e8b57"/>' +
    '<rect x="13" y="2.5" width="8.5" height="8.5" rx="2" fill="#1c7ed6"/>' +
    '<rect x="2.5" y="13" width="8.5" height="8.5" rx="2" fill="#d9920a"/>' +
    '<rect x="13" y="13" width="8.5" height="8.5" rx="2" fill="#98a2ad"/></svg>';

  let scope = null;

  // A module that Lab shares; undefined where this front end has none of that name (Notebook 7 has no launcher).
  async function shared(name) {
    const versions = Object.values(scope[name] || {});
    const chosen = versions.find((one) => one.loaded) || versions[0];
    return chosen && (await chosen.get())();
  }

  async function extension() {
    const [application, apputils, coreutils, launcher, ui] = await Promise.all(
      ["application", "apputils", "coreutils", "launcher", "ui-components"].map((one) => shared(`@jupyterlab/${one}`)),
    );
    const icon = new ui.LabIcon({ name: `${NAME}:icon`, svgstr: ICON });
    const home = coreutils.URLExt.join(coreutils.PageConfig.getBaseUrl(), "mozart");

    // Only addresses of our own pages, whoever runs the command: a path below `/mozart`.
    function addressOf(path) {
      const wanted = new URL(String(path || "").replace(/^\/+/, ""), `${home}/`);
      return wanted.href.startsWith(`${home}/`) ? wanted.href : home;
    }

    function pathOf(frame) {
      try {
        const { href } = frame.contentWindow.location;
        return href.startsWith(`${home}/`) ? href.slice(home.length) : "";
      } catch {
        return "";  // the frame shows something of another site, which is none of our business
      }
    }

    function makeTab(path, id) {
      const content = new apputils.IFrame({
        referrerPolicy: "same-origin",
        sandbox: ["allow-same-origin", "allow-scripts", "allow-forms", "allow-popups", "allow-downloads"],
      });
      content.url = addressOf(path);
      content.addClass("mozart-pages");
      const tab = new apputils.MainAreaWidget({ content });
      // A reload of Lab finds the tab's old place by its name, so it keeps it.
      tab.id = id || `mozart-${Date.now()}-${Math.random().toString(36).slice(2)}`;
      tab.path = path || "";
      tab.title.label = "Mozart";
      tab.title.caption = "Jobs of mozart_nb";
      tab.title.icon = icon;
      tab.title.closable = true;
      return tab;
    }

    // The tab is called what its page is called, and a reload of Lab comes back to the page that was open.
    function follow(tab, tracker) {
      const frame = tab.content.node.querySelector("iframe");
      frame.addEventListener("load", () => {
        tab.path = pathOf(frame);
        const page = frame.contentDocument;
        const rename = () => {
          tab.title.label = ((page && page.title) || "").replace(/ · mozart$/, "") || "Mozart";
        };
        rename();
        const title = page && page.querySelector("title");  // a live page says in its title how far it is
        if (title) new MutationObserver(rename).observe(title, { childList: true, characterData: true, subtree: true });
        void tracker.save(tab);
      });
    }

    async function isServed() {
      try {
        const answer = await fetch(home, { method: "HEAD", credentials: "same-origin" });
        return answer.status !== 404;
      } catch {
        return true;  // the page itself says best what is wrong
      }
    }

    function activate(app, palette, tiles, restorer) {
      const tracker = new apputils.WidgetTracker({ namespace: "mozart-pages" });
      const opensTabs = typeof app.shell.add === "function" && app.name === "JupyterLab";
      app.commands.addCommand(COMMAND, {
        label: (args) => (args.inPalette ? "Open the Pages of Mozart" : "Mozart"),
        caption: "Jobs of mozart_nb: watch, steer, look closer",
        icon: (args) => (args.inPalette ? undefined : icon),
        execute: async (args) => {
          if (!(await isServed())) {
            return apputils.showErrorMessage(
              "The pages of mozart_nb are not served here",
              "Its server extension is not enabled where this Jupyter Server runs. Install mozart-nb there, or run " +
                "`jupyter server extension enable mozart_nb`, and start the server again.",
            );
          }
          if (!opensTabs || args.newWindow) {
            return void window.open(addressOf(args.path), "_blank", "noopener");
          }
          const tab = makeTab(args.path, args.id);
          follow(tab, tracker);
          await tracker.add(tab);
          app.shell.add(tab, "main");
          app.shell.activateById(tab.id);
          return tab;
        },
      });
      // Links to our pages below a cell (`jupyter/dashboard/controls.py`) open here instead of in the browser.
      document.addEventListener("click", (event) => {
        const link = event.target instanceof Element && event.target.closest("a.mozart-pages-link");
        const isPlain = event.button === 0 && !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
        if (!link || !isPlain || !opensTabs || !link.href.startsWith(`${home}/`)) return;
        event.preventDefault();
        event.stopPropagation();
        void app.commands.execute(COMMAND, { path: link.href.slice(home.length) });
      }, true);
      if (palette) palette.addItem({ command: COMMAND, category: "Mozart", args: { inPalette: true } });
      if (tiles) tiles.add({ command: COMMAND, category: "Other", rank: 1 });
      if (restorer && opensTabs) {
        void restorer.restore(tracker, {
          command: COMMAND,
          name: (tab) => tab.id,
          args: (tab) => ({ path: tab.path, id: tab.id }),
        });
      }
    }

    const optional = [apputils.ICommandPalette, launcher && launcher.ILauncher, application.ILayoutRestorer];
    const present = optional.filter(Boolean);
    return {
      __esModule: true,
      default: {
        id: `${NAME}:pages`,
        description: "Opens the pages of mozart_nb.",
        autoStart: true,
        optional: present,
        activate: (app, ...given) =>
          activate(app, ...optional.map((token) => (token ? given[present.indexOf(token)] : null))),
      },
    };
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: (shareScope) => { scope = shareScope; },
    get: async (name) => {
      if (name !== "./extension") throw new Error(`${NAME} has no module ${name}`);
      const exported = await extension();
      return () => exported;
    },
  };
})();
