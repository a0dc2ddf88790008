#include "fs/control_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/path.h"
#include "base/wire.h"

int control_address(const char *path, struct sockaddr_un *address, socklen_t *size, int *folder)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *size = sizeof(*address);
    *folder = -1;
    if (strlen(path) < sizeof(address->sun_path)) {
        memcpy(address->sun_path, path, strlen(path));
        return 0;
    }
    _cleanup_free_ char *dir = path_dirname(path);
    int fd = io_open(dir, O_PATH | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int n = snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", fd,
                     path_basename(path));
    if (n < 0 || (size_t)n >= sizeof(address->sun_path)) {
        close(fd);
        return -ENAMETOOLONG;
    }
    *folder = fd;
    return 0;
}

bool control_peer_ok(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

pid_t control_peer_pid(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

int control_encode(json_t *message, struct strbuf *sb)
{
    _cleanup_free_ char *text = json_dumps(message, JSON_COMPACT);
    if (!text)
        return -EINVAL;
    size_t len = strlen(text);
    if (len > CONTROL_LIMIT)
        return -EMSGSIZE;
    uint8_t head[4];
    wire_store32(head, (uint32_t)len);
    strbuf_add(sb, head, sizeof(head));
    strbuf_add(sb, text, len);
    return 0;
}

int control_decode(struct strbuf *sb, json_t **ret)
{
    if (sb->len < 4)
        return -EAGAIN;
    size_t len = wire_load32(sb->buf);
    if (len > CONTROL_LIMIT)
        return -EBADMSG;
    if (sb->len - 4 < len)
        return -EAGAIN;
    json_t *message = json_loadb(sb->buf + 4, len, JSON_REJECT_DUPLICATES, NULL);
    size_t rest = sb->len - 4 - len;
    memmove(sb->buf, sb->buf + 4 + len, rest);
    strbuf_truncate(sb, rest);
    if (!json_is_object(message)) {
        json_decref(message);
        return -EBADMSG;
    }
    *ret = message;
    return 0;
}

json_t *control_error(int errnum, const struct verror *err)
{
    json_t *answer = json_pack("{s:b, s:i, s:s}", "ok", 0, "errno", errnum < 0 ? -errnum : errnum,
                               "error", err->message ? err->message : strerror(abs(errnum)));
    if (err->hint && answer)
        json_object_set_new(answer, "hint", json_string(err->hint));
    /* A message that is no UTF-8 (a path may be anything) must not become no answer. */
    return answer ? answer
                  : json_pack("{s:b, s:i, s:s}", "ok", 0, "errno", abs(errnum), "error",
                              strerror(abs(errnum)));
}

int control_result(const json_t *answer, struct verror *err)
{
    if (json_is_true(json_object_get(answer, "ok")))
        return 0;
    json_int_t errnum = json_integer_value(json_object_get(answer, "errno"));
    const char *text = json_string_value(json_object_get(answer, "error"));
    const char *hint = json_string_value(json_object_get(answer, "hint"));
    if (errnum <= 0 || errnum > 4095)
        errnum = EIO;
    verror_set(err, (int)errnum, "%s", text ? text : strerror((int)errnum));
    if (hint)
        verror_hint(err, "%s", hint);
    return -(int)errnum;
}
