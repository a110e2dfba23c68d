"""Curves as SVG, for a page that is read by day and by night.

A file is text of some kilobytes that git compares line by line, and the same results give the same
bytes. Libraries for plots do more than this needs (a scale, lines, names), and less: few name lines
at their ends, or follow the reader's choice of light and dark.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

Point = tuple[float, float]

_WIDTH, _HEIGHT = 400, 300  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 84, 40, 48  # what its axes leave free
_HEAD = 44
_NAME = 14  # the least distance of two names
# Of the lines, by day and by night. Okabe and Ito's, which colour-blind people tell apart, darker
# or lighter where they would not stand out.
_COLOURS = {
    "blue": ("#0072b2", "#4fb3ee"),
    "orange": ("#c25e00", "#f5a142"),
    "green": ("#00805f", "#3ecfa6"),
    "pink": ("#b0528c", "#e59ac5"),
    "grey": ("#6b7280", "#9ca3af"),
}
_STYLE = """
  :root { --paper: #ffffff; --ink: #1f2328; --faint: #59636e; --grid: #e4e7eb; DAY }
  @media (prefers-color-scheme: dark) {
    :root { --paper: #0d1117; --ink: #e6edf3; --faint: #9198a1; --grid: #2a313a; NIGHT }
  }
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: var(--faint) }
  .title { font-size: 15px; font-weight: 600; fill: var(--ink) }
  .panel { font-size: 13px; font-weight: 600; fill: var(--ink) }
  .grid { stroke: var(--grid) }
  .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
"""


@dataclass(frozen=True)
class Curve:
    name: str
    colour: str
    """One of `_COLOURS`."""
    points: Sequence[Point]
    is_ours: bool = False
    """Drawn bold, above the others."""


@dataclass(frozen=True)
class Panel:
    title: str
    across: str
    """What the horizontal axis shows; it is logarithmic."""
    curves: Sequence[Curve]


def drawn(title: str, panels: Sequence[Panel], *, from_zero: bool = False) -> str:
    """The panels beside each other. The vertical axis is logarithmic, or begins at zero."""
    width, height = _WIDTH * len(panels), _HEAD + _HEIGHT
    day, night = (
        " ".join(f"--{name}: {pair[number]};" for name, pair in _COLOURS.items())
        for number in (0, 1)
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE.replace('DAY', day).replace('NIGHT', night)}</style>",
        f'<rect width="{width}" height="{height}" rx="8" fill="var(--paper)"/>',
        f'<text class="title" x="16" y="28">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        lines.append(f'<g transform="translate({number * _WIDTH} {_HEAD})">')
        lines += _panel(panel, _Scales.of(panel, from_zero=from_zero))
        lines.append("</g>")
    return "\n".join([*lines, "</svg>", ""])


@dataclass(frozen=True)
class _Scales:
    across: tuple[float, float]
    up: tuple[float, float]
    from_zero: bool

    @classmethod
    def of(cls, panel: Panel, *, from_zero: bool) -> "_Scales":
        xs = [x for curve in panel.curves for x, _ in curve.points] or [1.0]
        ys = [y for curve in panel.curves for _, y in curve.points] or [1.0]
        low, high = min(ys), max(ys)
        if from_zero:
            return cls((min(xs), max(xs)), (0.0, high * 1.15), from_zero)
        return cls((min(xs), max(xs)), (low / 1.2, high * 1.2), from_zero)

    def x(self, value: float) -> float:
        low, high = map(math.log, self.across)
        share = (math.log(value) - low) / (high - low) if high > low else 0.5
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.up
        if self.from_zero:
            share = (value - low) / (high - low)
        else:
            share = math.log(value / low) / math.log(high / low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def steps(self) -> list[float]:
        """Round numbers to draw lines at: some four to eight."""
        low, high = self.up
        if self.from_zero:
            step = _round(high / 4)
            return [step * number for number in range(int(high / step) + 1)]
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for digits in ((1, 2, 5), (1, 3), (1,)):
            steps = [digit * 10.0**power for power in powers for digit in digits]
            if len(inside := [step for step in steps if low <= step <= high]) <= 8:  # noqa: PLR2004
                break
        return inside


def _round(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value)


def _panel(panel: Panel, scales: _Scales) -> Iterator[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    yield f'<text class="panel" x="{_LEFT}" y="{_TOP - 18}">{escape(panel.title)}</text>'
    if not panel.curves:
        yield _text((_LEFT + right) / 2, (_TOP + bottom) / 2, "not measured in this run", "middle")
        return
    for step in scales.steps():
        y = scales.y(step)
        yield f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 8, y + 4, _short(step), "end")
    for value in sorted({x for curve in panel.curves for x, _ in curve.points}):
        yield _text(scales.x(value), bottom + 18, _short(value), "middle")
    yield _text((_LEFT + right) / 2, bottom + 36, panel.across, "middle")
    in_order = sorted(panel.curves, key=lambda curve: curve.is_ours)
    for curve in in_order:
        yield from _curve(curve, scales)
    yield from _names(in_order, scales)


def _curve(curve: Curve, scales: _Scales) -> Iterator[str]:
    places = [(scales.x(x), scales.y(y)) for x, y in curve.points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    width = ' style="stroke-width: 3.5"' if curve.is_ours else ""
    yield f'<polyline class="line" stroke="var(--{curve.colour})"{width} points="{line}"/>'
    radius = 4 if curve.is_ours else 3
    for (x, y), (across, up) in zip(places, curve.points, strict=True):
        said = f"{escape(curve.name)}, {_short(across)}: {up:,.4g}"
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" fill="var(--{curve.colour})">'
            f"<title>{said}</title></circle>"
        )


def _names(curves: Sequence[Curve], scales: _Scales) -> Iterator[str]:
    """At the ends of the lines, moved apart where they would lie on each other."""
    ends = sorted((scales.y(curve.points[-1][1]), curve.name) for curve in curves if curve.points)
    of = {curve.name: curve for curve in curves}
    free = float(_TOP)
    placed = []
    for y, name in ends:
        free = max(y, free)
        placed.append((free, name))
        free += _NAME
    # Those that were moved below the axis move up again, and push the others before them.
    limit = float(_HEIGHT - _BOTTOM)
    for y, name in reversed(placed):
        at = min(y, limit)
        limit = at - _NAME
        curve = of[name]
        weight = "700" if curve.is_ours else "500"
        style = f"fill: var(--{curve.colour}); font-weight: {weight}"
        x = _WIDTH - _RIGHT + 10
        yield f'<text x="{x}" y="{at + 4:.1f}" style="{style}">{escape(name)}</text>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:.3g}"
