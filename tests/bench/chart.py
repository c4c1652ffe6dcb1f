"""Bar charts as SVG: one panel a measure, a group of bars for each number of streams."""

WIDTH, HEIGHT, LEFT, BASE, TOP = 380, 260, 10, 220, 50
COLOURS = ("#2563eb", "#9ca3af")


def bars(x0, title, groups, by):
    most = max(max(values) for values in by.values())
    step = (WIDTH - 2 * LEFT) / len(groups)
    width = step * 0.8 / len(by)
    yield f'<text x="{x0 + LEFT}" y="20" font-weight="bold">{title}</text>'
    for g, group in enumerate(groups):
        x = x0 + LEFT + g * step
        yield f'<text x="{x + step * 0.4:.0f}" y="{BASE + 16}" text-anchor="middle">{group}</text>'
        for b, values in enumerate(by.values()):
            high = (BASE - TOP) * values[g] / most
            at = x + b * width
            yield (f'<rect x="{at:.1f}" y="{BASE - high:.1f}" width="{width - 2:.1f}" '
                   f'height="{high:.1f}" fill="{COLOURS[b]}"/>')
            yield (f'<text x="{at + width / 2:.1f}" y="{BASE - high - 4:.1f}" font-size="9" '
                   f'text-anchor="middle">{values[g]:.0f}</text>')


def draw(path, groups, panels):
    """`panels`: (title, {name: a value for each group}). Groups are numbers of streams."""
    names = list(panels[0][1])
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(panels)}" '
           f'height="{HEIGHT}" font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>']
    for i, (title, by) in enumerate(panels):
        out += bars(i * WIDTH, title, groups, by)
    for i, name in enumerate(names):
        x = LEFT + i * 130
        out.append(f'<rect x="{x}" y="30" width="10" height="10" fill="{COLOURS[i]}"/>'
                   f'<text x="{x + 15}" y="39">{name}</text>')
    out.append(f'<text x="{LEFT}" y="{HEIGHT - 6}">streams at once</text></svg>')
    path.write_text("\n".join(out) + "\n")
