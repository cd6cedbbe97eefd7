"""The rows as one table."""

HEADS = ["what", "ours", "peer", "ratio", "spread", "aim", "against"]


def text(rows):
    lines = [HEADS] + [cells(row) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    drawn = ["| " + " | ".join(pad(cell, width, i) for i, (cell, width) in enumerate(zip(line, widths))) + " |" for line in lines]
    drawn.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(drawn)


def pad(cell, width, column):
    return cell.rjust(width) if 1 <= column <= 4 else cell.ljust(width)


def cells(row):
    unit = row["unit"]
    has_peer = row["peer"] is not None
    low, high = (f"{value:.3g}" if has_peer else amount(value, unit) for value in row["spread"])
    return [
        row["what"],
        amount(row["ours"], unit),
        amount(row["peer"], unit) if has_peer else "",
        f"{row['ratio']:.3g}" if has_peer else "",
        f"{low} to {high}",
        aim(row),
        row["peer_name"] or "",
    ]


def aim(row):
    if row["aim"] is None:
        return ""
    wanted = amount(row["aim"], row["unit"]) if row["aim_for_ours"] else f"ratio {row['aim']:g}"
    return f"{wanted}: {'met' if row['met'] else 'missed'}"


def amount(value, unit):
    if unit in ("tasks/s", "pages/s", "B/s"):
        for size, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{value / size:.3g} {prefix}{unit}" if unit == "B/s" else f"{value / size:.3g} {prefix} {unit}"
    if unit == "B":
        return f"{value / 1e9:.3g} GB"
    if unit == "s":
        for size, prefix in ((1, ""), (1e-3, "m"), (1e-6, "u")):
            if value >= 10 * size:
                return f"{value / size:.0f} {prefix}s"
        return f"{value / 1e-9:.0f} ns"
    return f"{value:.3g} {unit}"
