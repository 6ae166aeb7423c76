"""The loss curves of a run as a picture, for the model's card: plain SVG. Pure."""

import math
from pathlib import Path

from training.run import Run

WIDTH, HEIGHT, EDGE = 640, 300, 44
COLOURS = {"text": "#2563eb", "audio": "#c2410c"}
LOWEST = 0.01  # nats


def write_curves(run: Run, path: Path) -> None:
    """Draw every loss over the steps, on a logarithmic scale."""
    highest = max(point[name] for point in run.history for name in COLOURS)
    decades = math.log10(highest / LOWEST)

    def place(step: float, loss: float) -> str:
        x = EDGE + step / run.steps * (WIDTH - 2 * EDGE)
        y = EDGE + math.log10(highest / max(loss, LOWEST)) / decades * (HEIGHT - 2 * EDGE)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="#fff"/>'
    ]
    for loss in (0.01, 0.1, 1.0):
        y = place(0, loss).split(",")[1]
        parts.append(f'<path d="M{EDGE},{y}H{WIDTH - EDGE}" stroke="#ddd"/>')
        parts.append(f'<text x="{EDGE - 8}" y="{y}" text-anchor="end">{loss:g}</text>')
    for number, (name, colour) in enumerate(COLOURS.items()):
        points = " ".join(place(point["step"], point[name]) for point in run.history)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
        label = f"{name}: {run.history[-1][name]:.3f} nats at the end"
        parts.append(f'<text x="{EDGE + number * 220}" y="24" fill="{colour}">{label}</text>')
    minutes = run.spent_s / 60
    parts.append(f'<text x="{EDGE}" y="{HEIGHT - 14}">{run.at} steps, {minutes:.0f} min</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n")
