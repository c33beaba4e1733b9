"""No secret that comes near a job is found afterwards in anything it wrote, said, showed or sent.

Secrets are planted where they get in: keys and addresses in the environment, an address in the job file, error messages
of the service, answers of the model, output of a rule's command and of a hook. Then every byte is searched.
"""

from __future__ import annotations

import gzip
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.anthropic_server import AnthropicServer, Call, Reply, refuse, text
from support.commands import mozart
from support.kernel_driver import Kernel
from support.notebook_environment import notebook_environment
from support.receiver import Receiver, status

from mozart_nb.checkpoint.layout import Layout

KEY = "plainkeyZq7Rk2Wm9Tx4Lb"
"""Nothing about it looks like a key: it is known from the environment alone."""
OF_HOOK = "Vd8Nc3Lp6Yb1Hs5Qe"
OF_QUERY = "Jf2Gt9Xw4Km7Pz"
OF_SLACK = "Bn5Ru8Dy1Ce4Va7Sw"
OF_HEADER = "Mq3Hk6Fj9Tz2Wp5"
IN_FILE = "Ly7Ox4Ei1Ug8Ra5Nd"
OF_ERROR = "sk-ant-api03-Cx6Vb3Nm9Qw2Er5Ty8Ui1Op4"
OF_ANSWER = "ghp_" + "As1Df4Gh7Jk2Lz5Xc8Vb3Nm6Qw9Er2Ty5Ui8"
OF_COMMAND = "xoxb-1234567890-Po9Iu6Yt3Re8Wq"
OF_ACTION = "glpat-Zx3Cv6Bn9Ma2Sd5Fg8Hj"
IN_COMMAND = "AKIAZ5X6C7V8B9N0M1Q2"
"""In a command of the job file itself: the frozen plan, which has to run it, keeps it like the job file does."""
SECRETS = (IN_COMMAND, KEY, OF_HOOK, OF_QUERY, OF_SLACK, OF_HEADER, IN_FILE, OF_ERROR, OF_ANSWER, OF_COMMAND, OF_ACTION)

SAID = f"The key is {KEY} and my token {OF_ANSWER}."


@dataclass
class Trial:
    """A job with secrets all around it, its services on loopback, and everything that was said so far."""

    folder: Path
    home: Path
    api: AnthropicServer
    receiver: Receiver
    said: list[tuple[str, str]]

    def run(self, *args: str | Path) -> int:
        ended = mozart(*args)
        what = " ".join(str(arg) for arg in args)
        self.said += [(f"{what}: stdout", ended.stdout), (f"{what}: stderr", ended.stderr)]
        return ended.exit_code

    def job(self, name: str, **sections: Any) -> Path:
        job = {
            "name": name,
            "workspace": f"./{name}",
            "state_backend": "sqlite",
            "backend": {"type": "anthropic_api", "base_url": self.api.url},
            "prompt": {"template": "Batch {{ batch_num }} of {{ total_batches }}."},
            "retry": {"max_retries": 0, "max_completion_attempts": 0},
            "parallel": {"enabled": True, "max_concurrent": 3, "fail_fast": False},
            "logging": {"level": "DEBUG", "format": "both"},
            "notifications": [
                {
                    "type": "webhook",
                    "url_env": "TRIAL_HOOK",
                    "headers": {"Authorization": "Bearer ${TRIAL_HEADER}"},
                    "on_events": ["job_start", "batch_failed", "job_failed", "job_complete"],
                },
                {"type": "slack", "webhook_url_env": "TRIAL_SLACK", "on_events": ["job_failed"], "max_retries": 0},
                {"type": "webhook", "url": f"{self.receiver.url}/{IN_FILE}", "on_events": ["job_complete"]},
            ],
            **sections,
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(job, sort_keys=False))
        return file


@pytest.fixture
def trial(tmp_path: Path, isolated: Path, api: AnthropicServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    with Receiver().in_thread() as receiver:
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("TRIAL_HOOK", f"{receiver.url}/hook/{OF_HOOK}?sig={OF_QUERY}")
        monkeypatch.setenv("TRIAL_SLACK", f"{receiver.url}/services/T01/B02/{OF_SLACK}")
        monkeypatch.setenv("TRIAL_HEADER", OF_HEADER)
        monkeypatch.setenv("MOZART_NB_HOME", str(isolated / "mozart"))
        folder = tmp_path / "work"
        folder.mkdir()
        (tmp_path / "rule.txt").write_text(OF_COMMAND)
        (tmp_path / "action.txt").write_text(OF_ACTION)
        api.handler = answer
        yield Trial(folder, isolated / "mozart", api, receiver, [])


def answer(call: Call) -> Reply:
    if "Batch 2" in call.prompt:
        return refuse(400, f"the token {OF_ERROR} of key {KEY} is not allowed to do this")
    return text(f"{'a ' * 92}{SAID}")  # what is shown of its beginning ends within the key


def failing_and_completing(trial: Trial) -> list[str]:
    """Two jobs: one fails in every way that brings secrets along, one completes and starts a hook."""
    prints = f": {IN_COMMAND}; echo denied: `cat ../../rule.txt`; echo $ANTHROPIC_API_KEY; exit 1"
    rule = {"type": "command_succeeds", "command": prints, "condition": "batch_num == 3"}
    pattern = {"type": "answer_matches", "pattern": "nothing like it", "condition": "batch_num == 4"}
    failing = trial.job("failing", batch={"size": 1, "total_items": 4}, validations=[rule, pattern])
    action = {"type": "run_command", "command": "echo deployed with `cat ../action.txt` $ANTHROPIC_API_KEY"}
    completing = trial.job("completing", batch={"size": 1, "total_items": 1}, on_success=[action])
    trial.receiver.answers(status(500, body=f"who is {OF_HEADER} at {OF_HOOK}?"))
    assert trial.run("validate", failing) == 0
    assert trial.run("run", failing, "--json") == 1
    assert trial.run("run", completing, "-v") == 0
    return ["failing", "completing"]


LOOKS: tuple[tuple[str, ...], ...] = (
    ("status", "ID"),
    ("status", "ID", "--json", "--batches", "all"),
    ("list", "--json"),
    ("errors", "ID", "--verbose"),
    ("errors", "ID", "--json"),
    ("logs", "ID", "--level", "DEBUG"),
    ("logs", "ID", "--json", "--level", "DEBUG"),
    ("logs", "ID", "--file", "--level", "DEBUG"),
    ("logs", "ID", "--raw", "--batch", "1"),
    ("logs", "ID", "--raw", "--batch", "1", "--json"),
    ("diagnose", "ID", "--include-output"),
    ("diagnose", "ID", "--include-output", "--json"),
    ("history", "ID"),
    ("history", "ID", "--json"),
    ("learning", "--json"),
    ("notify-test", "FILE"),
    ("doctor", "--json"),
    ("validate", "FILE", "--json"),
    ("run", "FILE", "--dry-run", "--show", "1"),
)


def test_no_planted_secret_is_found_in_any_byte_that_a_job_leaves_behind(trial: Trial) -> None:
    for name in failing_and_completing(trial):
        for look in LOOKS if name == "failing" else [look for look in LOOKS if "--json" in look]:
            words = {"ID": name, "FILE": str(trial.folder / f"{name}.yaml")}
            assert trial.run(*(words.get(word, word) for word in look)) != 2, look
    trial.receiver.wait_for(5)
    assert found_in(trial.said) == []
    assert found_in(files_below(trial.folder, trial.home)) == []
    assert found_in((got.path, json.dumps(got.document)) for got in trial.receiver.got) == []
    assert trial.receiver.got[0].headers["authorization"] == f"Bearer {OF_HEADER}"  # where it belongs


def test_answers_and_raw_output_alone_keep_what_the_model_wrote_for_their_owner_only(trial: Trial) -> None:
    failing_and_completing(trial)
    kept = [path for path in trial.folder.rglob("*") if path.is_file() and is_kept_as_it_is(path)]
    assert {path.name for path in kept if SAID.encode() in path.read_bytes()} >= {"answers.jsonl"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    written = [*(trial.folder / "failing").rglob("*"), *trial.home.rglob("*")]
    others = [str(path) for path in written if path.is_file() and stat.S_IMODE(path.stat().st_mode) != 0o600]
    assert others == []
    stem = Layout(trial.folder / "failing", "failing").log_stem(1, 1)
    stem.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    Path(f"{stem}.out").write_text(f"{SAID}\n{OF_HOOK}")  # as the program prints it
    for look in (("--raw", "--batch", "1"), ("--raw", "--batch", "1", "--json")):
        assert trial.run("logs", "failing", *look) == 0
    assert found_in(trial.said) == []
    assert trial.said[-2][1].count("[masked]") == 3
    exported = mozart("answers", "failing", "--format", "jsonl").stdout
    assert SAID in exported  # a file or a pipe gets the answers; a screen gets them masked


def test_a_notebook_shows_and_saves_no_planted_secret(trial: Trial, isolated: Path) -> None:
    environ = notebook_environment(isolated)
    secrets = ("ANTHROPIC_API_KEY", "TRIAL_HOOK", "TRIAL_SLACK", "TRIAL_HEADER")
    kernel = Kernel(trial.folder, {**environ, **{name: os.environ[name] for name in secrets}})
    try:
        cells = notebook_cells(trial)
        ran = [kernel.run(code) for code in cells]
        assert [cell.code[:8] for cell in ran if cell.status != "ok"] == ["%%mozart"]  # the job has failed
        shown = [(cell.code, json.dumps([cell.outputs, cell.reply])) for cell in ran]
        shown += [(f"model {name}", json.dumps(state, default=str)) for name, state in kernel.models.items()]
    finally:
        kernel.close()
    assert "[masked]" in "".join(text for _, text in shown)
    assert found_in(shown) == []
    assert found_in(files_below(trial.folder, trial.home)) == []


def notebook_cells(trial: Trial) -> list[str]:
    rule = {"type": "command_succeeds", "command": "cat ../../rule.txt; exit 1", "condition": "batch_num == 1"}
    file = trial.job("noted", batch={"size": 1, "total_items": 3}, validations=[rule])
    return [
        "%load_ext mozart_nb",
        f"%%mozart --wait\n{file.read_text()}".replace(IN_FILE, "plain"),
        "%mozart errors noted",
        "%mozart diagnose noted",
        "%mozart logs noted",
        "%mozart batches noted",
        "%mozart answers noted",
        "job.errors()",
        "job.answers()",
        "job.events()",
        "job.diagnose()",
        "job.status",
    ]


# --- searching --------------------------------------------------------------------------------------------------------


def is_kept_as_it_is(path: Path) -> bool:
    """Answers, and raw logs of sessions."""
    return path.name.startswith("answers.") or (path.suffix in (".out", ".err") and "logs" in path.parts)


def files_below(*folders: Path) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in folder.rglob("*"):
            is_job_file = path.suffix == ".yaml" and path.parent == folder
            if path.is_file() and not is_job_file and not is_kept_as_it_is(path):
                data = path.read_bytes()
                yield str(path.relative_to(folder)), _unpacked(data).decode("latin-1")


def _unpacked(data: bytes) -> bytes:
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


def found_in(texts: Any) -> list[tuple[str, str]]:
    """Where a secret is, or the half of one, and which one."""
    halves = {half: secret for secret in SECRETS for half in (secret[:12], secret[-12:])}
    found = [(where, halves[half]) for where, text in texts for half in halves if half in text]
    return [(where, secret) for where, secret in found if secret != IN_COMMAND or "/plan/" not in where]
