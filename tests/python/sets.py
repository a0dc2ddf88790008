#!/usr/bin/env python3
"""All that needs the three package sets, in one process that makes their store once. Each of the
modules also runs by itself."""
import os
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."),
                os.path.dirname(os.path.abspath(__file__))]
import harness

if __name__ == "__main__":
    big = harness.corpus() != harness.TESTS / "data"
    print(f"package sets: {harness.corpus()} ({'the big ones' if big else 'small ones'})", flush=True)
    # In this order: messages are counted before everything has been read.
    harness.main(names=["test_warm_messages", "test_same_tree", "test_it_runs.Data",
                        "test_it_runs.Web", "test_it_runs.Tools", "test_bytecode.BigSet",
                        "test_disk", "test_memory.Memory.test_three_sets_in_use"])
