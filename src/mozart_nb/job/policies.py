"""How hard a job tries and where it stops: concurrency, retries, limits, time-outs."""

from __future__ import annotations

from typing import Any, ClassVar, Final, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from mozart_nb.job.section import (
    Count,
    Dollars,
    Fault,
    Percent,
    PositiveCount,
    PositiveSeconds,
    Probability,
    Real,
    Seconds,
    Section,
    Whole,
    refuse,
)

DEFAULT_DETECTION_PATTERNS: Final = (
    r"rate.?limit",
    r"usage.?limit",
    r"quota",
    r"too many requests",
    r"429",
    r"capacity",
    r"try again later",
    r"overloaded",
    r"hit.{0,10}limit",
    r"limit.{0,10}resets?",
    r"daily.{0,10}limit",
)


class ParallelConfig(Section):
    """Several batches at once. Without it batches run one after the other, in order."""

    enabled: bool = Field(False, description="Run batches that do not depend on each other at the same time.")
    max_concurrent: PositiveCount = Field(3, description="The most sessions at once.")
    fail_fast: bool = Field(
        True,
        description="When a batch fails for good, start no more. With `false` everything that does not depend on it "
        "still runs.",
    )
    adaptive: bool = Field(
        True, description="Run fewer at once while the service answers 429 or is overloaded, and grow back afterwards."
    )


class RetryPolicy(Section):
    """What happens to a batch whose attempt failed, or whose results are incomplete."""

    max_retries: Count = Field(3, description="Retries after the first attempt; 0 means one attempt only.")
    base_delay_seconds: PositiveSeconds = Field(10.0, description="Seconds before the first retry.")
    max_delay_seconds: PositiveSeconds = Field(3600.0, description="The longest wait before a retry, in seconds.")
    exponential_base: Real = Field(2.0, gt=1, description="Each further wait is this many times the one before.")
    jitter: bool = Field(
        True, description="Multiply each wait by a random 0.5 to 1.5, so that jobs do not retry in step."
    )
    max_completion_attempts: Count = Field(
        3,
        description="Attempts that ask only for what is missing when some rules already pass. They use no retries.",
    )
    completion_delay_seconds: Seconds = Field(5.0, description="Seconds before a completion attempt.")
    completion_threshold_percent: Percent = Field(
        50.0, description="The share of passing rules (percent) from which a completion attempt is made."
    )

    @model_validator(mode="after")
    def _delays_in_order(self) -> Self:
        if self.base_delay_seconds > self.max_delay_seconds:
            limit = f"at most max_delay_seconds ({self.max_delay_seconds:g})"
            message = "the first wait is longer than the longest wait"
            refuse([Fault(("base_delay_seconds",), message, f"{self.base_delay_seconds:g}", limit)])
        return self


class RateLimitPolicy(Section):
    """Rate and usage limits. Waiting uses no retries; a time the service names always comes first."""

    wait_minutes: Real = Field(
        60.0,
        gt=0,
        description="Minutes to wait at a usage limit that names no time; also the most that waits for an unnamed "
        "request-rate limit grow to.",
    )
    max_waits: PositiveCount = Field(24, description="Waits per job; after the last one the job pauses.")
    max_quota_waits: PositiveCount = Field(48, description="Waits per job for usage limits that name their end.")
    detection_patterns: tuple[str, ...] = Field(
        DEFAULT_DETECTION_PATTERNS,
        description="Regular expressions (case ignored) that mark an error message as a limit. "
        "They are applied to error text only, never to answers.",
    )
    requests_per_minute: PositiveCount | None = Field(None, description="The most requests per minute, sent evenly.")
    tokens_per_minute: PositiveCount | None = Field(
        None, description="The most tokens per minute, input and output together."
    )


class CircuitBreakerPolicy(Section):
    """A pause when attempts keep failing, so that an outage does not use up every retry."""

    enabled: bool = Field(True, description="Pause after failures in a row.")
    failure_threshold: Whole = Field(5, ge=1, le=100, description="Failed attempts in a row that open the breaker.")
    recovery_timeout_seconds: Real = Field(
        300.0, gt=0, le=3600, description="Seconds until one trial attempt is let through."
    )


class ModelPrices(Section):
    """US dollars per million tokens of one model. `[3, 15]` is short for `{input: 3, output: 15}`."""

    input: Seconds = Field(description="Input tokens.")
    output: Seconds = Field(description="Output tokens.")
    cache_write: Seconds | None = Field(
        None, description="Tokens written to the prompt cache for 5 minutes. Unset: 1.25 times `input`."
    )
    cache_write_1h: Seconds | None = Field(
        None, description="Tokens written to the prompt cache for an hour. Unset: twice `input`."
    )
    cache_read: Seconds | None = Field(
        None, description="Tokens read from the prompt cache. Unset: a tenth of `input`."
    )
    batch_discount: Probability = Field(0.5, description="What message batches take off: a part from 0 to 1.")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(schema))
        price = {"type": "number", "minimum": 0}
        pair = {"type": "array", "prefixItems": [price, price], "minItems": 2, "maxItems": 2}
        return {"description": cls.__doc__, "anyOf": [pair, whole]}

    @model_validator(mode="before")
    @classmethod
    def _pair_or_mapping(cls, value: Any) -> Any:
        given = cls.expand_shorthand(value)
        if not isinstance(given, dict | cls):
            allowed = "[input, output], or a mapping with these two keys"
            refuse([Fault((), "`{path}` is two numbers, US dollars per million tokens", f"{value}", allowed)])
        return given

    @classmethod
    def expand_shorthand(cls, value: Any) -> Any:
        if isinstance(value, list | tuple) and len(value) == 2:
            return {"input": value[0], "output": value[1]}
        return value


class CostLimits(Section):
    """Money a job may spend, in US dollars. A limit that is reached pauses the job."""

    SYNONYMS: ClassVar[dict[str, str]] = {"max_cost_per_sheet": "max_cost_per_batch"}

    enabled: bool | None = Field(None, description="Unset: on when a limit is given.")
    max_cost_per_batch: Dollars | None = Field(None, description="US dollars for one batch, all attempts together.")
    max_cost_per_job: Dollars | None = Field(None, description="US dollars for the whole job.")
    warn_at_percent: Percent = Field(
        80.0, description="Tell once that this share (percent) of `max_cost_per_job` is used."
    )
    prices: dict[str, ModelPrices] = Field(
        default_factory=dict,
        description="Prices that go before the built-in table: model to US dollars per million tokens, "
        "`[input, output]` or a mapping.",
    )

    @model_validator(mode="after")
    def _enabled_with_a_limit(self) -> Self:
        if self.enabled and self.max_cost_per_batch is None and self.max_cost_per_job is None:
            refuse([Fault(("enabled",), "there is no limit", "true", "max_cost_per_batch or max_cost_per_job as well")])
        return self

    @property
    def is_active(self) -> bool:
        has_limit = self.max_cost_per_batch is not None or self.max_cost_per_job is not None
        return has_limit and self.enabled is not False


class StaleDetectionConfig(Section):
    """Sessions that went silent."""

    enabled: bool = Field(False, description="End a session that prints nothing for too long.")
    idle_timeout_seconds: PositiveSeconds = Field(
        300.0, description="Seconds without any output until a session counts as stale; output starts the count again."
    )
