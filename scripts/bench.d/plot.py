"""The rows that have a peer as a bar chart (SVG): how many times better ours is, on a logarithmic axis."""

from html import escape
from math import ceil, floor, log10

LINE, LEFT, WIDTH, RIGHT, TOP = 34, 20, 560, 90, 56
COLOURS = {True: "#2a7f62", False: "#b5482f", None: "#5b7fa6"}


def svg(rows, title):
    rows = [row for row in rows if row["ratio"] and row["ratio"] > 0]
    ratios = [row["ratio"] for row in rows] + [1]
    low, high = floor(log10(min(ratios))), max(1, ceil(log10(max(ratios))))
    height = TOP + LINE * len(rows) + 30

    def x(ratio):
        return LEFT + WIDTH * (log10(ratio) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}"'
        ' font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{escape(title)}</text>',
    ]
    for power in range(low, high + 1):
        at, weight = x(10.0**power), 2 if power == 0 else 1
        parts.append(f'<line x1="{at:.1f}" y1="{TOP - 14}" x2="{at:.1f}" y2="{height - 24}" stroke="#ccc" stroke-width="{weight}"/>')
        parts.append(f'<text x="{at:.1f}" y="{height - 8}" text-anchor="middle">{10.0**power:g}x</text>')
    for number, row in enumerate(rows):
        parts += bar(row, TOP + LINE * number, x)
    return "\n".join(parts) + "\n</svg>\n"


def bar(row, y, x):
    start, end = sorted((x(1), x(row["ratio"])))
    label = f"{row['what']}, against {row['peer_name']}"
    parts = [
        f'<text x="{LEFT}" y="{y + 10}">{escape(label)}</text>',
        f'<rect x="{start:.1f}" y="{y + 14}" width="{max(1, end - start):.1f}" height="10" fill="{COLOURS[row.get("met")]}"/>',
        f'<text x="{end + 5:.1f}" y="{y + 23}">{row["ratio"]:.3g}</text>',
    ]
    if row["aim"] and not row["aim_for_ours"]:
        at = x(row["aim"])
        parts.append(f'<line x1="{at:.1f}" y1="{y + 12}" x2="{at:.1f}" y2="{y + 26}" stroke="black" stroke-width="2"/>')
    return parts
