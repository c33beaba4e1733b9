"""Colours, symbols and the style sheet.

Every colour comes through JupyterLab's CSS variables where there are any, so that light and dark both work; elsewhere
(exported HTML) the reader's own preference decides. Status colours stand out from white and from JupyterLab's dark
background alike (at least 3 : 1, WCAG 1.4.11) and differ for people who do not see red and green apart; a symbol and a
word always stand beside them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Look:
    """How a status is shown. `colour` as `#rrggbb`."""

    symbol: str
    colour: str


LOOKS: Final[dict[str, Look]] = {
    "completed": Look("✓", "#1f9470"),
    "running": Look("▸", "#2f7fe6"),
    "waiting": Look("◔", "#b07c10"),
    "failed": Look("✕", "#dc4a2d"),
    "blocked": Look("⊘", "#c2588a"),
    "cancelled": Look("■", "#8d6fd1"),
    "skipped": Look("↷", "#7d8590"),
    "pending": Look("○", "#7d8590"),
    "pausing": Look("‖", "#b07c10"),
    "paused": Look("‖", "#b07c10"),
    "interrupted": Look("↯", "#b07c10"),
}
"""Status of a job or a batch → its look."""

_BAR_STATUSES: Final = frozenset({"completed", "running", "waiting", "failed", "skipped"})
_NO_FORMULAS: Final = "mathjax_ignore tex2jax_ignore"
_OTHER: Final = Look("·", "#7d8590")


def look_of(status: str) -> Look:
    """The look of a status; one of a newer version is grey."""
    return LOOKS.get(status, _OTHER)


def mark(status: str) -> str:
    """The symbol of a status as HTML; its word must stand beside it. The colour survives a sanitiser."""
    look = look_of(status)
    return f"<b style=color:{look.colour} aria-hidden=true>{look.symbol}</b>"


def framed(html: str, kind: str) -> str:
    """`html` as one piece of a display, to which the style sheet applies.

    Notebooks look for formulas in HTML: `$1 of $5` would become one. The two classes forbid it, to MathJax 3 and 2.
    """
    return f'<div class="mozart-look {_NO_FORMULAS}" lang="en"><div class="mozart-{kind}">{html}</div></div>'


def _colours(paper: str, ink: str, faint: str, rule: str, tint: str) -> str:
    return f"--mozart-paper:{paper};--mozart-ink:{ink};--mozart-faint:{faint};--mozart-rule:{rule};--mozart-tint:{tint}"


_LIGHT: Final = _colours("#ffffff", "#1f2328", "#59636e", "#d8dee4", "#f3f5f7")
_DARK: Final = _colours("#16181c", "#e3e6ea", "#9aa4af", "#363c44", "#20242a")

_BARS: Final = "\n".join(
    f".mozart-{status}{{background:{look.colour}}}" for status, look in LOOKS.items() if status in _BAR_STATUSES
)
_TINTS: Final = "\n".join(f".mozart-is-{status}{{--mozart-hue:{look.colour}}}" for status, look in LOOKS.items())

_ROOT: Final = f"""\
.mozart-look{{{_LIGHT};
--mozart-bg:var(--jp-layout-color0,var(--vscode-editor-background,var(--mozart-paper)));
--mozart-fg:var(--jp-content-font-color1,var(--vscode-editor-foreground,var(--mozart-ink)));
--mozart-mono:var(--jp-code-font-family,ui-monospace,SFMono-Regular,Menlo,Consolas,monospace);
--mozart-sans:var(--jp-ui-font-family,system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif);
--mozart-hue:#7d8590;
color:var(--mozart-fg);background:var(--mozart-bg);font:13px/1.45 var(--mozart-sans);
font-variant-numeric:tabular-nums;text-align:left;max-width:1040px}}
@media (prefers-color-scheme:dark){{.mozart-look{{{_DARK}}}}}
[data-jp-theme-light="true"] .mozart-look,.vscode-light .mozart-look{{{_LIGHT}}}
[data-jp-theme-light="false"] .mozart-look,.vscode-dark .mozart-look{{{_DARK}}}
@media (prefers-reduced-motion:reduce){{.mozart-bar i{{transition:none!important}}}}
@media (min-width:1250px){{.mozart-map{{image-rendering:pixelated}}}}
.mozart-unseen.mozart-look{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}
"""

# One rule per line that begins with a selector; each gets `div.mozart-look` before it, to outrank the notebook's own.
_RULES: Final = """\
p,ul{margin:0;padding:0}
small,time{color:var(--mozart-faint)}
pre,code{font-family:var(--mozart-mono);font-size:12px}
.mozart-head{display:flex;flex-direction:column;gap:7px;padding:2px 0 6px}
.mozart-title{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 10px}
.mozart-name{font-size:15px;font-weight:600;overflow-wrap:anywhere}
.mozart-share{margin-left:auto}
.mozart-badge{display:inline-block;padding:0 9px 0 7px;border-radius:10px;white-space:nowrap;
border:1px solid var(--mozart-hue);background:color-mix(in srgb,var(--mozart-hue) 13%,transparent)}
.mozart-bar{display:flex;height:8px;border-radius:4px;overflow:hidden;background:var(--mozart-rule)}
.mozart-bar i{flex:none;min-width:3px;transition:width .4s}
.mozart-counts{display:flex;flex-wrap:wrap;gap:0 14px}
.mozart-facts{display:flex;flex-wrap:wrap;gap:4px 26px;margin:2px 0}
.mozart-facts i,.mozart-counts i{display:none}
.mozart-facts small{display:block;font-size:11px;line-height:1.2}
.mozart-facts b{font-weight:500}
.mozart-note{padding:1px 0 1px 9px;border-left:3px solid var(--mozart-hue);overflow-wrap:anywhere}
.mozart-note em{color:var(--mozart-faint);font-style:normal}
.mozart-now{list-style:none;display:grid;gap:1px;align-content:start}
.mozart-now li{display:flex;gap:9px;height:19px;white-space:nowrap;overflow:hidden;margin:0}
.mozart-now b{color:var(--mozart-fg);font-weight:500;min-width:3.2em}
.mozart-now time{min-width:4em;text-align:right}
.mozart-now bdi{overflow:hidden;text-overflow:ellipsis;color:var(--mozart-faint)}
.mozart-map{display:block;margin:2px 0 6px}
.mozart-table{display:table;width:100%;border-collapse:collapse;border:0;margin:0;font-size:12px;table-layout:auto}
.mozart-table caption{text-align:left;color:var(--mozart-faint);padding:0 0 3px;caption-side:top}
.mozart-table th,.mozart-table td{padding:2px 8px;text-align:left;white-space:nowrap;vertical-align:baseline;
border:0;border-bottom:1px solid var(--mozart-rule);background:none;color:inherit;max-width:none}
.mozart-table thead th{color:var(--mozart-faint);font-weight:400;border-bottom-color:var(--mozart-faint)}
.mozart-table th[scope=row]{font-weight:500}
.mozart-table tr>:nth-child(-n+2),.mozart-table tr>:nth-child(n+4):nth-child(-n+7){text-align:right}
.mozart-table tr>:last-child{width:99%;max-width:0;overflow:hidden;text-overflow:ellipsis;color:var(--mozart-faint)}
.mozart-table tbody tr{background:none}
.mozart-table tbody tr:hover{background:var(--mozart-tint)}
.mozart-table tr[aria-selected=true]{background:color-mix(in srgb,#2f7fe6 14%,transparent);
box-shadow:inset 3px 0 #2f7fe6}
.mozart-small{table-layout:auto;border-collapse:collapse;margin:4px 0 8px;font-size:12px;border:0;width:100%}
.mozart-small th,.mozart-small td{padding:2px 10px 2px 0;text-align:left;vertical-align:top;white-space:normal;
border:0;border-bottom:1px solid var(--mozart-rule);background:none;color:inherit;max-width:28em;
overflow-wrap:anywhere}
.mozart-small thead th{color:var(--mozart-faint);font-weight:400;overflow-wrap:normal}
.mozart-small tbody th{font-weight:500;white-space:nowrap}
.mozart-small tbody tr,.mozart-small tbody tr:hover{background:none}
details{margin:3px 0}
summary{cursor:pointer;padding:2px 0}
summary b{font-weight:500}
.mozart-details,.mozart-static{display:flow-root}
.mozart-details .mozart-note{margin:4px 0}
.mozart-text{margin:2px 0 8px;padding:7px 9px;border:1px solid var(--mozart-rule);border-radius:4px;
background:var(--mozart-tint);color:inherit;max-height:340px;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}
.mozart-log-tool,.mozart-log-tool-result,.mozart-log-system,.mozart-log-raw{color:var(--mozart-faint)}
.mozart-log-error,.mozart-log-stderr{border-left:3px solid #dc4a2d;padding-left:6px}
.mozart-steps{list-style:none;display:grid;gap:5px;margin:3px 0 8px}
.mozart-copy{padding:2px 7px;border:1px solid var(--mozart-rule);border-radius:4px;background:var(--mozart-tint);
color:inherit;overflow-wrap:anywhere;cursor:copy}
.mozart-quote{padding-left:9px;border-left:2px solid var(--mozart-rule);overflow-wrap:anywhere}
.mozart-attempts{display:flex;width:180px;align-items:center;gap:1px;margin:3px 0 0}
.mozart-attempts i{flex:none;display:block;border-radius:1px;min-width:2px}
.mozart-foot{margin-top:6px}
:focus-visible{outline:2px solid #2f7fe6;outline-offset:-1px}
"""


def _scoped(rules: str) -> str:
    """Every selector below `div.mozart-look`."""

    def scope(found: re.Match[str]) -> str:
        return ",".join(f"div.mozart-look {selector}" for selector in found[1].split(",")) + "{"

    return re.sub(r"^([^{}\n]+)\{", scope, rules, flags=re.MULTILINE)


CSS: Final = "\n".join((_ROOT.rstrip(), _scoped(_RULES + _TINTS + "\n" + _BARS)))
"""The style sheet of everything in this package; classes begin with `mozart-`."""

STYLE: Final = f"<style>{CSS}</style>"
"""The same as an element, for whoever shows HTML that brings its own clothes."""
