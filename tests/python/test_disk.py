#!/usr/bin/env python3
"""What an empty HOME holds after ingesting: compressed, each thing once, no download left behind."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

BIG = harness.corpus() != harness.TESTS / "data"


class Disk(unittest.TestCase):
    def test_a_set_takes_a_third_of_its_plain_twin(self):
        ours = harness.sets().bytes["data"]
        theirs = harness.disk_bytes(harness.sets().twin("data"))
        print(f"data: {ours / 1e6:.1f} MB, plain {theirs / 1e6:.1f} MB, ratio {ours / theirs:.3f}")
        # A small set has a floor (the catalog, folders) that a big one does not notice.
        self.assertLessEqual(ours / theirs, 0.34 if BIG else 0.5)

    def test_a_second_environment_of_the_same_lock_is_almost_free(self):
        added = harness.sets().bytes["second"] - harness.sets().bytes["data"]
        print(f"second environment: {added} bytes")
        self.assertLess(added, 64 * 1024)

    def test_nothing_downloaded_stays(self):
        box = harness.sets().sandbox
        left = [path for root in (box.venvfs_home, box.home, box.temporary)
                for path in root.rglob("*.whl")]
        self.assertEqual(left, [])


if __name__ == "__main__":
    harness.main()
