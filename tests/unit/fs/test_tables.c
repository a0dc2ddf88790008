/* Nodeids, lookup counts, ids, messages, and the texts of stubs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/proc.h"
#include "fs/control_wire.h"
#include "fs/held.h"
#include "fs/ids.h"
#include "fs/nodeid.h"
#include "fs/stub_text.h"

static void nodeids_are_arithmetic(void **state)
{
    (void)state;
    uint64_t id = nodeid_of_image((1u << 23) - 1, (1u << 20) - 1, (1u << 19) - 1);
    assert_int_equal(id >> 62, 0);
    assert_false(nodeid_is_table(id));
    assert_int_equal(nodeid_slot(id), (1u << 23) - 1);
    assert_int_equal(nodeid_image(id), (1u << 20) - 1);
    assert_int_equal(nodeid_node(id), (1u << 19) - 1);
    assert_int_equal(nodeid_group(id), nodeid_of_image((1u << 23) - 1, (1u << 20) - 1, 0));
    id = nodeid_of_table(5, 7);
    assert_int_equal(id >> 63, 0);
    assert_true(nodeid_is_table(id));
    assert_int_equal(nodeid_slot(id), 5);
    assert_int_equal(nodeid_index(id), 7);
    assert_int_equal(nodeid_group(id), id);
    assert_int_not_equal(nodeid_of_table(1, 0), nodeid_of_image(1, 1, 0));
}

/* Against a plain array, in a random but repeatable order. */
static void lookup_counts_are_exact(void **state)
{
    (void)state;
    enum { GROUPS = 300 };
    uint64_t expected[GROUPS] = {0};
    struct held held = {0};
    srand(1);
    for (int i = 0; i < 200000; i++) {
        size_t g = (size_t)rand() % GROUPS;
        uint64_t group = nodeid_of_image(1 + (uint32_t)g % 7, 1 + (uint32_t)g, 0);
        if (rand() % 2) {
            held_add(&held, group);
            expected[g]++;
        } else {
            uint64_t n = 1 + (uint64_t)rand() % 3;
            expected[g] = expected[g] > n ? expected[g] - n : 0;
            assert_int_equal(held_sub(&held, group, n), expected[g]);
        }
        assert_int_equal(held_count(&held, group), expected[g]);
    }
    held_release(&held);
}

static void a_thing_keeps_its_index(void **state)
{
    (void)state;
    struct ids ids = {0};
    struct sha256 key;
    for (unsigned round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 1000; i++) {
            sha256_of(&i, sizeof(i), &key);
            assert_int_equal(ids_index(&ids, &key), i);
        }
    ids_release(&ids);
}

static void messages_come_whole(void **state)
{
    (void)state;
    struct strbuf sb = STRBUF_INIT, part = STRBUF_INIT;
    json_t *message = json_pack("{s:s}", "do", "status"), *got;
    assert_int_equal(control_encode(message, &sb), 0);
    assert_int_equal(control_encode(message, &sb), 0);
    json_decref(message);
    int found = 0;
    for (size_t i = 0; i < sb.len; i++) {
        strbuf_addch(&part, sb.buf[i]);
        int r = control_decode(&part, &got);
        if (r == 0) {
            assert_string_equal(json_string_value(json_object_get(got, "do")), "status");
            json_decref(got);
            found++;
        } else {
            assert_int_equal(r, -EAGAIN);
        }
    }
    assert_int_equal(found, 2);
    assert_int_equal(part.len, 0);
    strbuf_add(&part, "\xff\xff\xff\xff", 4);
    assert_int_equal(control_decode(&part, &got), -EBADMSG);
    strbuf_reset(&part);
    strbuf_add(&part, "\x02\0\0\0[]", 6);
    assert_int_equal(control_decode(&part, &got), -EBADMSG);
    strbuf_release(&sb);
    strbuf_release(&part);
}

/* A stub whose program and paths hold every awkward character still runs that program with those
 * paths. */
static void stubs_quote_anything(void **state)
{
    (void)state;
    char root[] = "/a b/it's $HOME `x` \"q\" \\ !", hub[] = "/nowhere/h'ub $x";
    struct home home = {.root = root, .hub = hub};
    struct stub_program p = {.home = &home, .path = "/usr/bin/printenv"};
    struct strbuf text = STRBUF_INIT, out = STRBUF_INIT;
    stub_text_sh(&p, "na'me", &text);
    /* printenv gets "up" as its argument; let it print what it was given instead. */
    char *up = strstr(text.buf, " up");
    assert_non_null(up);
    struct strbuf script = STRBUF_INIT;
    strbuf_addstr(&script, "exec 2>&1\n");
    strbuf_add(&script, text.buf, (size_t)(up - text.buf));
    strbuf_addstr(&script, " VENVFS_HOME VENVFS_HUB");
    strbuf_addstr(&script, up + 3);
    const char *argv[] = {"/bin/sh", "-c", script.buf, NULL};
    struct proc_options options = {.output = &out};
    int status;
    assert_int_equal(proc_run(argv, &options, &status, NULL), 0);
    struct strbuf expected = STRBUF_INIT;
    strbuf_addf(&expected, "%s\n%s\n", root, hub);
    assert_int_equal(strncmp(out.buf, expected.buf, expected.len), 0);
    assert_non_null(strstr(out.buf, "/nowhere/h'ub $x/na'me/bin/activate"));
    strbuf_release(&expected);
    strbuf_release(&script);
    strbuf_release(&text);
    strbuf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodeids_are_arithmetic),  cmocka_unit_test(lookup_counts_are_exact),
        cmocka_unit_test(a_thing_keeps_its_index), cmocka_unit_test(messages_come_whole),
        cmocka_unit_test(stubs_quote_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
