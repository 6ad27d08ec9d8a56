"""Stand-ins for SLURM's commands: sbatch runs the elements of an array at once, in processes of this machine."""

import os
import stat
import sys
from pathlib import Path

SBATCH = """
import json, os, re, subprocess, sys
from pathlib import Path

state = Path(os.environ["STAND_IN"])
words = sys.argv[1:]
if "--partition=none" in words:
    sys.exit("sbatch: error: invalid partition specified: none")
options = dict(word.lstrip("-").split("=", 1) for word in words if word.startswith("--") and "=" in word)
last = int(options["array"].partition("-")[2])
number = str(100 + len(list(state.glob("job-*"))))
pids = {}
for k in range(last + 1):
    environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(k), "SLURM_ARRAY_JOB_ID": number}
    with open(options["output"].replace("%a", str(k)), "a") as log:
        pids[k] = subprocess.Popen(
            ["bash", words[-1]], env=environment, stdout=log, stderr=log, start_new_session=True
        ).pid
(state / f"job-{number}").write_text(json.dumps({"pids": pids, "words": words}))
print(number)
"""

SQUEUE = """
import json, os, sys
from pathlib import Path

state = Path(os.environ["STAND_IN"])
number = sys.argv[sys.argv.index("--jobs") + 1]
if not (state / f"job-{number}").exists():
    sys.exit("slurm_load_jobs error: Invalid job id specified")
for k, pid in json.loads((state / f"job-{number}").read_text())["pids"].items():
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        continue
    if text.rpartition(")")[2].split()[0] != "Z":
        print(f"{number}_{k}")
"""

SCANCEL = """
import json, os, signal, sys
from contextlib import suppress
from pathlib import Path

for pid in json.loads((Path(os.environ["STAND_IN"]) / f"job-{sys.argv[1]}").read_text())["pids"].values():
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
"""

SCONTROL = """
import os, sys
from pathlib import Path

with (Path(os.environ["STAND_IN"]) / "requeued").open("a") as file:
    file.write(sys.argv[2] + chr(10))
"""

COMMANDS = {"sbatch": SBATCH, "squeue": SQUEUE, "scancel": SCANCEL, "scontrol": SCONTROL}


def install(folder: Path) -> dict[str, str]:
    """The environment in which SLURM's commands are the stand-ins; their state is in the folder."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, text in COMMANDS.items():
        file = programs / name
        file.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "STAND_IN": str(folder)}
