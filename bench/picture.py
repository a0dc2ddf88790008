"""The figures as a picture for README: a bar for each ratio, 1 being plain directories. An SVG of our own, which
brings its background with it, so that it reads on a light page and on a dark one whatever the viewer prefers."""
import html
import textwrap

from report import grouped, label_of, ours, ratio_text, source, theirs, title_of

WIDTH, MARGIN = 860, 18
TITLE_CHARS, LABEL_CHARS = 29, 22  # a line of bold text, of plain text, in the widest of the fonts
TITLE_X, LABEL_X, BARS_X, BARS_END, FIGURES_X = MARGIN, 242, 392, 626, 696
LINE, BAR, GAP = 19, 11, 9
LIMIT = 1.5  # a longer bar is cut, and says so

STYLE = """
    text { font: 12px -apple-system, "Segoe UI", "Noto Sans", "DejaVu Sans", Helvetica, Arial, sans-serif }
    text { fill: #1f2328 }
    .page { fill: #ffffff; stroke: #d1d9e0 }
    .title { font-weight: 600 }
    .quiet { fill: #59636e }
    .small { font-size: 11px; fill: #59636e }
    .less { fill: #1f6feb }
    .more { fill: #bc4c00 }
    .cut { stroke: #ffffff }
    .number { font-weight: 600; stroke: #ffffff; stroke-width: 4px; paint-order: stroke }
    .plain { stroke: #59636e; stroke-dasharray: 3 3 }
    .between { stroke: #d1d9e0 }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .page { fill: #0d1117; stroke: #3d444d }
      .quiet, .small { fill: #9198a1 }
      .less { fill: #4493f8 }
      .more { fill: #db6d28 }
      .cut, .number { stroke: #0d1117 }
      .plain { stroke: #9198a1 }
      .between { stroke: #3d444d }
    }"""


def shown(result):
    """The rows that have a bar."""
    return [row for row in result["rows"] if row["ratio"] is not None]


def sentence(row):
    """A row in words."""
    name = ": ".join(filter(None, (title_of(row), label_of(row))))
    note = ", " + row["note"] if row.get("note") else ""
    return "%s: %s of %s (%s, %s%s)" % (name, ratio_text(row["ratio"]), against(row), ours(row), theirs(row), note)


def against(row):
    other = row.get("against") or "plain"
    return other + " directories" if other == "plain" else other


def alternative(result):
    """What the picture says, for who cannot see it."""
    said = "; ".join(sentence(row).replace("`", "") for row in shown(result))
    return "Ratios of venvfs to plain directories, less is better. %s. %s" % (said, origin(result))


def origin(result):
    return "%s; %s" % (result["command"], source(result))


def text(x, y, words, kind="", anchor=None):
    return '<text x="%g" y="%g"%s%s>%s</text>' % (x, y, ' class="%s"' % kind if kind else "",
                                                 ' text-anchor="%s"' % anchor if anchor else "", html.escape(words))


def bar_of(row, y):
    """The bar with its ratio behind it."""
    ratio = row["ratio"]
    scale = (BARS_END - BARS_X) / LIMIT
    width = max(1.5, min(ratio, LIMIT) * scale)
    top = y - BAR + 1
    parts = ['<rect x="%g" y="%g" width="%.1f" height="%d" rx="1.5" class="%s"/>' % (
        BARS_X, top, width, BAR, "less" if round(ratio, 2) <= 1 else "more")]
    if ratio > LIMIT:
        x = BARS_X + width - 14
        parts.append('<path d="M%g %g l6 %d M%g %g l6 %d" class="cut" stroke-width="2"/>' % (
            x, top + BAR, -BAR, x + 5, top + BAR, -BAR))
    parts.append(text(BARS_X + width + 6, y, ratio_text(ratio), "number"))
    return parts


def group_of(title, rows, top):
    """(elements, height) of a group."""
    words = [(line, "title") for line in textwrap.wrap(title.replace("`", ""), TITLE_CHARS)]
    notes = ", ".join(dict.fromkeys(row["note"] for row in rows if row.get("note")))
    words += [(line, "small") for line in textwrap.wrap(notes and "plain: " + notes, TITLE_CHARS + 6)]
    parts = [text(TITLE_X, top + 14 + LINE * i, line, kind) for i, (line, kind) in enumerate(words)]
    for i, row in enumerate(rows):
        y = top + 14 + LINE * i
        label = textwrap.shorten(label_of(row), LABEL_CHARS, placeholder=" …")
        figures = "%s / %s" % (ours(row), theirs(row))
        parts += ["<g><title>%s</title>" % html.escape(sentence(row)), text(LABEL_X, y, label, "quiet"),
                  *bar_of(row, y), text(FIGURES_X, y, figures, "small"), "</g>"]
    return parts, LINE * max(len(words), len(rows)) + GAP


def svg(result):
    """The whole picture as text."""
    parts, y = [], MARGIN + 26
    one = BARS_X + (BARS_END - BARS_X) / LIMIT
    for i, (title, rows) in enumerate(grouped(shown(result))):
        if i:
            parts.append('<path d="M%g %g H%g" class="between"/>' % (MARGIN, y - 1, WIDTH - MARGIN))
        y += 5
        added, height = group_of(title, rows, y)
        parts += added
        y += height
    parts.insert(0, '<path d="M%g %g V%g" class="plain"/>' % (one, MARGIN + 24, y))
    y += 16
    for line in textwrap.wrap(origin(result), 118):
        parts.append(text(MARGIN, y, line, "small"))
        y += 15
    head = [text(MARGIN, MARGIN + 10, "venvfs beside plain directories, shorter is better", "title"),
            text(one, MARGIN + 18, "plain = 1", "small", "middle"),
            text(FIGURES_X, MARGIN + 10, "venvfs / plain", "small")]
    height = y + MARGIN - 12
    return "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" '
        'aria-labelledby="title desc">' % (WIDTH, height, WIDTH, height),
        '<title id="title">venvfs beside plain directories</title>',
        '<desc id="desc">%s</desc>' % html.escape(alternative(result)),
        "<style>%s\n</style>" % STYLE,
        '<rect class="page" x="0.5" y="0.5" width="%d" height="%d" rx="6"/>' % (WIDTH - 1, height - 1),
        *head, *parts, "</svg>", ""])
