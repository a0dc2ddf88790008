#include "base/progress_line.h"

#include <stdbool.h>
#include <string.h>

enum { BAR = 20, SHORTEST_ITEM = 8 };

static const double MEGA = 1e6;

/* What is done of the whole, by bytes, or by items where nobody knows the bytes. */
static double part_done(const struct progress_state *s)
{
    double part = 0;
    if (s->bytes_total)
        part = (double)s->bytes / (double)s->bytes_total;
    else if (s->items_total)
        part = (double)s->items / (double)s->items_total;
    return part > 1 ? 1 : part;
}

static void add_time_left(const struct progress_state *s, double part, struct strbuf *sb)
{
    enum { MINUTES_FROM = 100 };
    if (part < 0.02) /* too little to tell from */
        return;
    double left = s->seconds / part - s->seconds;
    if (left < MINUTES_FROM)
        strbuf_addf(sb, "  %.0f s left", left);
    else
        strbuf_addf(sb, "  %.0f min left", left / 60);
}

static void add_figures(const struct progress_state *s, struct strbuf *sb)
{
    if (s->items_total)
        strbuf_addf(sb, "  %llu/%llu", (unsigned long long)s->items,
                    (unsigned long long)s->items_total);
    if (s->bytes_total)
        strbuf_addf(sb, "  %.1f/%.1f MB", (double)s->bytes / MEGA, (double)s->bytes_total / MEGA);
    else if (s->bytes)
        strbuf_addf(sb, "  %.1f MB", (double)s->bytes / MEGA);
    if (s->bytes && s->seconds > 0)
        strbuf_addf(sb, "  %.1f MB/s", (double)s->bytes / s->seconds / MEGA);
    if (s->items_total || s->bytes_total)
        add_time_left(s, part_done(s), sb);
    else
        strbuf_addf(sb, "  %.0f s", s->seconds);
}

static void add_bar(double part, struct strbuf *sb)
{
    int full = (int)(part * BAR);
    strbuf_addstr(sb, " [");
    for (int i = 0; i < BAR; i++)
        strbuf_addch(sb, i < full ? '#' : '.');
    strbuf_addch(sb, ']');
}

/* At most so many bytes, which are no fewer than columns: whole characters of UTF-8, and none that
 * would move the cursor. */
static void add_item(const char *item, size_t room, struct strbuf *sb)
{
    size_t len = strlen(item);
    if (len > room) {
        len = room;
        while (len && ((unsigned char)item[len] & 0xc0) == 0x80)
            len--;
    }
    if (len)
        strbuf_addch(sb, ' ');
    for (size_t i = 0; i < len; i++) {
        bool control = (unsigned char)item[i] < 0x20 || item[i] == 0x7f;
        strbuf_add(sb, control ? "?" : item + i, 1);
    }
}

void progress_line(const struct progress_state *s, size_t columns, struct strbuf *ret)
{
    _cleanup_strbuf_ struct strbuf figures = STRBUF_INIT;
    size_t start = ret->len, room = strlen(s->item);
    add_figures(s, &figures);
    strbuf_addstr(ret, s->title);
    if (columns) {
        size_t fixed = strlen(s->title) + figures.len + 1; /* and the space before the item */
        size_t bar = s->items_total || s->bytes_total ? BAR + 3 : 0;
        size_t wish = room < SHORTEST_ITEM ? room : SHORTEST_ITEM;
        if (bar && fixed + bar + wish <= columns) {
            add_bar(part_done(s), ret);
            fixed += bar;
        }
        if (fixed + room > columns)
            room = fixed < columns ? columns - fixed : 0;
    }
    add_item(s->item, room, ret);
    strbuf_add(ret, figures.buf, figures.len);
    if (columns && ret->len - start > columns)
        strbuf_truncate(ret, start + columns);
}

void progress_summary(const struct progress_state *s, struct strbuf *ret)
{
    strbuf_addf(ret, "%s: %llu package%s, %.1f MB in %.1f s", s->title,
                (unsigned long long)s->items, s->items == 1 ? "" : "s", (double)s->bytes / MEGA,
                s->seconds);
}
