"""Every error code, produced by a whole job through the command line: by a program, a service or a disk that fails.

What stands in for the world is a program that does what its prompt says, and a server of the Messages API on loopback.
A code counts as produced when `errors` names it, or, where there is no job to speak of, the error of the command.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.anthropic_server import AnthropicServer, Call, Reply, refuse, text
from support.commands import Ended, mozart
from support.disks import read_only
from support.obedient import write_obedient

from mozart_nb.checkpoint.frames import EVENTS
from mozart_nb.checkpoint.layout import Layout
from mozart_nb.codes import CODES
from mozart_nb.engine.driver import Driver
from mozart_nb.engine.ports import Request
from mozart_nb.events import FORMAT, Event, JobPlanned, LimitHit, PlanShape, RunOptions, encode_event
from mozart_nb.job.load import load_job
from mozart_nb.runtime import prepare, run_job

ONCE = {"max_retries": 0, "max_completion_attempts": 0, "base_delay_seconds": 0.01, "jitter": False}


class Shop:
    """Writes one job file into `folder` and runs it."""

    def __init__(self, folder: Path, api: AnthropicServer) -> None:
        self.folder = folder
        self.file = folder / "job.yaml"
        self.layout = Layout(folder / "ws", "coded")
        self.served = api

    def program(self, prompt: str, **sections: Any) -> Ended:
        """A job whose session executes `prompt`."""
        backend = {"type": "claude_cli", "cli_path": write_obedient(self.folder), **sections.pop("backend", {})}
        return self.run(backend=backend, prompt={"template": f"{prompt}\n# that is all"}, **sections)

    def api(self, *replies: Reply, **sections: Any) -> Ended:
        """A job whose requests are answered so in turn; the last reply is repeated."""

        def handler(call: Call) -> Reply:
            return replies[min(call.number, len(replies)) - 1]

        self.served.handler = handler
        return self.run(backend=self.backend(), prompt={"template": "Say something."}, **sections)

    def backend(self) -> dict[str, Any]:
        return {"type": "anthropic_api", "model": "claude-haiku-4-5", "base_url": self.served.url, "max_tokens": 100}

    def run(self, **sections: Any) -> Ended:
        self.write(**sections)
        return mozart("run", self.file, "--json")

    def write(self, **sections: Any) -> None:
        job = {"name": "coded", "workspace": "./ws", "batch": {"size": 1, "total_items": 1}, "retry": ONCE, **sections}
        self.file.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")

    def codes(self) -> set[str]:
        """What `errors` names."""
        document = mozart("errors", "coded", "-w", self.layout.workspace, "--json").document
        return {error["code"] for error in document["errors"]}


Produce = Callable[[Shop], Ended]
PRODUCERS: dict[str, tuple[Produce, int]] = {}


def ends(code: str, exit_code: int = 1) -> Callable[[Produce], Produce]:
    """The function that follows runs a job in which `code` happens, and which ends with `exit_code`."""

    def register(produce: Produce) -> Produce:
        assert code not in PRODUCERS
        PRODUCERS[code] = produce, exit_code
        return produce

    return register


@pytest.fixture
def shop(tmp_path: Path, api: AnthropicServer, monkeypatch: pytest.MonkeyPatch) -> Shop:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "not-a-key")
    return Shop(tmp_path, api)


# --- passing trouble, limits ------------------------------------------------------------------------------------------


@ends("E001")
def _program_that_ends_without_a_word(shop: Shop) -> Ended:
    return shop.program("open_(); sys.exit(3)")


@ends("E002")
def _nobody_listens(shop: Shop) -> Ended:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    backend = {**shop.backend(), "base_url": f"http://127.0.0.1:{port}"}
    return shop.run(backend=backend, prompt={"template": "Say something."})


@ends("E003", exit_code=0)
def _overloaded_service(shop: Shop) -> Ended:
    retry = {"max_retries": 1, "base_delay_seconds": 0.01, "jitter": False}
    return shop.api(refuse(529, "Overloaded"), text("done"), retry=retry)


@ends("E101", exit_code=0)
def _too_many_requests(shop: Shop) -> Ended:
    return shop.api(refuse(429, "Number of requests has exceeded your rate limit", retry_after="0.05"), text("done"))


@ends("E102", exit_code=0)
def _quota_is_spent(shop: Shop) -> Ended:
    spent = refuse(429, "You have reached your specified API usage limits.", retry_after="0.05")
    return shop.api(spent, text("done"))


@ends("E103", exit_code=3)
def _overloaded_for_an_hour(shop: Shop) -> Ended:
    """The wait is real and is interrupted: the job pauses while it waits."""
    shop.served.handler = lambda call: refuse(529, "Overloaded", retry_after="3600")
    shop.write(backend=shop.backend(), prompt={"template": "Say something."})
    drivers: list[Driver] = []

    async def impatient(events: Sequence[Event]) -> None:
        if any(isinstance(event, LimitHit) and event.code == "E103" for event in events):
            drivers[0].request(Request(kind="pause", by="test"))

    prepared = prepare(load_job(shop.file))
    state = asyncio.run(run_job(prepared, RunOptions(), observers=[impatient], on_start=drivers.append))
    assert state.job.limit is not None
    assert state.job.limit.wait_seconds >= 3600
    return Ended(3 if state.status == "paused" else 1, "", "")


# --- what came out ----------------------------------------------------------------------------------------------------


@ends("E201")
def _promised_file_is_not_there(shop: Shop) -> Ended:
    return shop.program('open_(); done("I wrote it.")', validations=[{"type": "file_exists", "path": "report.md"}])


@ends("E202")
def _answer_is_no_json(shop: Shop) -> Ended:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    return shop.api(text("no idea"), answer={"format": "json", "schema": schema})


@ends("E203")
def _command_that_does_not_exist(shop: Shop) -> Ended:
    rules = [{"type": "command_succeeds", "command": "no-such-command-at-all"}]
    return shop.program("open_(); done()", validations=rules)


# --- time, signals ----------------------------------------------------------------------------------------------------


@ends("E301")
def _too_slow(shop: Shop) -> Ended:
    return shop.program("open_(); time.sleep(60)", backend={"timeout_seconds": 0.2})


@ends("E302")
def _too_slow_and_deaf(shop: Shop) -> Ended:
    """Killed once the five seconds are over that a session has after being asked to end."""
    prompt = "signal.signal(signal.SIGINT, signal.SIG_IGN); open_(); time.sleep(60)"
    return shop.program(prompt, backend={"timeout_seconds": 0.5})


@ends("E303")
def _silent(shop: Shop) -> Ended:
    return shop.program("open_(); time.sleep(60)", stale_detection={"enabled": True, "idle_timeout_seconds": 0.3})


@ends("E401")
def _ended_by_somebody(shop: Shop) -> Ended:
    return shop.program("open_(); os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)")


@ends("E402")
def _crash(shop: Shop) -> Ended:
    return shop.program(f"open_(); {WITHOUT_CORE}; os.kill(os.getpid(), signal.SIGSEGV); time.sleep(60)")


@ends("E403")
def _out_of_memory(shop: Shop) -> Ended:
    said = 'print("FATAL ERROR: Reached heap limit, JavaScript heap out of memory", file=sys.stderr, flush=True)'
    return shop.program(f"open_(); {said}; {WITHOUT_CORE}; os.abort()")


WITHOUT_CORE = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))"


# --- what another attempt cannot mend ---------------------------------------------------------------------------------


@ends("E501")
def _bad_key(shop: Shop) -> Ended:
    return shop.api(refuse(401, "invalid x-api-key"))


@ends("E502")
def _unknown_variable(shop: Shop) -> Ended:
    return shop.run(backend={"type": "rehearsal"}, prompt={"template": "{{ bacth_num }}"})


@ends("E503")
def _program_is_not_there(shop: Shop) -> Ended:
    return shop.run(backend={"type": "claude_cli", "cli_path": "./nowhere/claude"}, prompt={"template": "work"})


@ends("E504")
def _no_such_model(shop: Shop) -> Ended:
    return shop.api(refuse(404, "model: claude-nobody-1"))


@ends("E505")
def _too_large(shop: Shop) -> Ended:
    return shop.api(refuse(413, "Request exceeds the maximum size"))


@ends("E506", exit_code=3)
def _no_money(shop: Shop) -> Ended:
    return shop.api(refuse(400, "Your credit balance is too low to access the Anthropic API."))


@ends("E601")
def _attachment_is_missing(shop: Shop) -> Ended:
    backend = {**shop.backend(), "attachments": ["scans/{batch_num}.pdf"]}
    return shop.run(backend=backend, prompt={"template": "Read it."})


@ends("E602")
def _working_directory_is_removed(shop: Shop) -> Ended:
    (shop.folder / "work").mkdir()
    return shop.program(
        "open_(); done(); os.rmdir(os.getcwd())",
        batch={"size": 1, "total_items": 2},
        backend={"working_directory": "./work"},
    )


@ends("E603")
def _endless_prompt(shop: Shop) -> Ended:
    return shop.run(backend={"type": "rehearsal"}, prompt={"template": "{{ 'word ' * 130000 }}"})


@ends("E701")
def _damaged_journal(shop: Shop) -> Ended:
    shop.run(backend={"type": "rehearsal"}, prompt={"template": "work"})
    lines = shop.layout.segment(1).read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"batch", b"botch")
    shop.layout.segment(1).write_bytes(b"".join(lines))
    shop.layout.snapshot.unlink()
    return mozart("resume", "coded", "-w", shop.layout.workspace, "--json")


@ends("E702")
def _journal_of_a_newer_version(shop: Shop) -> Ended:
    shop.run(backend={"type": "rehearsal"}, prompt={"template": "work"})
    planned = JobPlanned(
        seq=1, at=1.0, job_id="coded", name="coded", plan=PlanShape(1), seed=1, config_digest="", format=FORMAT + 1
    )
    shop.layout.segment(1).write_bytes(EVENTS.wrap(encode_event(planned)))
    shop.layout.snapshot.unlink()
    return mozart("resume", "coded", "-w", shop.layout.workspace, "--json")


@ends("E703", exit_code=3)
def _read_only_disk(shop: Shop) -> Ended:
    shop.run(backend={"type": "rehearsal"}, prompt={"template": "work"}, batch={"size": 1, "total_items": 2})
    with read_only(shop.layout.workspace):
        return mozart("run", shop.file, "--fresh", "--json")


@ends("E999")
def _ends_in_a_way_nobody_knows(shop: Shop) -> Ended:
    return shop.program('open_(); done(is_error=True, subtype="error_max_budget_usd"); sys.exit(1)')


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", PRODUCERS)
def test_a_whole_job_produces_the_code(shop: Shop, code: str) -> None:
    produce, exit_code = PRODUCERS[code]
    ended = produce(shop)
    assert ended.exit_code == exit_code, ended
    if CODES[code].meaning.startswith("checkpoint"):
        assert ended.document["error"]["code"] == code
    else:
        assert code in shop.codes()


def test_there_is_a_job_for_every_code() -> None:
    assert PRODUCERS.keys() == CODES.keys()
