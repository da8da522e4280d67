"""Writes the golden files anew: all, or those of the scripts named.

    python make_all.py                  all that can be made with what is installed
    python make_all.py vit gpt2 joined  these

Each script runs on its own, from the root of the repository. One whose needs are missing is passed over and named at
the end; the exit code is then 1, so that a partial run is not taken for a whole one. requirements-extra.txt has the
packages that only `events` and `metrics` need; `metrics` needs Java 17 too.
"""

import importlib.util
import pathlib
import shutil
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
# The arguments of each script.
SCRIPTS = {
    "draws": [],
    "files": [],
    "images": [],
    "tokens": ["golden"],
    "vit": [],
    "gpt2": [],
    "crossattention": [],
    "joined": [],
    "losses": [],
    "optim": [],
    "training": [],
    "generation": [],
    "searches": [],
    "events": [],
    "metrics": [],
}
# What a script needs beside requirements.txt: a module, or a program (with a "!").
NEEDS = {"events": ["tensorboard"], "metrics": ["pycocoevalcap", "!java"]}


def missing(script):
    for need in NEEDS.get(script, []):
        program = need.removeprefix("!")
        if not (shutil.which(program) if program != need else importlib.util.find_spec(program)):
            yield program


def main(scripts):
    unknown = [s for s in scripts if s not in SCRIPTS]
    if unknown:
        sys.exit(f"no script is called {', '.join(unknown)}; there are {', '.join(SCRIPTS)}")
    failed = []
    for script in scripts or SCRIPTS:
        if lacks := list(missing(script)):
            failed.append(f"{script}: {' and '.join(lacks)} not found")
            continue
        print(f"== {script}", flush=True)
        done = subprocess.run([sys.executable, FOLDER / f"{script}.py", *SCRIPTS[script]], cwd=FOLDER.parents[1])
        if done.returncode:
            failed.append(f"{script}: exit code {done.returncode}")
    if failed:
        sys.exit("Not made:\n" + "\n".join(failed))


if __name__ == "__main__":
    main(sys.argv[1:])
