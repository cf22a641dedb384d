"""The page of a curation: what was kept, what was dropped and why, with pictures. It needs no other file and no network."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.curation.decide import CurationLimits
from kinema.curation.shots import DetectedShot
from kinema.media.write import write_text

MOST_SHOWN = 200
"""Shots with pictures of each kind, kept and dropped."""
STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fff}
h1,h2{font-weight:600} table{border-collapse:collapse} td,th{padding:.2rem .9rem .2rem 0;text-align:left;vertical-align:top}
td.n{text-align:right;font-variant-numeric:tabular-nums} .shots{display:grid;
grid-template-columns:repeat(auto-fill,minmax(21rem,1fr));gap:1rem}
figure{margin:0;border:1px solid #ddd;border-radius:6px;padding:.6rem}
.strip{display:flex;gap:3px;margin-bottom:.3rem} .strip img{flex:1;min-width:0;border-radius:3px}
figcaption{font-size:13px;overflow-wrap:anywhere} .why{color:#a40000;font-weight:600} .dim{color:#666}
.bar{background:#dbe7f5;height:.9rem}
.bar.drop{background:#f0cfcf}
@media (prefers-color-scheme:dark){body{color:#ddd;background:#161616}figure{border-color:#444}.why{color:#ff8d85}.dim{color:#999}
.bar{background:#2d4a6b}.bar.drop{background:#6b2d2d}}
"""


@dataclass(frozen=True, kw_only=True)
class ReportShot:
    """A shot as the page shows it. row: of the table, if it is kept. thumbnails: returns JPEG pictures in base64."""

    name: str
    shot: DetectedShot
    film: str
    reasons: tuple[str, ...]
    row: Mapping[str, Any]
    thumbnails: Callable[[], tuple[str, ...]]


def write_report(path: Path, shots: Sequence[ReportShot], errors: Mapping[str, str], limits: CurationLimits) -> Path:
    """Write the page. errors: by film, why it cannot be read."""
    retained = [shot for shot in shots if not shot.reasons]
    dropped = [shot for shot in shots if shot.reasons]
    seconds = [sum(shot.shot.duration_s for shot in some) for some in (retained, dropped)]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>Curation</title><style>{STYLE}</style><h1>Curation</h1>",
        f"<p>{len({shot.film for shot in shots}) + len(errors)} films, {len(shots)} shots: <b>{len(retained)} kept</b>"
        f" ({_length(seconds[0])}), <b>{len(dropped)} dropped</b> ({_length(seconds[1])}).</p>",
        _reasons_table(shots, errors),
        _limits_table(retained, limits),
        _section("Dropped", dropped),
        _section("Kept", retained),
    ]
    return write_text(path, "\n".join(parts), force=True)


def _length(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes} min {seconds - 60 * minutes:.0f} s" if minutes else f"{seconds:.1f} s"


def _reasons_table(shots: Sequence[ReportShot], errors: Mapping[str, str]) -> str:
    counts = Counter(reason.partition(":")[0] for shot in shots for reason in shot.reasons)
    rows = [
        ("kept", sum(not shot.reasons for shot in shots), ""),
        *((name, count, " drop") for name, count in counts.most_common()),
    ]
    most = max(count for _, count, _ in rows) if shots else 1
    bars = [
        (name, count, f"<div class='bar{kind}' style='width:{max(20 * count / max(most, 1), 0.1):.1f}rem'>")
        for name, count, kind in rows
    ]
    lines = [f"<tr><td>{html.escape(name)}<td class=n>{count}<td>{bar}</div>" for name, count, bar in bars]
    broken = "".join(
        f"<tr><td>{html.escape(name)}<td>{html.escape(error)}" for name, error in list(errors.items())[:MOST_SHOWN]
    )
    unread = f"<h2>Films that cannot be read ({len(errors)})</h2><table>{broken}</table>" if errors else ""
    return f"<h2>Why</h2><table>{''.join(lines)}</table>{unread}"


def _limits_table(retained: Sequence[ReportShot], limits: CurationLimits) -> str:
    """Each measure: its limit, and what the kept shots have."""
    what = {
        "motion": ("at least", "gray levels by which the most changing hundredth of the picture changes"),
        "shake": ("at most", "percent of the sides by which the camera jumps from frame to frame"),
        "blur": ("at most", "0 sharp to 1 blurred"),
        "text": ("at most", "share of the picture that is lines of text"),
    }
    lines = []
    for name, (which, unit) in what.items():
        values = sorted(float(getattr(shot.shot, name)) for shot in retained)
        middle = f"{values[len(values) // 2]:.2f} ({values[0]:.2f} to {values[-1]:.2f})" if values else "-"
        lines.append(f"<tr><td>{name}<td>{which} {getattr(limits, name):g}<td>{middle}<td class=dim>{unit}")
    head = "<tr><th>measure<th>limit<th>kept: median (from, to)<th>unit"
    return (
        f"<h2>Limits</h2><table>{head}{''.join(lines)}</table>"
        f"<p>Shots from {limits.shortest_s:g} s on; those longer than {limits.longest_s:g} s are cut into pieces. Pictures from"
        f" {limits.side:g} pixels on.</p>"
    )


def _section(title: str, shots: Sequence[ReportShot]) -> str:
    more = f"<p class=dim>The first {MOST_SHOWN} are shown.</p>" if len(shots) > MOST_SHOWN else ""
    return f"<h2>{title} ({len(shots)})</h2>{more}<div class=shots>{''.join(_figure(shot) for shot in shots[:MOST_SHOWN])}</div>"


def _figure(one: ReportShot) -> str:
    shot = one.shot
    pictures = "".join(f"<img alt='' src='data:image/jpeg;base64,{data}'>" for data in one.thumbnails())
    why = "".join(f"<div class=why>{html.escape(reason)}</div>" for reason in one.reasons)
    captions = "".join(
        f"<div>{html.escape(str(value))}</div>"
        for name, value in one.row.items()
        if name == "caption" or name.startswith("caption_")
    )
    bars = "" if shot.box == (0.0, 0.0, 1.0, 1.0) else "; black bars cropped"
    notes = [f"{name} {one.row[name]}" for name in ("license", "faces") if one.row.get(name) is not None]
    about = "; ".join([f"{shot.start_s:.2f} to {shot.stop_s:.2f} s{bars}", *notes])
    scores = f"motion {shot.motion:.1f}, shake {shot.shake:.2f}, blur {shot.blur:.2f}, text {shot.text:.3f}"
    return (
        f"<figure><div class=strip>{pictures}</div><figcaption>{why}"
        f"<b>{html.escape(one.name)}</b> <span class=dim>{html.escape(about)}<br>{scores}</span>"
        f"{captions}</figcaption></figure>"
    )
