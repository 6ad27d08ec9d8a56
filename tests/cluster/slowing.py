"""Trainings in the elements of a job, slowed down until a file appears: tests then need not hurry, nor a processor."""

from pathlib import Path

SITE = """
import os, sys, time
from dataclasses import replace
from importlib.machinery import PathFinder

SLOW_UNTIL, SECONDS, SAVE_EVERY = os.environ["SLOW_UNTIL"], 0.5, 1.0


def slow(loop):
    real = loop.step

    def step(*arguments):
        real(*arguments)
        if not os.path.exists(SLOW_UNTIL):
            time.sleep(SECONDS)

    loop.step = step


def save_often(runner):
    runner._RESUMING = replace(runner._RESUMING, save_every=SAVE_EVERY)


CHANGES = {"resatlas.training.loop": slow, "resatlas.studies.runner": save_often}


class Changed:
    @staticmethod
    def find_spec(name, path, target=None):
        spec = PathFinder.find_spec(name, path) if name in CHANGES else None
        if spec:
            execute = spec.loader.exec_module

            def changed(module):
                execute(module)
                CHANGES[name](module)

            spec.loader.exec_module = changed
        return spec


sys.meta_path.insert(0, Changed)
"""
"""sitecustomize.py, which Python imports at its start; it sleeps after each step, and saves every second."""


def install(folder: Path) -> dict[str, str]:
    """The variables with which processes are slowed down, until the file "fast" is in the folder."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    return {"SLOW_UNTIL": str(folder / "fast"), "PYTHONPATH": str(folder)}
