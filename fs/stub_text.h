/* The texts of stubs; see stubs.h. */
#ifndef VENVFS_FS_STUB_TEXT_H
#define VENVFS_FS_STUB_TEXT_H

#include "base/home.h"
#include "base/strbuf.h"

#define STUB_FOLDER ".venvfs-stub" /* seen at HUB only while nothing is mounted there */
#define STUB_MARK "# venvfs stub: "

struct stub_program {
    const struct home *home;
    const char *path; /* of the program that starts the daemon */
};

/* Shared by all environments: run as HUB/NAME/bin/python; sourced by fish. */
void stub_text_python(const struct stub_program *program, struct strbuf *sb);
void stub_text_fish(const struct stub_program *program, struct strbuf *sb);
/* A shell does not tell a sourced file its name, so these name the environment. */
void stub_text_sh(const struct stub_program *program, const char *name, struct strbuf *sb);
void stub_text_csh(const struct stub_program *program, const char *name, struct strbuf *sb);

#endif
