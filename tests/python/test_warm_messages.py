#!/usr/bin/env python3
"""A second import of a whole set sends the daemon no LOOKUP, OPEN, READDIR or READ at all."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

ATTEMPTS = 16
NEVER = ("LOOKUP", "OPEN", "OPENDIR")
# Of pages that the machine takes from the cache: some virtual machines do so all the time, and then
# ext4 reads its disk again, too.
PAGES = ("READ", "READDIR", "READDIRPLUS")


class WarmMessages(unittest.TestCase):
    def imports(self, name):
        """Imports a set; returns what messages that sent, by kind."""
        before = self.messages()
        harness.run([harness.sets().path[name] / "bin" / "python",
                     harness.corpus() / "imports" / f"{name}.py"], env=harness.sets().sandbox.env)
        after = self.messages()
        return {kind: after[kind] - before.get(kind, 0) for kind in after
                if after[kind] != before.get(kind, 0)}

    @staticmethod
    def messages():
        counted = harness.sets().sandbox.json("status")["messages"]
        return {name.upper(): count for name, count in counted.items()}

    def test_second_import_sends_none(self):
        for name in harness.SETS:
            with self.subTest(set=name):
                self.second_import(name)

    def second_import(self, name):
        first = self.imports(name)
        print(f"{name}: first import, messages by kind: {first}")
        self.assertGreater(first.get("LOOKUP", 0), 0, "then the next import proves nothing")
        self.assertGreater(first.get("READ", 0), 0, "then the next import proves nothing")
        for attempt in range(ATTEMPTS):
            sent = self.imports(name)
            print(f"{name}: import {attempt + 2}, messages by kind: {sent}")
            self.assertEqual({kind: sent[kind] for kind in NEVER if kind in sent}, {})
            again = {kind: sent[kind] for kind in PAGES if kind in sent}
            self.assertEqual({kind: count for kind, count in again.items()
                              if count > first.get(kind, 0) // 20}, {}, "that is no eviction")
            if not again:
                return
        self.fail("no import was free of READ and READDIRPLUS")


if __name__ == "__main__":
    harness.main()
