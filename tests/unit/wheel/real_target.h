/* The interpreter that tests compile with: VENVFS_TEST_PYTHON, else python3. */
#ifndef VENVFS_TESTS_REAL_TARGET_H
#define VENVFS_TESTS_REAL_TARGET_H

#include "wheel/target.h"

/* Asked once; fails the test when it does not run. Its only tag is py3-none-any. */
const struct wheel_target *real_target(void);

#endif
