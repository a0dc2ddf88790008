/* waiting_read(): whatever the descriptor's reads do meanwhile, it sleeps until there is something.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "fs/waiting.h"

enum { MESSAGES = 2000 };

/* Sends numbers: some at once, some behind a pause longer than the loop asks for. */
static void *send_numbers(void *arg)
{
    int fd = *(const int *)arg;
    for (int i = 0; i < MESSAGES; i++) {
        if (i % 100 == 0)
            usleep(3 * WAITING_POLL_NS / 1000);
        if (send(fd, &i, sizeof(i), 0) != sizeof(i))
            break;
    }
    close(fd);
    return NULL;
}

static void read_all(struct waiting *w)
{
    int fds[2], got;
    pthread_t sender;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(pthread_create(&sender, NULL, send_numbers, &fds[1]), 0);
    for (int i = 0; i < MESSAGES; i++) {
        assert_int_equal(waiting_read(w, fds[0], &got, sizeof(got)), sizeof(got));
        assert_int_equal(got, i);
    }
    assert_int_equal(waiting_read(w, fds[0], &got, sizeof(got)), 0); /* the end */
    pthread_join(sender, NULL);
    close(fds[0]);
}

static void test_nothing_is_lost(void **state)
{
    struct waiting w;
    (void)state;
    waiting_begin(&w);
    read_all(&w);
}

static void test_on_one_cpu_it_never_asks_twice(void **state)
{
    struct waiting w = {.never = true, .blocking = true};
    (void)state;
    read_all(&w);
    assert_true(w.blocking);
    assert_int_equal(w.rest, 0);
}

static void test_while_others_want_the_cpu_it_sleeps_at_once(void **state)
{
    struct waiting w;
    int fds[2];
    char byte = 'x', got;
    (void)state;
    waiting_begin(&w);
    w.never = false;
    w.rest = 3;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(send(fds[1], &byte, 1, 0), 1);
        assert_int_equal(waiting_read(&w, fds[0], &got, 1), 1);
        assert_int_equal((fcntl(fds[0], F_GETFL) & O_NONBLOCK) != 0, i == 2);
    }
    close(fds[0]);
    close(fds[1]);
}

static void test_errors_are_passed_on(void **state)
{
    struct waiting w;
    char got;
    (void)state;
    waiting_begin(&w);
    assert_int_equal(waiting_read(&w, -1, &got, 1), -1);
    assert_int_equal(errno, EBADF);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_lost),
        cmocka_unit_test(test_on_one_cpu_it_never_asks_twice),
        cmocka_unit_test(test_while_others_want_the_cpu_it_sleeps_at_once),
        cmocka_unit_test(test_errors_are_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
