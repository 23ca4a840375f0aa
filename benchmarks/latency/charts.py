"""Charts as SVG text for a width of 340 px; colors are CSS classes of the page, which has a light and a dark theme."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH = 340
_LEFT, _RIGHT, _ROW = 104, 62, 22


@dataclass(frozen=True, kw_only=True)
class Point:
    """A point of the roofline: `intensity` in FLOP/byte; `weight` in [0, 1] sets the size, `measured` the color."""

    label: str
    intensity: float
    flops_per_second: float
    weight: float
    measured: bool = False


def bars(values: Mapping[str, float], unit: str, marked: Sequence[str] = ()) -> str:
    """Horizontal bars, one per row; those in `marked` have the second color."""
    most = max(values.values(), default=1) or 1
    span = WIDTH - _LEFT - _RIGHT
    parts = []
    for row, (label, value) in enumerate(values.items()):
        y = row * _ROW
        color = "accent" if label in marked else "main"
        parts.append(_text(_LEFT - 6, y + 15, label, "end"))
        parts.append(_bar(_LEFT, y + 4, span * value / most, color))
        parts.append(_text(_LEFT + span * value / most + 4, y + 15, f"{_number(value)} {unit}", "start", "soft"))
    return _svg("".join(parts), len(values) * _ROW + 4, "bars: " + ", ".join(values))


def histogram(samples: Sequence[float], bins: int = 30) -> str:
    """Histogram of latencies in ms with a line at the median; the slowest 1 % is in the last bin."""
    ordered = sorted(samples)
    low, high = ordered[0], max(ordered[math.ceil(0.99 * len(ordered)) - 1], ordered[0] * 1.02)
    counts = [0] * bins
    for sample in ordered:
        counts[min(int(bins * (sample - low) / (high - low)), bins - 1)] += 1
    width, height = (WIDTH - 20) / bins, 80
    parts = []
    for index, count in enumerate(counts):
        tall = height * count / max(counts)
        if count:
            parts.append(
                f'<rect x="{10 + index * width:.1f}" y="{4 + height - tall:.1f}" width="{width - 1:.1f}" '
                f'height="{tall:.1f}" class="main"/>'
            )
    median = ordered[len(ordered) // 2]
    x = min(10 + (WIDTH - 20) * (median - low) / (high - low), WIDTH - 10)
    parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height + 4}" class="median"/>')
    parts.append(_text(10, height + 20, f"{_number(low)} ms", "start", "soft"))
    if 100 < x < WIDTH - 100:  # else it would overlap the label of an end
        parts.append(_text(x, height + 20, f"median {_number(median)}", "middle", "soft"))
    parts.append(_text(WIDTH - 10, height + 20, f"{_number(high)} ms", "end", "soft"))
    return _svg("".join(parts), height + 26, f"histogram of {len(samples)} latencies")


def roofline(flops_per_second: float, bytes_per_second: float, points: Sequence[Point]) -> str:
    """Roofline of a machine, log-log: `points` are parts of a network at their bound, or networks as measured."""
    ridge = flops_per_second / bytes_per_second
    intensities = [point.intensity for point in points] + [ridge]
    speeds = [point.flops_per_second for point in points] + [flops_per_second]
    x0, x1 = math.log10(min(intensities)) - 0.3, math.log10(max(intensities)) + 0.3
    y0, y1 = math.log10(min(speeds)) - 0.3, math.log10(flops_per_second) + 0.35
    top, height, left = 8, 210, 46

    def x(intensity: float) -> float:
        return left + (WIDTH - left - 8) * (math.log10(intensity) - x0) / (x1 - x0)

    def y(speed: float) -> float:
        return top + height * (1 - (math.log10(speed) - y0) / (y1 - y0))

    foot = max(10**x0, 10**y0 / bytes_per_second)
    roof = f"{x(foot):.1f},{y(foot * bytes_per_second):.1f} {x(ridge):.1f},{y(flops_per_second):.1f}"
    parts = [f'<polyline points="{roof} {x(10**x1):.1f},{y(flops_per_second):.1f}" class="roof"/>']
    for power in range(math.ceil(y0), math.floor(y1) + 1):
        parts.append(
            f'<line x1="{left}" x2="{WIDTH - 8}" y1="{y(10**power):.1f}" y2="{y(10**power):.1f}" class="grid"/>'
        )
        parts.append(_text(left - 4, y(10**power) + 4, f"{_number(10 ** (power - 9))}", "end", "soft"))
    for power in range(math.ceil(x0), math.floor(x1) + 1):
        parts.append(_text(x(10**power), top + height + 14, _number(10**power), "middle", "soft"))
    for point in points:
        radius = 3 + 7 * math.sqrt(point.weight)
        kind = "accent" if point.measured else "dot"
        parts.append(
            f'<circle cx="{x(point.intensity):.1f}" cy="{y(point.flops_per_second):.1f}" r="{radius:.1f}" '
            f'class="{kind}"><title>{html.escape(point.label)}</title></circle>'
        )
    parts.append(_text(left, top + height + 28, "GFLOP/s over FLOP/byte, both logarithmic", "start", "soft"))
    return _svg("".join(parts), top + height + 34, "roofline")


def lines(points: Sequence[tuple[float, float]], x_unit: str, y_unit: str) -> str:
    """A line through (x, y) points with their values; both axes start at 0."""
    most_x, most_y = max(x for x, _ in points), max(y for _, y in points) or 1
    height = 110
    places = [(30 + (WIDTH - 70) * x / most_x, 18 + height * (1 - y / most_y)) for x, y in points]
    parts = [f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}" class="curve"/>']
    parts.append(f'<line x1="30" x2="{WIDTH - 30}" y1="{18 + height}" y2="{18 + height}" class="grid"/>')
    before = -math.inf
    for (x, y), (real_x, real_y) in zip(places, points, strict=True):
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="main"/>')
        if x - before > 34:  # closer labels would overlap
            parts.append(_text(x, y - 7, _number(real_y), "middle"))
            parts.append(_text(x, 18 + height + 14, _number(real_x), "middle", "soft"))
            before = x
    parts.append(_text(30, 18 + height + 29, f"{y_unit} over {x_unit}", "start", "soft"))
    return _svg("".join(parts), height + 52, f"{y_unit} over {x_unit}")


def _svg(content: str, height: float, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{html.escape(label)}" '
        f'xmlns="http://www.w3.org/2000/svg">{content}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "ink") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{html.escape(text)}</text>'


def _bar(x: float, y: float, width: float, kind: str, height: float = 14) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{height}" rx="2" class="{kind}"/>'


def _number(value: float) -> str:
    """Three significant digits: 1234, 56.7, 0.0123."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
