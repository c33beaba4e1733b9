// Everything that pages do by themselves, each part in a module of its own. Without any of it pages can still be read.
import { watchActions } from "./actions.js";
import { watchEditor } from "./editor.js";
import { startLive } from "./live.js";
import { watchMap } from "./map.js";
import { watchTheme } from "./switch.js";
import { watchTime } from "./travel.js";

const live = startLive(document.getElementById("main"));
watchTheme();
watchActions(live);
watchMap();
watchTime(live);
watchEditor();
