"""venvfs as a creator of virtualenv, chosen by VIRTUALENV_CREATOR=venvfs or --creator venvfs.

The program makes the environment, its seeds and its activation files, as `venvfs virtualenv` does; what
virtualenv would write into it afterwards is already there. So the seeder is turned off, the activation
files that virtualenv writes go to a folder that is thrown away, and pyvenv.cfg is only read.

VENVFS_PROGRAM names the program, else it is the venvfs on PATH."""
import os
import pathlib
import shutil
import subprocess
import tempfile

from virtualenv.create.creator import Creator, CreatorMeta
from virtualenv.create.describe import Describe
from virtualenv.create.pyenv_cfg import PyEnvCfg
from virtualenv.seed.embed.base_embed import BaseEmbed
from virtualenv.util.error import ProcessCallFailedError

SEEDS = ("pip", "setuptools", "wheel")


def seed_options(options):
    """What was asked for, in the words of `venvfs virtualenv`; "bundle" is what it does unasked."""
    if getattr(options, "no_seed", False):
        return ["--no-seed"]
    words = []
    for name in SEEDS:
        wish = getattr(options, name, None) or "bundle"
        if getattr(options, f"no_{name}", False):
            words.append(f"--no-{name}")
        elif wish not in ("bundle", "embed"):
            words += [f"--{name}", wish]
    if getattr(options, "download", None) is True:
        words.append("--download")
    for folder in getattr(options, "extra_search_dir", ()):
        words += ["--extra-search-dir", str(folder)]
    return words


class WrittenConfig(PyEnvCfg):
    """pyvenv.cfg as venvfs shows it. virtualenv writes it last of all: then the session is over."""

    def __init__(self, folder, at_end):
        super().__init__(PyEnvCfg.from_folder(folder).content, folder / "pyvenv.cfg")
        self._at_end = at_end

    def write(self):
        self._at_end()


class Venvfs(Describe, Creator):
    """Makes an environment of venvfs whose address is the destination."""

    def __init__(self, options, interpreter):
        Describe.__init__(self, pathlib.Path(options.dest), interpreter)
        Creator.__init__(self, options, interpreter)
        self._words = seed_options(options)
        if options.system_site_packages:
            self._words.append("--system-site-packages")
        if getattr(options, "prompt", None):
            self._words += ["--prompt", options.prompt]
        if self.no_vcs_ignore:
            self._words.append("--no-vcs-ignore")
        options.no_seed = True  # the seeder is made from these options next

    @classmethod
    def can_create(cls, interpreter):
        served = interpreter.implementation == "CPython" and interpreter.version_info[:2] >= (3, 6)
        return CreatorMeta() if served and interpreter.os == "posix" else None

    @classmethod
    def can_describe(cls, interpreter):
        """It describes its own environments, and those of no other creator."""
        return False

    @classmethod
    def exe_stem(cls):
        return "python"

    @classmethod
    def add_parser_arguments(cls, parser, interpreter, meta, app_data):
        super().add_parser_arguments(parser, interpreter, meta, app_data)
        parser.add_argument("--system-site-packages", action="store_true", default=False,
                            help="give the virtual environment access to the system site-packages dir")
        for names in (["--symlinks"], ["--copies", "--always-copy"]):
            parser.add_argument(*names, action="store_true", default=False, dest=names[0].strip("-"),
                                help="ignored: bin/python is a link")

    @classmethod
    def validate_dest(cls, raw_value):
        """The path itself, where virtualenv would take what the link there leads to."""
        super().validate_dest(raw_value)
        return os.path.abspath(raw_value)

    def create(self):
        program = os.environ.get("VENVFS_PROGRAM") or shutil.which("venvfs")
        if not program:
            raise RuntimeError("virtualenv-venvfs: there is no venvfs on PATH; VENVFS_PROGRAM names another")
        python = self.interpreter.system_executable or self.interpreter.executable
        command = [program, "virtualenv", "--quiet", "--folder", "--python", python, *self._words]
        if self.clear:
            command.append("--clear")
        # Not self.env: tox leaves VENVFS_HOME out of that. virtualenv has read its own variables and file.
        env = {name: value for name, value in os.environ.items() if not name.startswith("VIRTUALENV_")}
        env["VIRTUALENV_CONFIG_FILE"] = os.devnull
        done = subprocess.run([*command, "--", str(self.dest)], env=env, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
        if done.returncode:
            raise ProcessCallFailedError(done.returncode, done.stdout, done.stderr, command)

    def run(self):
        self.create()
        place, aside = self.dest, tempfile.TemporaryDirectory(prefix="virtualenv-venvfs-")

        def end():
            self.dest = place
            aside.cleanup()

        self.pyenv_cfg = WrittenConfig(place, end)
        self.dest = pathlib.Path(aside.name)  # where the activators write
        self.script_dir.mkdir(parents=True)


class Seeds(BaseEmbed):
    """The seeds that Venvfs brings; for `--seeder venvfs`, which changes nothing beside that creator."""

    def run(self, creator):
        raise RuntimeError("virtualenv-venvfs: --seeder venvfs needs --creator venvfs")
