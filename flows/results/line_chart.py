"""A loss curve as a small SVG picture: enough for the Prefect UI, without a plotting library in the flow."""

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 56, 36, 16
COLOURS = ("#1f4e79", "#e07b39", "#7a7a7a")

Line = Sequence[tuple[float, float]]


def svg(lines: Mapping[str, Line], x: str, y: str) -> str:
    """Draw each named line (points of x and y) on shared axes with 0 on them; colours differ in lightness too."""
    points = [point for line in lines.values() for point in line]
    right = max(a for a, _ in points) or 1.0
    low, high = min(0.0, *(b for _, b in points)), max(0.0, *(b for _, b in points))
    height = high - low or 1.0

    def place(point: tuple[float, float]) -> str:
        across = LEFT + point[0] / right * (WIDTH - LEFT - 16)
        return f"{across:.1f},{HEIGHT - BOTTOM - (point[1] - low) / height * (HEIGHT - BOTTOM - TOP):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12"><rect width="100%" height="100%" fill="#ffffff"/>'
    ]

    def text(value: str, left: float, up: float, anchor: str = "middle", more: str = "") -> str:
        return f'<text x="{left}" y="{up}" text-anchor="{anchor}" fill="#444444" {more}>{value}</text>'

    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        left, up = (float(part) for part in place((share * right, low + share * height)).split(","))
        parts.append(f'<path d="M{LEFT} {up}H{WIDTH - 16}" stroke="#dddddd"/>')
        parts.append(text(f"{low + share * height:.3g}", LEFT - 6, up + 4, "end"))
        parts.append(text(f"{share * right:.4g}", left, HEIGHT - 18))
    for index, ((name, line), colour) in enumerate(zip(lines.items(), COLOURS, strict=False)):
        path = "M" + "L".join(map(place, line))
        parts.append(f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"><title>{name}</title></path>')
        parts.append(text(f"{name} ━", WIDTH - 20, TOP + 14 + 16 * index, "end", f'style="fill:{colour}"'))
    parts.append(text(x, (WIDTH + LEFT) / 2, HEIGHT - 3))
    parts.append(text(y, 14, HEIGHT / 2, more=f'transform="rotate(-90 14 {HEIGHT / 2})"'))
    return "".join(parts) + "</svg>"
