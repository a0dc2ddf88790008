#!/usr/bin/env python3
"""Bytecode made at ingest is used: importing compiles no file and writes no pyc, on each Python."""
import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import harness

MODULES = 40

# Reports what was compiled from a .py and what was opened for writing while importing. 3.6 and 3.7
# have no audit hooks: there the source loader itself is watched.
WATCH = """if True:
    import importlib, importlib.machinery as machinery, sys
    compiled, written = [], []
    def hook(event, arguments):
        if event == "compile" and str(arguments[1]).endswith(".py"):
            compiled.append(str(arguments[1]))
        elif event == "open" and ".pyc" in str(arguments[0]) and str(arguments[1])[:1] in "wxa":
            written.append(str(arguments[0]))
    if hasattr(sys, "addaudithook"):
        sys.addaudithook(hook)
    loader = machinery.SourceFileLoader
    compile_source, write = loader.source_to_code, loader.set_data
    def source_to_code(self, data, path, **options):
        compiled.append(str(path))
        return compile_source(self, data, path, **options)
    loader.source_to_code = source_to_code
    def set_data(self, path, data, **options):
        written.append(path)
        return write(self, path, data, **options)
    loader.set_data = set_data
    sys.dont_write_bytecode = False
"""


class Bytecode(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = harness.Sandbox("bytecode")
        cls.addClassCleanup(cls.box.close)
        wheels = cls.box.root / "wheels"
        wheels.mkdir()
        files = {"many/__init__.py": "", "single_module.py": "class A:\n    x = 'äöü'\n"}
        for i in range(MODULES):
            files[f"many/m{i}.py"] = f'"""Module {i}."""\ndef f(a, *, b={i}):\n    return [a, b]\n'
        made = harness.make_wheel(wheels, "many", "1.0", files)
        cls.lock = cls.box.root / "lock.txt"
        cls.lock.write_text(harness.lock_text(made))

    def check(self, version):
        python = harness.interpreters()[version]
        env = self.box.create(f"on{version}", "-r", self.lock, python=python)
        names = ["single_module", "many"] + [f"many.m{i}" for i in range(MODULES)] + ["pip"]
        program = WATCH + f"""
    for name in {names!r}:
        importlib.import_module(name)
    import many.m7
    assert many.m7.f(1) == [1, 7], "the code runs"
    assert many.m7.f.__code__.co_filename == many.m7.__file__, many.m7.f.__code__.co_filename
    print(compiled, written)"""
        done = harness.run([env / "bin" / "python", "-c", program], env=self.box.env)
        self.assertEqual(done.stdout.strip(), "[] []")


    def test_each_python_that_pyenv_has_is_among_these(self):
        """One that does not run would otherwise only make this file shorter."""
        installed = {folder.name.rpartition(".")[0] for folder in harness.pyenv_folders()
                     if re.fullmatch(r"3\.\d+\.\d+", folder.name)}
        supported = {f"3.{minor}" for minor in harness.MINORS}
        self.assertEqual(installed & supported - harness.interpreters().keys(), set())


def add_tests():
    for version in harness.interpreters():
        def test(self, version=version):
            self.check(version)
        name = f"test_python_{version.replace('.', '_')}"
        test.__name__ = name
        setattr(Bytecode, name, test)


class BigSet(unittest.TestCase):
    def compiled(self, root, name):
        """Files of an environment's site-packages that importing a set compiles or writes."""
        script = harness.corpus() / "imports" / f"{name}.py"
        site = next(root.glob("lib/python3.*/site-packages"))
        program = WATCH + f"""
    exec(compile(open({str(script)!r}).read(), "imports", "exec"))
    import json, os
    print(json.dumps(sorted({{os.path.relpath(path, {str(site)!r}) for path in compiled + written
                              if path.startswith({str(site)!r})}})))"""
        done = harness.run([root / "bin" / "python", "-c", program], env=harness.sets().sandbox.env)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def test_a_whole_set_compiles_nothing(self):
        """Nothing but what packages parse of themselves, as anyio does for its lazy imports: that
        they do from a plain environment with bytecode too."""
        for name in harness.SETS:
            by_itself = self.compiled(harness.sets().twin(name), name)
            self.assertLess(len(by_itself), 5, "the twin has no bytecode to compare with")
            self.assertEqual(self.compiled(harness.sets().path[name], name), by_itself, name)


add_tests()
if __name__ == "__main__":
    harness.main()
