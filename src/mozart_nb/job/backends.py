"""Who does the work: the `claude` program, the API, or a rehearsal."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, Self, get_args

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mozart_nb.job.section import (
    Commas,
    Count,
    Dollars,
    Fault,
    Names,
    PositiveCount,
    PositiveSeconds,
    Probability,
    Real,
    Seconds,
    Section,
    Text,
    refuse,
)

BackendType = Literal["claude_cli", "anthropic_api", "anthropic_batches", "rehearsal"]
StepKind = Literal["ok", "rate_limit", "transient", "timeout", "invalid_output", "crash", "partial", "auth"]
SettingSource = Literal["user", "project", "local"]

# The default of the `model` field: the newest Sonnet that the recorded `claude` 2.1.197 resolves `sonnet` to.
DEFAULT_API_MODEL: Final = "claude-sonnet-5"

CLI_FIELDS: Final = frozenset(
    {
        "skip_permissions",
        "permission_mode",
        "disable_mcp",
        "bare",
        "setting_sources",
        "cli_model",
        "fallback_model",
        "allowed_tools",
        "tools",
        "max_turns",
        "max_budget_usd",
        "system_prompt_file",
        "append_system_prompt",
        "cli_extra_args",
        "cli_path",
        "env",
        "output_format",
    }
)
"""Fields that only `claude_cli` reads."""

API_FIELDS: Final = frozenset(
    {"model", "api_key_env", "base_url", "max_tokens", "temperature", "system", "prompt_caching", "attachments"}
)
"""Fields that only `anthropic_api` and `anthropic_batches` read."""


class BatchOverride(Section):
    """What is different for one batch."""

    cli_model: str | None = Field(None, description="Model for this batch (`claude_cli`).")
    model: str | None = Field(None, description="Model for this batch (API backends).")
    temperature: Real | None = Field(
        None, ge=0, le=1, description="Sampling temperature for this batch (API backends)."
    )
    max_tokens: PositiveCount | None = Field(None, description="Longest answer in tokens (API backends).")
    timeout_seconds: PositiveSeconds | None = Field(
        None, description="Seconds one attempt of this batch may take; wins over `timeout_overrides`."
    )


class BackendConfig(Section):
    """Who runs the sessions, and how. Fields of another type are ignored with a warning."""

    SYNONYMS: ClassVar[dict[str, str]] = {"sheet_overrides": "batch_overrides"}

    type: BackendType = Field(
        "claude_cli",
        description="`claude_cli` starts the `claude` program for every attempt; `rehearsal` answers offline and free "
        "of charge; `anthropic_api` and `anthropic_batches` call the API directly.",
    )
    timeout_seconds: PositiveSeconds = Field(1800.0, description="Seconds one attempt may take.")
    timeout_overrides: dict[int, PositiveSeconds] = Field(
        default_factory=dict, description="Other time limits for single batches: batch number to seconds."
    )
    batch_overrides: dict[int, BatchOverride] = Field(
        default_factory=dict, description="Other settings for single batches: batch number to settings."
    )
    max_output_capture_bytes: PositiveCount = Field(
        10240,
        description="Bytes of the end of stdout and of stderr kept in the state of a batch that did not complete.",
    )
    working_directory: str | None = Field(
        None,
        description="Where sessions work, and where relative paths in rules start. Unset: the job file's directory.",
    )

    skip_permissions: bool = Field(
        True, description="Let the session use its tools without asking (`--dangerously-skip-permissions`)."
    )
    permission_mode: Literal["default", "acceptEdits", "bypassPermissions", "dontAsk", "plan", "auto"] | None = Field(
        None, description="`--permission-mode`; when set, it takes the place of `skip_permissions`."
    )
    disable_mcp: bool = Field(True, description="Start no MCP servers.")
    bare: bool = Field(
        False, description="`--bare`: a small system prompt, tools Bash, Read and Edit only, no project settings."
    )
    setting_sources: Annotated[tuple[SettingSource, ...], Commas] | None = Field(
        None, description="Which settings the session reads; an empty list reads none. Unset: the program's default."
    )
    cli_model: str | None = Field(None, description="Model name or alias. Unset: the program's default.")
    fallback_model: str | None = Field(None, description="Model used while the first one is overloaded.")
    allowed_tools: Names | None = Field(None, description="Tools that need no permission (`--allowedTools`).")
    tools: Names | None = Field(None, description="The only tools there are (`--tools`); an empty list means none.")
    max_turns: PositiveCount | None = Field(None, description="Most turns of one session.")
    max_budget_usd: Dollars | None = Field(None, description="US dollars after which one session ends itself.")
    system_prompt_file: str | None = Field(None, description="File whose text replaces the system prompt.")
    append_system_prompt: str | None = Field(None, description="Text added to the system prompt.")
    cli_extra_args: tuple[Text, ...] = Field((), description="Further arguments, added last.")
    cli_path: str | None = Field(None, description="The program to start. Unset: `claude` on PATH.")
    env: dict[str, Text] = Field(
        default_factory=dict, description="Environment variables for the session. Do not write keys here."
    )
    output_format: Literal["text", "json", "stream-json"] = Field(
        "text", description="What is kept as captured stdout: the answer, the result record, or every line."
    )

    model: str = Field(DEFAULT_API_MODEL, description="Model of the API backends.")
    api_key_env: str = Field("ANTHROPIC_API_KEY", description="Environment variable that holds the API key.")
    base_url: str | None = Field(None, description="Another address of the API.")
    max_tokens: PositiveCount = Field(8192, description="Longest answer, in tokens.")
    temperature: Real | None = Field(None, ge=0, le=1, description="Sampling temperature. Unset: not sent.")
    system: str | None = Field(None, description="System prompt.")
    prompt_caching: Literal["auto"] | bool = Field(
        "auto", description="Mark what all batches share for the prompt cache; `auto` does it when it saves money."
    )
    attachments: tuple[str, ...] = Field(
        (), description="Images, PDF and text files to send along; paths are templates."
    )

    @property
    def asks_no_permission(self) -> bool:
        """Whether a `claude_cli` session may use every tool unasked."""
        if self.permission_mode is not None:
            return self.permission_mode == "bypassPermissions"
        return self.skip_permissions


class RehearsalFailures(Section):
    """How often a rehearsed attempt fails in which way. Probabilities from 0 to 1, at most 1 together."""

    rate_limit: Probability = Field(0.0, description="Refused with a rate limit.")
    transient: Probability = Field(0.0, description="Ends with an overloaded or broken service.")
    timeout: Probability = Field(0.0, description="Takes longer than `backend.timeout_seconds`.")
    invalid_output: Probability = Field(
        0.0,
        description="Ends well but writes none of the files asked for, and its answer is not of the form asked for.",
    )
    crash: Probability = Field(0.0, description="Ends with a non-zero exit code and no result.")

    @model_validator(mode="after")
    def _at_most_always(self) -> Self:
        total = sum(getattr(self, name) for name in type(self).model_fields)
        if total > 1 + 1e-9:
            refuse([Fault((), "the probabilities add up to more than 1", f"{total:g}", "at most 1 together")])
        return self


class RehearsalUsage(Section):
    """What a rehearsed attempt reports as used."""

    input_tokens: Count | None = Field(None, description="Input tokens. Unset: estimated from the prompt.")
    output_tokens: Count | None = Field(None, description="Output tokens. Unset: estimated from the answer.")
    cost_usd: Seconds | None = Field(None, description="US dollars per attempt. Unset: 0.")


class RehearsalStep(Section):
    """What happens in one attempt: a word (`ok`), or a word with details (`rate_limit: {wait_seconds: 2}`)."""

    kind: StepKind = Field(
        description="`ok`, `rate_limit`, `transient`, `timeout`, `invalid_output` (no file written, answer not valid), "
        "`crash`, `partial` (some of the files written) or `auth` (a refused key, which stops the job)."
    )
    wait_seconds: Seconds | None = Field(None, description="With `rate_limit`: seconds the refusal asks to wait.")
    writes: Count | None = Field(None, description="With `partial`: how many of the files are written. Unset: half.")
    message: str | None = Field(None, description="Other error text than the usual one.")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(schema))
        kinds = list(get_args(StepKind))
        details = {
            "type": "object",
            "properties": {key: value for key, value in whole["properties"].items() if key != "kind"},
            "additionalProperties": False,
        }
        by_kind = {
            "type": "object",
            "properties": {kind: {"anyOf": [details, {"type": "null"}]} for kind in kinds},
            "additionalProperties": False,
            "minProperties": 1,
            "maxProperties": 1,
        }
        return {"description": cls.__doc__, "anyOf": [{"enum": kinds}, by_kind, whole]}

    @model_validator(mode="before")
    @classmethod
    def _word_or_mapping(cls, value: Any) -> Any:
        return cls.expand_shorthand(value)

    @classmethod
    def expand_shorthand(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and len(value) == 1 and "kind" not in value:
            [(kind, details)] = value.items()
            if details is None or isinstance(details, dict):
                return {"kind": kind, **(details or {})}
        return value


class RehearsalConfig(Section):
    """How the offline stand-in for Claude behaves: deterministic, from a seed or from a script."""

    answer: str | None = Field(
        None,
        description="Template of the answer, with the same variables as the prompt. Unset: a sentence, or data that "
        "satisfies `answer.schema`.",
    )
    writes: dict[str, str] = Field(
        default_factory=dict,
        description="Files an attempt writes: path to content, both templates. Unset: what the rules ask for.",
    )
    latency_seconds: Seconds = Field(0.05, description="Seconds every attempt takes.")
    seed: int = Field(0, description="Start value of the random choices; the same seed gives the same job.")
    failures: RehearsalFailures = Field(default_factory=RehearsalFailures, description="Random failures.")
    script: dict[int, tuple[RehearsalStep, ...]] = Field(
        default_factory=dict,
        description="What each attempt of a batch does: batch number to a list of steps, one per attempt. After the "
        "last step attempts succeed. An attempt given up before it was sent (at a rate limit, say) counts too.",
    )
    usage: RehearsalUsage = Field(default_factory=RehearsalUsage, description="Tokens and cost an attempt reports.")
