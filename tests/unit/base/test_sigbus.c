#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/pool.h"
#include "base/sigbus.h"

static void *map_two_pages(int *fd)
{
    char path[] = "/tmp/venvfs-sigbus-XXXXXX";
    *fd = mkstemp(path);
    assert_true(*fd >= 0);
    unlink(path);
    long page = sysconf(_SC_PAGESIZE);
    assert_int_equal(ftruncate(*fd, 2 * page), 0);
    assert_int_equal(pwrite(*fd, "x", 1, 0), 1);
    void *p = mmap(NULL, (size_t)(2 * page), PROT_READ, MAP_PRIVATE, *fd, 0);
    assert_ptr_not_equal(p, MAP_FAILED);
    return p;
}

static void a_truncated_map_reads_zeros_and_is_marked(void **state)
{
    (void)state;
    _cleanup_close_ int fd = -1;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const volatile char *p = map_two_pages(&fd);
    struct sigbus_watch *w = sigbus_watch((const void *)p, 2 * page);
    assert_int_equal(p[0], 'x');
    assert_false(sigbus_damaged(w));
    assert_int_equal(ftruncate(fd, (off_t)page), 0);
    assert_int_equal(p[0], 'x');
    assert_false(sigbus_damaged(w));
    assert_int_equal(p[page + 5], 0);
    assert_true(sigbus_damaged(w));
    assert_int_equal(p[0], 'x');
    sigbus_unwatch(w);
    munmap((void *)(uintptr_t)p, 2 * page);
}

static void an_ended_watch_is_taken_again_undamaged(void **state)
{
    (void)state;
    static const char a[1], b[1];
    struct sigbus_watch *first = sigbus_watch(a, 1);
    sigbus_unwatch(first);
    struct sigbus_watch *second = sigbus_watch(b, 1);
    assert_ptr_equal(first, second);
    assert_false(sigbus_damaged(second));
    sigbus_unwatch(second);
}

/* In a program of its own, because cmocka replaces the handler of every signal it reports. */
static int fault_outside_any_watch(void)
{
    int fd;
    const volatile char *p = map_two_pages(&fd);
    sigbus_unwatch(sigbus_watch((const void *)(uintptr_t)p, 1));
    if (ftruncate(fd, 0) < 0)
        return 3;
    return p[0] ? 1 : 2;
}

static void read_first_byte(void *arg, size_t worker)
{
    (void)worker;
    char **p = arg;
    if (**(volatile char **)p == 0)
        *p = NULL;
}

/* A pool's threads leave signals to others, but not this one. */
static int fault_in_a_worker(void)
{
    int fd;
    char *p = map_two_pages(&fd);
    sigbus_watch(p, (size_t)sysconf(_SC_PAGESIZE));
    if (ftruncate(fd, 0) < 0)
        return 3;
    struct pool *pool = pool_new(1);
    pool_submit(pool, read_first_byte, &p);
    pool_free(pool);
    return p ? 1 : 0;
}

static int run_again(const char *what)
{
    pid_t pid = fork();
    if (pid == 0) {
        execl("/proc/self/exe", "test-sigbus", what, (char *)NULL);
        _exit(3);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void workers_survive_a_truncated_map(void **state)
{
    (void)state;
    assert_int_equal(run_again("worker"), 0);
}

static void a_fault_elsewhere_still_kills(void **state)
{
    (void)state;
    int status = run_again("fault");
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "fault") == 0)
        return fault_outside_any_watch();
    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return fault_in_a_worker();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_truncated_map_reads_zeros_and_is_marked),
        cmocka_unit_test(an_ended_watch_is_taken_again_undamaged),
        cmocka_unit_test(workers_survive_a_truncated_map),
        cmocka_unit_test(a_fault_elsewhere_still_kills),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
