"""A stand-in for the `claude` program that does what its prompt says: the prompt is Python.

open_(); done("hello")                     a session that succeeds
open_(); time.sleep(60)                    one that hangs
child("sleep 60", start_new_session=True)  one whose tool leaves a process behind
# that is all                              what is added behind this line is not executed
"""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """#!{python} -SE
import json, os, signal, subprocess, sys, time

def say(**record):
    print(json.dumps(record), flush=True)

def open_():
    say(type="system", subtype="init", session_id=named("--session-id", "--resume"), model="obedient")

def done(text="done", **fields):
    say(**{{"type": "result", "subtype": "success", "is_error": False, "result": text, "num_turns": 1,
           "total_cost_usd": 0.25, "duration_ms": 1500, **fields}})

def named(*flags):
    return next((sys.argv[at + 1] for at, arg in enumerate(sys.argv) if arg in flags), "")

def child(command, **options):
    environment = {{**os.environ, "CLAUDECODE": "1", "CLAUDE_CODE_SESSION_ID": named("--session-id", "--resume")}}
    return subprocess.Popen(command.split(), env=options.pop("env", environment), stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)

if "--version" in sys.argv:
    print("0.0.1 (Obedient)")
else:
    exec(compile(sys.stdin.read().partition("# that is all")[0], "prompt", "exec"))
"""


def write_obedient(folder: Path) -> str:
    """Put the program into `folder`; returns its path."""
    path = folder / "claude"
    path.write_text(_PROGRAM.format(python=sys.executable))
    path.chmod(0o755)
    return str(path)
