/* wheel: from a wheel file to an image, by the standards (design 5; "Binary distribution format",
 * "Recording installed projects", "Entry points specification").
 *
 * A wheel is untrusted: it is read completely and checked against its RECORD before anything of it
 * becomes known to the store, and a refusal names the wheel and the member.
 *
 * What differs from what pip installs, on purpose: scripts and data below bin/ or elsewhere outside
 * site-packages get no bytecode (a script's first line, and so its size, depends on the address);
 * RECORD gives wrappers and rewritten scripts neither hash nor size for the same reason; a script
 * that gave way to an entry point's wrapper has no row left behind; scripts are executable even
 * where the archive lost the bit (the standard asks for it).
 */
#ifndef VENVFS_WHEEL_WHEEL_H
#define VENVFS_WHEEL_WHEEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/progress.h"
#include "base/verror.h"
#include "store/store.h"
#include "wheel/target.h"

struct wheel_options {
    struct wheel_compile compile;
    size_t jobs; /* threads and bytecode workers; 0: one per CPU */
    struct progress *progress;
    /* Called (serialised) with a line for people: "warning: ..." (a newer minor Wheel-Version, a
     * file that took over 60 s to compile). May be NULL. */
    void (*warn)(const char *line, void *arg);
    void *warn_arg;
};

struct wheel_source {
    const char *path;            /* the wheel file */
    const struct sha256 *expect; /* what its digest must be, or NULL */
};

/* Makes sure that the store has an image of every wheel for the target, ingesting in parallel those
 * it lacks (each by one process, others wait), in one pack per run. All or nothing for what this
 * process ingests: a refused wheel leaves the store byte for byte as it was. images: n results.
 * -EBADMSG: a malformed or hostile wheel; -EOPNOTSUPP: Wheel-Version too new; -ENOEXEC: tags do not
 * fit. */
int wheel_ingest(struct store *store, const struct wheel_target *target,
                 const struct wheel_source *wheels, size_t n, const struct wheel_options *options,
                 struct store_image *images, struct verror *err);

/* Name, version and tags of a wheel's file name (PEP 427); refuses names that are not wheels. */
struct wheel_name {
    char *dist, *version, *build,
        *tags; /* malloc'ed; build may be NULL; tags "cp311-cp311-linux_x86_64" */
};
int wheel_name_parse(const char *filename, struct wheel_name *ret, struct verror *err);
void wheel_name_release(struct wheel_name *name);

/* PEP 503: lower case, runs of "-_." become one "-". malloc'ed. */
char *dist_name_normalise(const char *name);
/* strcmp() of the normalised names. */
int dist_name_compare(const char *a, const char *b);

/* The text of a console or gui script for an interpreter (the wrapper pip writes), or for
 * IMAGE_SCRIPT_PYTHON the new first line. A shebang over 127 bytes or with a space uses the /bin/sh
 * exec form. Appended to sb. */
void script_text(const struct image_script *script, const char *interpreter, struct strbuf *sb);

#endif
