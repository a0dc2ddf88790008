"""How figures are written: values with their spread, the table, README's rows, and where they come from."""
import datetime
import os
import platform
import statistics


class Spread:
    """Values of one figure: the median, with minimum and maximum. unit: "s" for seconds, else printed."""

    def __init__(self, values, unit="s"):
        self.values = values
        self.unit = unit
        self.median = statistics.median(values)

    def __str__(self):
        if self.unit == "s":
            unit, factor = ("ms", 1e3) if self.median < 1 else ("s", 1)
        else:
            unit, factor = self.unit, 1
        return "%.4g %s (%.4g-%.4g)" % (self.median * factor, unit, min(self.values) * factor,
                                        max(self.values) * factor)


class Size:
    """Bytes, or a count of what unit says."""

    def __init__(self, count, unit="B"):
        self.values = [count]
        self.unit = unit
        self.median = count

    def __str__(self):
        if self.unit != "B":
            return "{:,} {}".format(self.median, self.unit)
        return "%.1f MB" % (self.median / 1e6) if self.median >= 1e6 else "%.1f KiB" % (self.median / 1024)


def short(values, unit, text):
    """A figure as a reader wants it, without spread: three digits."""
    if not values:
        return text or ""
    value = statistics.median(values)
    if unit == "s":
        value, unit = (value * 1e3, "ms") if value < 1 else (value, "s")
    elif unit == "B":
        value, unit = (value / 1e6, "MB") if value >= 1e6 else (value / 1024, "KiB")
    number = "{:,.0f}".format(value) if value >= 100 else "%.3g" % value
    return "%s %s" % (number, unit)


def ours(row):
    return short(row.get("venvfs_values"), row.get("unit"), row["venvfs"])


def theirs(row):
    return short(row.get("plain_values"), row.get("unit"), row["plain"])


def ratio_text(ratio):
    return "%.3f" % ratio if ratio < 0.1 else "%.2f" % ratio


def title_of(row):
    return row.get("title") or row["measure"]


def label_of(row):
    return row.get("label") or ("" if row.get("title") else row["what"])


def grouped(rows):
    """[(title, rows)] of rows with one title, in the order of their first."""
    found = {}
    for row in rows:
        found.setdefault(title_of(row), []).append(row)
    return list(found.items())


def source(result):
    """What was measured, where and when."""
    return "; ".join(filter(None, (result["venvfs"], result.get("python"), result["machine"], result.get("user"),
                                   result["date"])))


# ---- the table ----

def head(result):
    return "# %s\n# %s" % (result["command"], source(result))


def line_of(row):
    """A row of the table."""
    start = "%-8s %-32s " % (row["measure"], row["what"])
    if row.get("left_out"):
        return start + ("FAILED: " if row["within"] is False else "left out: ") + row["left_out"]
    ours_, theirs_ = "venvfs %-30s" % row["venvfs"], ""
    if row["plain"] is not None:
        theirs_ = "%s %s" % (row.get("against") or "plain", row["plain"])
    ends = []
    if row["ratio"] is not None:
        ends.append("ratio %.3f" % row["ratio"])
    if row["bar"] is not None:
        ends.append("(bar %s: %s)" % (row["bar"], "yes" if row["within"] else "NO"))
    if row.get("messages") is not None:
        ends.append("messages %d" % sum(row["messages"].values()))
    return (start + ours_ + " %-36s " % theirs_ + " ".join(ends)).rstrip()


# ---- README ----

def markdown(result):
    """README's table: the rows that have a title there, a repeated title said once."""
    lines = ["| | venvfs | uv, plain directory | ratio |", "| --- | --- | --- | --- |"]
    named = [row for row in result["rows"] if row.get("title") and not row.get("left_out")]
    for title, rows in grouped(named):
        for i, row in enumerate(rows):
            label = row.get("label") or ""
            name = label if i and label else ": ".join(filter(None, (title, label)))
            other = theirs(row)
            if row["plain"] is not None and (row.get("against") or "plain") not in ("plain", "uv"):
                other = "%s: %s" % (row["against"], other)
            if row.get("note"):
                other += ", " + row["note"]
            lines.append("| %s | %s | %s | %s |" % (name, ours(row), other,
                                                    "" if row["ratio"] is None else ratio_text(row["ratio"])))
    left = ["%s: %s" % (row["what"], row["left_out"].splitlines()[0]) for row in result["rows"] if row.get("left_out")]
    lines += ["", "`%s`: %s." % (result["command"], source(result))]
    if left:
        lines.append("Not measured: " + "; ".join(left) + ".")
    return "\n".join(lines)


# ---- where figures come from ----

def cpu_model():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith(("model name", "Model")):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def file_system(path):
    """The type of the file system that has a path."""
    path, best = os.path.realpath(path), ("", "unknown")
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            point, kind = line.split(" ")[1:3]
            point = point.replace("\\040", " ")
            if path == point or path.startswith(point.rstrip("/") + "/"):
                best = max(best, (point, kind), key=lambda found: len(found[0]))
    return best[1]


def header(argv, venvfs, cache):
    """What every output says of a run; the load tells a reader whether others disturbed it. venvfs: the line of its
    version; cache: where both sides lie."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return {"command": " ".join(["bench/run"] + argv), "date": datetime.date.today().isoformat(), "venvfs": venvfs,
            "machine": "%s, %d CPUs, %.0f GiB, Linux %s, %s, load %.1f before" % (
                cpu_model(), len(os.sched_getaffinity(0)), memory, platform.release(), file_system(cache),
                os.getloadavg()[0]),
            "user": "root" if os.getuid() == 0 else "an ordinary user"}
