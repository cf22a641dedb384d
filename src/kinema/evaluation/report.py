"""The report: one self-contained page with radar, table with intervals, curves and strips; and a leaderboard."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from kinema.errors import InputError
from kinema.types import parse_json

COLORS = ("#2f6fde", "#d9534f", "#3a9d5d", "#b07be0", "#e08a1e", "#5bb8c7")
STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #667; --line: #d8dce2; --paper: #fff; --card: #f6f7f9 }
@media (prefers-color-scheme: dark) {
:root { --ink: #e8eaed; --soft: #9aa3ad; --line: #3a4048; --paper: #16191d; --card: #1f2429 } }
* { box-sizing: border-box } body { margin: 0 auto; max-width: 1060px; padding: 24px 16px 64px; background: var(--paper);
color: var(--ink); font: 15px/1.5 system-ui, sans-serif } h1 { margin: 0 0 4px; font-size: 26px } h2 { margin: 40px
0 4px; font-size: 19px }
p, figcaption { color: var(--soft); margin: 2px 0 10px } table { border-collapse: collapse; width: 100%;
font-variant-numeric: tabular-nums }
th, td { text-align: left; padding: 5px 8px; border-bottom: 1px solid var(--line); vertical-align: middle } th {
color: var(--soft);
font-weight: 500 } td.n { text-align: right; white-space: nowrap } .wide { overflow-x: auto } .bar { position:
relative; height: 16px;
min-width: 150px; background: var(--card); border-radius: 3px } .bar i { position: absolute; top: 3px; bottom: 3px;
left: 0; background:
#2f6fde; border-radius: 2px } .bar b { position: absolute; top: 7px; height: 2px; background: var(--ink); opacity:
.65 } .bar u {
position: absolute; top: 0; bottom: 0; width: 2px } figure { margin: 10px 0 } img { max-width: 100%;
image-rendering: pixelated;
background: #fff; border-radius: 4px } svg text { fill: var(--ink) } .miss { color: #d9534f } details { margin: 6px 0 }
summary { cursor: pointer; color: var(--soft) } section { border-top: 1px solid var(--line); margin-top: 28px }
"""


def report(card: dict[str, Any], strips: dict[str, list[dict[str, Any]]]) -> str:
    """The page of one model."""
    name = html.escape(str(card["subject"]))
    intro = (
        "Each test is scored from 0, what needs no model, to 1, what the truth gets by the same reading. Pictures are read by a"
        " parser that knows nothing of the model. Ticks: the truth (green), the truth through the autoencoder (orange), the"
        " best baseline (red)."
    )
    parts = [
        f"<h1>Arena: {name}</h1>",
        f"<p>{html.escape(card['scale'])} run, {card['date']}, {html.escape(card['machine'])}. {intro}</p>",
        _radar([card]),
        _table(card),
        *(_section(row, strips.get(row["name"], [])) for row in card["tests"]),
    ]
    return _page(f"Arena: {name}", parts)


def board(cards: Sequence[dict[str, Any]]) -> str:
    """The leaderboard of many models: mean of the scores that all of them have, then each test."""
    if not cards:
        raise InputError("no cards for a leaderboard; name the arena.json files of finished runs")
    names = list(dict.fromkeys(row["name"] for card in cards for row in card["tests"] if _score(row) is not None))
    tables = {id(card): {row["name"]: row for row in card["tests"]} for card in cards}
    shared = [name for name in names if all(_score(tables[id(card)].get(name)) is not None for card in cards)]

    def mean(card: dict[str, Any]) -> float:
        values = [_score(tables[id(card)][name]) or 0.0 for name in shared]
        return sum(values) / len(values) if values else 0.0

    ranked = sorted(cards, key=mean, reverse=True)
    titles = {row["name"]: row["title"] for card in cards for row in card["tests"]}
    head = "".join(f"<th>{html.escape(titles[name])}</th>" for name in names)
    lines = []
    for card in ranked:
        cells = [_cell(tables[id(card)].get(name)) for name in names]
        lines.append(
            f"<tr><td>{html.escape(card['subject'])}<br><small>{card['scale']}, {card['date']}</small></td>"
            f"<td class=n>{mean(card):.2f}</td>{''.join(cells)}</tr>"
        )
    summary = f"The mean is over the {len(shared)} tests that every model here has a score in."
    table = f"<div class=wide><table><tr><th>model</th><th>mean</th>{head}</tr>{''.join(lines)}</table></div>"
    return _page("Arena: leaderboard", ["<h1>Arena: leaderboard</h1>", f"<p>{summary}</p>", _radar(ranked), table])


def read_cards(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Cards from arena.json files or the folders that hold them."""
    cards = []
    for path in paths:
        file = path / "arena.json" if path.is_dir() else path
        try:
            card = parse_json(file.read_text())
            if not isinstance(card, dict) or "tests" not in card or "subject" not in card:
                raise InputError(f"{file} is no card of an arena run; expected the arena.json that one writes")
            cards.append(card)
        except OSError:
            raise InputError(f"{file} cannot be read; expected the arena.json of a finished run, or its folder") from None
        except ValueError as error:
            raise InputError(f"{file} is no card of an arena run: {error}") from None
    return cards


def _score(row: dict[str, Any] | None) -> float | None:
    if row is None or row["state"] != "scored":
        return None
    value = row["verdict"]["score"]
    return None if value is None else float(value)


def _cell(row: dict[str, Any] | None) -> str:
    score = _score(row)
    if row is None or score is None:
        return "<td class=n>–</td>"
    aggregated = row["verdict"]
    return f"<td class=n>{score:.2f}<br><small>{aggregated['low']:.2f}–{aggregated['high']:.2f}</small></td>"


def _page(title: str, parts: Sequence[str]) -> str:
    head = "<meta charset=utf-8><meta name=viewport content='width=device-width'>"
    return (
        f"<!doctype html><html lang=en><head>{head}<title>{title}</title><style>{STYLE}</style></head><body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _radar(cards: Sequence[dict[str, Any]]) -> str:
    """Scores on spokes; a model without a score on a spoke has its corner at the center."""
    names = list(dict.fromkeys(row["name"] for card in cards for row in card["tests"] if _score(row) is not None))
    if len(names) < 3:
        return ""
    size, middle, reach = 460, 230.0, 150.0

    def point(spoke: int, value: float) -> tuple[float, float]:
        turn = 2 * math.pi * spoke / len(names) - math.pi / 2
        return middle + reach * value * math.cos(turn), middle + reach * value * math.sin(turn)

    parts = []
    for ring in (0.25, 0.5, 0.75, 1.0):
        corners = " ".join("{:.1f},{:.1f}".format(*point(i, ring)) for i in range(len(names)))
        parts.append(f"<polygon points='{corners}' fill='none' stroke='var(--line)'/>")
    for i, name in enumerate(names):
        x, y = point(i, 1.16)
        parts.append(f"<text x='{x:.1f}' y='{y + 4:.1f}' text-anchor='middle' font-size='12'>{html.escape(name)}</text>")
    for card, color in zip(cards, COLORS * len(cards), strict=False):
        scores = {row["name"]: _score(row) or 0.0 for row in card["tests"]}
        corners = " ".join("{:.1f},{:.1f}".format(*point(i, scores.get(name, 0.0))) for i, name in enumerate(names))
        parts.append(f"<polygon points='{corners}' fill='{color}' fill-opacity='.15' stroke='{color}' stroke-width='2'/>")
    keys = " ".join(
        f"<span style='color:{color}'>&#9632;</span> {html.escape(card['subject'])}"
        for card, color in zip(cards, COLORS * len(cards), strict=False)
    )
    drawing = f"<svg viewBox='0 0 {size} {size}' width='{size}' style='max-width:100%' role='img'>{''.join(parts)}</svg>"
    return f"<figure>{drawing}<figcaption>{keys}</figcaption></figure>"


def _tick(value: float | None, color: str, title: str) -> str:
    if value is None:
        return ""
    left = 100 * min(max(value, 0.0), 1.0)
    return f"<u style='left:calc({left:.1f}% - 1px);background:{color}' title='{title} {value:.2f}'></u>"


def _table(card: dict[str, Any]) -> str:
    lines = [
        "<tr><th>#</th><th>test</th><th></th><th>score</th><th>95%</th><th>truth</th><th>autoencoder</th>"
        "<th>best baseline</th></tr>"
    ]
    for row in card["tests"]:
        beside = row["beside"]
        baselines = {who: value for who, value in beside.items() if who not in ("oracle", "codec")}
        worst = max(baselines, key=lambda who: baselines[who], default=None)
        cells = [f"{beside[who]:.2f}" if who in beside else "–" for who in ("oracle", "codec")]
        cells.append("–" if worst is None else f"{worst} {baselines[worst]:.2f}")
        score = _score(row)
        if score is None:
            why = row.get("why") or "no score: see below"
            middle, shown, between = (
                f"<span class=miss>{html.escape(why)}</span>" if row["state"] != "scored" else "",
                "–",
                "",
            )
        else:
            aggregated = row["verdict"]
            low, high = aggregated["low"], aggregated["high"]
            ticks = _tick(beside.get("oracle"), "#3a9d5d", "truth") + _tick(beside.get("codec"), "#e08a1e", "autoencoder")
            ticks += _tick(baselines.get(worst) if worst else None, "#d9534f", str(worst))
            line = f"<b style='left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%'></b>"
            middle = f"<div class=bar><i style='width:{100 * score:.1f}%'></i>{line}{ticks}</div>"
            shown, between = f"{score:.2f}", f"{low:.2f}–{high:.2f}"
        rest = "".join(f"<td class=n>{cell}</td>" for cell in cells)
        lines.append(
            f"<tr><td>{row['number']}</td><td><a href='#{row['name']}'>{html.escape(row['title'])}</a></td><td>{middle}</td>"
            f"<td class=n>{shown}</td><td class=n>{between}</td>{rest}</tr>"
        )
    return f"<div class=wide><table>{''.join(lines)}</table></div>"


def _section(row: dict[str, Any], strips: Sequence[dict[str, Any]]) -> str:
    parts = [
        f"<section id='{row['name']}'><h2>{row['number']}. {html.escape(row['title'])}</h2><p>{html.escape(row['says'])}</p>"
    ]
    if row["state"] != "scored":
        return "".join([*parts, f"<p class=miss>{html.escape(row['why'])}</p></section>"])
    aggregated = row["verdict"]
    lines = []
    for metric in aggregated["metrics"]:
        between = "" if metric["low"] is None else f"{_short(metric['low'])} to {_short(metric['high'])}"
        lines.append(
            f"<tr><td>{html.escape(metric['name'])}</td><td class=n>{_short(metric['value'])} {html.escape(metric['unit'])}</td>"
            f"<td class=n>{between}</td></tr>"
        )
    parts.append(f"<div class=wide><table>{''.join(lines)}</table></div>")
    if any(len(points) > 1 for points in aggregated["curves"].values()):
        parts.append(_curves(aggregated["curves"], aggregated["axes"]))
    for one in strips:
        caption = f"{one['which']}: {one['item']}, seed {one['seed']}, {one['value']:.2f}" + (
            f", “{one['text']}”" if one["text"] else ""
        )
        parts.append(
            f"<figure><img alt='{html.escape(caption)}' src='{_inline(one['image'])}'>"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    return "".join([*parts, "</section>"])


def _short(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _curves(curves: dict[str, list[Any]], axes: Sequence[str]) -> str:
    width, height, left, low = 560, 240, 44, 34
    points = [point for line in curves.values() for point in line]
    most_x = max(point[0] for point in points) or 1.0
    most_y = max(point[1] for point in points) or 1.0
    across: Callable[[float], float] = lambda x: left + (width - left - 10) * x / most_x
    down: Callable[[float], float] = lambda y: height - low - (height - low - 12) * y / most_y
    parts = []
    for share in (0.0, 0.5, 1.0):
        y = down(most_y * share)
        parts.append(f"<line x1='{left}' x2='{width - 10}' y1='{y:.1f}' y2='{y:.1f}' stroke='var(--line)'/>")
        parts.append(f"<text x='{left - 6}' y='{y + 4:.1f}' text-anchor='end' font-size='11'>{most_y * share:.2g}</text>")
        x = across(most_x * share)
        parts.append(f"<text x='{x:.1f}' y='{height - 18}' text-anchor='middle' font-size='11'>{most_x * share:.2g}</text>")
    parts.append(f"<text x='{width / 2}' y='{height - 3}' text-anchor='middle' font-size='12'>{html.escape(axes[0])}</text>")
    keys = [html.escape(axes[1]) + ":"]
    for (name, line), color in zip(curves.items(), COLORS * len(curves), strict=False):
        path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in line)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{color}' stroke-width='2'/>")
        keys.append(f"<span style='color:{color}'>&#9632;</span> {html.escape(name)}")
    drawing = f"<svg viewBox='0 0 {width} {height}' width='{width}' style='max-width:100%' role='img'>{''.join(parts)}</svg>"
    return f"<figure>{drawing}<figcaption>{' '.join(keys)}</figcaption></figure>"


def _inline(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
