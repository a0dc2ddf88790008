/* base/progress: what a line says, what is cut of it, and from when its clock counts. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/progress.h"
#include "base/progress_line.h"

static const struct progress_state HALF = {
    .title = "installing",
    .item = "scikit-learn",
    .items = 49,
    .items_total = 99,
    .bytes = 250000000,
    .bytes_total = 500000000,
    .seconds = 10,
};

static void assert_line(const struct progress_state *s, size_t columns, const char *expected)
{
    struct strbuf sb = STRBUF_INIT;
    progress_line(s, columns, &sb);
    assert_string_equal(sb.buf, expected);
    strbuf_release(&sb);
}

static void test_the_package_is_before_the_figures(void **state)
{
    (void)state;
    assert_line(&HALF, 120,
                "installing [##########..........] scikit-learn  49/99  250.0/500.0 MB  25.0 MB/s  "
                "10 s left");
    assert_line(&HALF, 0, "installing scikit-learn  49/99  250.0/500.0 MB  25.0 MB/s  10 s left");
}

static void test_only_the_package_is_cut(void **state)
{
    (void)state;
    struct progress_state s = HALF;
    s.item = "a-very-long-name-of-a-package-that-nobody-would-type-twice";
    for (size_t columns = 65; columns < 140; columns++) {
        struct strbuf sb = STRBUF_INIT;
        progress_line(&s, columns, &sb);
        assert_true(sb.len <= columns);
        assert_true(strbuf_ends_with(&sb, "  49/99  250.0/500.0 MB  25.0 MB/s  10 s left"));
        assert_non_null(strstr(sb.buf, " a-very-l"));
        strbuf_release(&sb);
    }
    assert_line(&HALF, 12, "installing  ");
}

static void test_what_is_not_known_is_left_out(void **state)
{
    (void)state;
    struct progress_state s = {.title = "resolving", .item = "requests", .seconds = 7};
    assert_line(&s, 80, "resolving requests  7 s");
    s = (struct progress_state){
        .title = "downloading", .item = "", .items_total = 3, .bytes = 2000000, .seconds = 2};
    assert_line(&s, 80, "downloading [....................]  0/3  2.0 MB  1.0 MB/s");
    s.items = 1;
    s.seconds = 120;
    assert_line(&s, 0, "downloading  1/3  2.0 MB  0.0 MB/s  4 min left");
}

static void test_a_name_moves_no_cursor_and_is_cut_between_characters(void **state)
{
    (void)state;
    struct progress_state s = {
        .title = "resolving", .item = "\033[2Jp\303\244ckchen", .seconds = 1};
    assert_line(&s, 0, "resolving ?[2Jp\303\244ckchen  1 s");
    assert_line(&s, 22, "resolving ?[2Jp\303\244  1 s");
    assert_line(&s, 21, "resolving ?[2Jp  1 s");
}

static void test_the_summary_counts_in_english(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT;
    struct progress_state s = HALF;
    s.items = 1;
    progress_summary(&s, &sb);
    assert_string_equal(sb.buf, "installing: 1 package, 250.0 MB in 10.0 s");
    strbuf_reset(&sb);
    s.items = 2;
    progress_summary(&s, &sb);
    assert_string_equal(sb.buf, "installing: 2 packages, 250.0 MB in 10.0 s");
    strbuf_release(&sb);
}

static void wait_seconds(double seconds)
{
    struct timespec ts = {.tv_sec = (time_t)seconds,
                          .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&ts, NULL);
}

/* What a progress of three packages says when it waits before and after its total is known. */
static char *said(double before, double after)
{
    int file = memfd_create("stderr", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
    assert_true(file >= 0 && saved >= 0);
    dup2(file, STDERR_FILENO);
    struct progress *p = progress_new("installing", false);
    wait_seconds(before);
    progress_add_total(p, 3, 3000000);
    progress_advance(p, 3, 3000000);
    wait_seconds(after);
    progress_finish(p);
    dup2(saved, STDERR_FILENO);
    close(saved);
    char *text = calloc(1, 4096);
    assert_true(pread(file, text, 4095, 0) >= 0);
    close(file);
    return text;
}

static void test_the_clock_starts_with_the_first_total(void **state)
{
    (void)state;
    char *text = said(1.2, 0);
    assert_string_equal(text, ""); /* the work itself took no second */
    free(text);
    text = said(0.6, 1.1);
    double seconds = 0;
    assert_int_equal(sscanf(text, "venvfs: installing: 3 packages, 3.0 MB in %lf s", &seconds), 1);
    assert_true(seconds >= 1.05 && seconds < 1.6);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_package_is_before_the_figures),
        cmocka_unit_test(test_only_the_package_is_cut),
        cmocka_unit_test(test_what_is_not_known_is_left_out),
        cmocka_unit_test(test_a_name_moves_no_cursor_and_is_cut_between_characters),
        cmocka_unit_test(test_the_summary_counts_in_english),
        cmocka_unit_test(test_the_clock_starts_with_the_first_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
