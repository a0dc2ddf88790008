#!/usr/bin/env python3
"""A second import of a whole set sends the daemon no LOOKUP, OPEN, READDIR or READ at all."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

NONE_OF = ("LOOKUP", "OPEN", "OPENDIR", "READDIR", "READDIRPLUS", "READ")


class WarmMessages(unittest.TestCase):
    def messages(self):
        counted = harness.sets().sandbox.json("status")["messages"]
        return {name.upper(): count for name, count in counted.items()}

    def test_second_import_sends_none(self):
        for name in harness.SETS:
            with self.subTest(set=name):
                self.second_import(name)

    def second_import(self, name):
        python = harness.sets().path[name] / "bin" / "python"
        script = harness.corpus() / "imports" / f"{name}.py"
        env = harness.sets().sandbox.env
        harness.run([python, script], env=env)
        first = self.messages()
        self.assertGreater(first["LOOKUP"], 0, first)
        harness.run([python, script], env=env)
        second = self.messages()
        sent = {kind: second.get(kind, 0) - first.get(kind, 0) for kind in NONE_OF}
        print(f"{name}: second import, messages by kind: "
              f"{({kind: second[kind] - first.get(kind, 0) for kind in second if second[kind] != first.get(kind, 0)})}")
        self.assertEqual(sent, dict.fromkeys(NONE_OF, 0))


if __name__ == "__main__":
    harness.main()
