"""The page around the sections: style, navigation, nothing that is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..scenarios.files import write_text
from .svg import tag, text

#: Colours of Okabe and Ito, darker on light ground and lighter on dark ground.
_LIGHT = ("#0072b2", "#c04a00", "#007a57", "#b0528c", "#9a6a00", "#1f7fb8", "#444444", "#7a4fb0")
_DARK = ("#6cb8ee", "#ff9a5c", "#3fd1a4", "#f0a3cf", "#f2c14e", "#9bd8ff", "#c8c8c8", "#c3a6f5")


def _rules() -> str:
    return "".join(
        f".l{i}{{stroke:var(--s{i});fill:none}}.f{i}{{fill:var(--s{i});stroke:var(--s{i})}}"
        for i in range(len(_LIGHT))
    )


def _colours(values: Sequence[str]) -> str:
    return "".join(f"--s{i}:{v};" for i, v in enumerate(values))


#: The colours of all pages, light and dark.
PALETTE = (
    ":root{color-scheme:light dark;--bg:#fff;--fg:#1b1f24;--soft:#57606a;--line:#d5dae0;"
    "--box:#f5f7f9;--sea:#eaf1f6;--land:#d3d8cf;--edge:#b3bab0;--link:#0b5394;"
    + _colours(_LIGHT)
    + "}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171b;--fg:#e8eaed;--soft:#a9b1ba;"
    "--line:#3a4149;--box:#1d2126;--sea:#182129;--land:#343b37;--edge:#4d5650;--link:#8ec7ff;"
    + _colours(_DARK)
    + "}}"
)
#: The series ``l0`` (lines), ``f0`` (areas) ... in these colours.
COLOURED = _rules()
_STYLE = (
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--fg);"
    "font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
    "main,header,footer,nav{max-width:1040px;margin:0 auto;padding:0 16px}"
    "h1{font-size:1.6rem;line-height:1.25;margin:1.2rem 0 .2rem}"
    "h2{font-size:1.25rem;margin:2.2rem 0 .4rem;padding-top:.6rem;border-top:1px solid var(--line)}"
    "h3{font-size:1.02rem;margin:1.3rem 0 .3rem}p{margin:.4rem 0;max-width:72ch}"
    "a{color:var(--link)}a:focus-visible,summary:focus-visible,.scroll:focus-visible"
    "{outline:3px solid var(--s1);outline-offset:2px}"
    ".skip{position:absolute;left:-999px}.skip:focus{left:8px;top:8px;background:var(--bg);padding:8px}"
    "nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;margin:.6rem 0}"
    ".scroll{overflow-x:auto;margin:.6rem 0}"
    "svg{display:block;width:100%;height:auto}"
    ".pair{display:flex;flex-wrap:wrap;gap:0 24px}.pair>*{flex:1 1 420px;min-width:0}"
    "svg text{font-size:12px;fill:var(--fg)}.axis{fill:var(--soft)}"
    ".grid{stroke:var(--line);stroke-width:1}.sea{fill:var(--sea)}"
    ".land{fill:var(--land);stroke:var(--edge);stroke-width:.6;vector-effect:non-scaling-stroke}"
    ".arc{opacity:.75;stroke-linejoin:round;stroke-linecap:round}"
    ".mark{stroke:var(--bg);stroke-width:1.4}.mark.idle{fill:var(--bg);stroke-width:2}"
    + "".join(f".mark.idle.f{i}{{stroke:var(--s{i})}}" for i in range(len(_LIGHT)))
    + ".client{fill:none;stroke:var(--fg);stroke-width:2}.dot{fill:var(--fg)}"
    ".lead{stroke:var(--fg);stroke-width:1}"
    "svg .count{fill:var(--bg);font-weight:700;font-size:11px;stroke:none}"
    "svg .label{paint-order:stroke;stroke:var(--sea);stroke-width:3px;stroke-linejoin:round}"
    "svg .many{font-size:11px;font-weight:700;paint-order:stroke;stroke:var(--bg);stroke-width:2px}"
    ".hole{fill:var(--bg);stroke:none}"
    "svg .who{font-weight:700}svg .inside{fill:var(--bg);font-size:11px}"
    ".line{fill:none;stroke-width:2.2}.band{stroke:none;opacity:.2}"
    ".front{fill:none;stroke:var(--fg);stroke-width:1.6;stroke-dasharray:5 3}"
    ".legend{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;list-style:none;padding:0;"
    "margin:.5rem 0;font-size:.9rem}.legend li{display:flex;align-items:center;gap:.4rem}"
    ".legend svg{width:28px;min-width:28px}.legend line{stroke-width:2.6}"
    "table{border-collapse:collapse;font-size:.88rem;min-width:40%}"
    "caption{text-align:left;font-weight:600;padding:.3rem 0}"
    "th,td{padding:.28rem .7rem .28rem 0;border-bottom:1px solid var(--line);text-align:left;"
    "vertical-align:top;font-weight:400}thead th{font-weight:600;border-bottom-width:2px}"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}"
    "details{margin:.5rem 0;background:var(--box);border-radius:6px;padding:.35rem .8rem}"
    "summary{cursor:pointer}.note{color:var(--soft);font-size:.92rem}"
    "dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem;margin:.6rem 0}"
    "dl.facts dt{color:var(--soft)}dl.facts dd{margin:0;overflow-wrap:anywhere;max-width:72ch}"
    "dd.bad{font-weight:600;color:var(--s1)}"
    "ul.plain{padding-left:1.2rem;margin:.3rem 0}footer{margin:2.5rem auto;color:var(--soft)}"
    "@media(max-width:600px){h1{font-size:1.3rem}body{font-size:15px}"
    # the whole map at once: marks and clients' names stay as large as they are on a wide screen
    ".fits .mark,.fits .client,.fits .dot{transform-box:fill-box;transform-origin:center;"
    "transform:scale(2)}.fits .label,.fits .count,.fits .many{display:none}"
    ".fits .label.who{display:inline;font-size:26px;stroke-width:6px;text-anchor:middle;"
    "transform:translateY(34px)}.fits .arc{stroke-width:3px}}"
    "@media(max-width:600px){.cards,.cards caption,.cards tbody{display:block}"
    ".cards thead,.cards td.none{display:none}"
    ".cards tr{display:flex;flex-wrap:wrap;gap:0 1rem;padding:.4rem 0;"
    "border-bottom:1px solid var(--line)}.cards th,.cards td{border:0;padding:0}"
    ".cards th{flex:1 0 100%;font-weight:600}"
    ".cards td::before{content:attr(data-label) ' ';color:var(--soft)}}"
    "@media print{nav,.skip{display:none}"
    "details::details-content{content-visibility:visible;display:block}}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the report: its anchor, its heading, its HTML."""

    name: str
    title: str
    body: str


#: Beneath a report.
FOOT = "Made by swarmplan. This file loads nothing from anywhere."


def page(
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    refresh_s: int | None = None,
    foot: str = FOOT,
) -> str:
    """The whole document.

    Parameters
    ----------
    refresh_s : it asks for itself again after so long.
    """
    links = "".join(tag("li", tag("a", text(s.title), href=f"#{s.name}")) for s in sections)
    body = "".join(
        tag(
            "section",
            tag("h2", text(s.title), id=f"{s.name}-h") + s.body,
            id=s.name,
            aria_labelledby=f"{s.name}-h",
        )
        for s in sections
    )
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
        '<link rel="icon" href="data:,">'
        + ("" if refresh_s is None else f'<meta http-equiv="refresh" content="{refresh_s}">')
        + tag("title", text(title))
        + f"<style>{PALETTE}{_STYLE}{COLOURED}</style>"
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head>'
        + head
        + "</head><body>"
        + '<a class="skip" href="#content">Skip to the content</a>'
        + tag("header", tag("h1", text(title)) + tag("p", text(lead)))
        + (tag("nav", tag("ul", links), aria_label="Sections") if links else "")
        + tag("main", body, id="content")
        + tag("footer", tag("p", text(foot)))
        + "</body></html>\n"
    )


def fragment(sections: Sequence[Section]) -> str:
    """Sections as they are shown inside another page, such as a notebook."""
    body = "".join(tag("section", tag("h3", text(s.title)) + s.body) for s in sections)
    # The page's own rules would restyle what is around; inside the box all of them may hold.
    style = f"@scope(.swarmplan){{{PALETTE.replace(':root', ':scope')}{_STYLE}{COLOURED}}}"
    return f"<style>{style}</style>" + tag("div", body, class_="swarmplan")


def write_report(path: Path, title: str, lead: str, sections: Sequence[Section]) -> None:
    """Write the report in one step.

    Raises
    ------
    ScenarioError
        If the place cannot be written to.
    """
    write_text(path, page(title, lead, sections))
