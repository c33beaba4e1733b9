"""The JSON Schema of job files, and the reference page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mozart_nb.job.known import UNSUPPORTED
from mozart_nb.job.model import JobConfig
from mozart_nb.job.names import VARIABLES
from mozart_nb.job.reference import render
from mozart_nb.job.schema import job_schema, sections
from mozart_nb.job.vcodes import V_CODES

PAGE = Path(__file__).parents[2] / "docs" / "job-file.md"


# --- a checker for the part of JSON Schema that the schema uses -------------------------------------------------------


class Checker:
    """Says whether a value is valid. Fails on a keyword it does not know, so that none is overlooked."""

    NOTES = frozenset({"description", "default", "deprecated", "title", "$schema", "$defs"})

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def errors(self, value: Any, schema: Any = None, at: str = "") -> list[str]:
        schema = self.schema if schema is None else schema
        if schema is True:
            return []
        if schema is False:
            return [f"{at}: not allowed"]
        found: list[str] = []
        for keyword, rule in schema.items():
            if keyword not in self.NOTES:
                found += getattr(self, "check_" + keyword.strip("$").replace("not", "not_").replace("if", "if_"))(
                    rule, value, schema, at
                )
        return found

    def check_ref(self, rule: str, value: Any, schema: Any, at: str) -> list[str]:
        return self.errors(value, self.schema["$defs"][rule.rpartition("/")[2]], at)

    def check_type(self, rule: Any, value: Any, schema: Any, at: str) -> list[str]:
        allowed = [rule] if isinstance(rule, str) else rule
        return [] if any(_is(kind, value) for kind in allowed) else [f"{at}: {value!r} is no {rule}"]

    def check_enum(self, rule: list[Any], value: Any, schema: Any, at: str) -> list[str]:
        return [] if value in rule else [f"{at}: {value!r} is none of {rule}"]

    def check_const(self, rule: Any, value: Any, schema: Any, at: str) -> list[str]:
        return [] if value == rule else [f"{at}: {value!r} is not {rule!r}"]

    def check_properties(self, rule: dict[str, Any], value: Any, schema: Any, at: str) -> list[str]:
        if not isinstance(value, dict):
            return []
        return [e for key, part in rule.items() if key in value for e in self.errors(value[key], part, f"{at}.{key}")]

    def check_additionalProperties(self, rule: Any, value: Any, schema: Any, at: str) -> list[str]:
        if not isinstance(value, dict):
            return []
        others = value.keys() - schema.get("properties", {}).keys()
        return [e for key in others for e in self.errors(value[key], rule, f"{at}.{key}")]

    def check_required(self, rule: list[str], value: Any, schema: Any, at: str) -> list[str]:
        return [f"{at}: {key} is missing" for key in rule if isinstance(value, dict) and key not in value]

    def check_items(self, rule: Any, value: Any, schema: Any, at: str) -> list[str]:
        if not isinstance(value, list):
            return []
        return [e for index, item in enumerate(value) for e in self.errors(item, rule, f"{at}[{index}]")]

    def check_anyOf(self, rule: list[Any], value: Any, schema: Any, at: str) -> list[str]:
        found = [self.errors(value, part, at) for part in rule]
        return [] if any(not one for one in found) else [f"{at}: none of the alternatives", *found[0]]

    def check_allOf(self, rule: list[Any], value: Any, schema: Any, at: str) -> list[str]:
        return [e for part in rule for e in self.errors(value, part, at)]

    def check_not_(self, rule: Any, value: Any, schema: Any, at: str) -> list[str]:
        return [] if self.errors(value, rule, at) else [f"{at}: {rule} is not allowed"]

    def check_if_(self, rule: Any, value: Any, schema: Any, at: str) -> list[str]:
        return [] if self.errors(value, rule, at) else self.errors(value, schema["then"], at)

    def check_then(self, rule: Any, value: Any, schema: Any, at: str) -> list[str]:
        return []

    def check_minimum(self, rule: float, value: Any, schema: Any, at: str) -> list[str]:
        return [f"{at}: {value} < {rule}"] if _is("number", value) and value < rule else []

    def check_maximum(self, rule: float, value: Any, schema: Any, at: str) -> list[str]:
        return [f"{at}: {value} > {rule}"] if _is("number", value) and value > rule else []

    def check_exclusiveMinimum(self, rule: float, value: Any, schema: Any, at: str) -> list[str]:
        return [f"{at}: {value} <= {rule}"] if _is("number", value) and value <= rule else []

    def check_minLength(self, rule: int, value: Any, schema: Any, at: str) -> list[str]:
        return [f"{at}: too short"] if isinstance(value, str) and len(value) < rule else []

    def check_minProperties(self, rule: int, value: Any, schema: Any, at: str) -> list[str]:
        return [f"{at}: too few keys"] if isinstance(value, dict) and len(value) < rule else []

    def check_maxProperties(self, rule: int, value: Any, schema: Any, at: str) -> list[str]:
        return [f"{at}: too many keys"] if isinstance(value, dict) and len(value) > rule else []

    def check_pattern(self, rule: str, value: Any, schema: Any, at: str) -> list[str]:
        return [] if not isinstance(value, str) or re.search(rule, value) else [f"{at}: {value!r} does not match"]


def _is(kind: str, value: Any) -> bool:
    if kind in ("integer", "number") and isinstance(value, bool):
        return False
    types: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    return isinstance(value, types[kind])


def errors_of(text: str) -> list[str]:
    # Editors see keys of mappings as text, as JSON does.
    return Checker(job_schema()).errors(json.loads(json.dumps(yaml.safe_load(text))))


# --- the schema -------------------------------------------------------------------------------------------------------

HEAD = "name: x\nbatch: {size: 1, total_items: 3}\n"

README_JOB = """
name: "my-batch-job"
description: "Process items in batches"
backend: {type: claude_cli, skip_permissions: true}
batch: {size: 10, total_items: 100}
prompt:
  template: |
    Process batch {{ batch_num }} of {{ total_batches }}.
  stakes: "Complete all items correctly for a reward!"
retry: {max_retries: 2}
validations:
  - {type: file_exists, path: "output/batch{{ batch_num }}-result.md"}
  - {type: file_exists, path: "{workspace}/batch{batch_num}-output.md"}
"""

FULL_JOB = """
name: everything
pause_between_sheets_seconds: 1
sheet:
  {size: 1, total_items: 3, start_item: 1, descriptions: {1: a}, dependencies: {2: [1]}, fan_out: {2: 3},
   fan_out_stage_map: {}, skip_when: {2: "false"}, skip_when_command: {3: {command: "true"}},
   prompt_extensions: {1: [x]}}
backend:
  {type: claude_cli, tools: "Bash,Read", allowed_tools: [Bash], setting_sources: [user], env: {PORT: 8080, ON: true},
   cli_extra_args: [--x, 1], sheet_overrides: {2: {cli_model: haiku}}, timeout_overrides: {1: 5.5}, temperature: null}
prompt: {template: t, variables: {a: [1, {b: 2}]}}
answer: {format: json, schema: {type: object}}
cross_sheet: {lookback_sheets: 2}
cost_limits: {max_cost_per_sheet: 1, cost_per_1k_input_tokens: 0.1}
notifications: [{type: slack, on_events: [sheet_failed, batch_start, job_complete], headers: {a: 1}}]
rehearsal:
  script: {1: [ok, {rate_limit: {wait_seconds: 2}}, {partial: {writes: 2}}, {crash: null}]}
checkpoints: {triggers: [{name: a, sheet_nums: [1]}]}
grounding: {enabled: true}
learning: {enabled: true, exploration_rate: 0.1}
"""


@pytest.mark.parametrize("text", [README_JOB, FULL_JOB, HEAD, "name: x\nitems: {glob: '*.md'}\n"])
def test_valid_job_files_are_valid_for_an_editor(text: str) -> None:
    assert errors_of(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "batch: {size: 1, total_items: 3}",
        "name: x",
        "name: x\nbatch: {size: 1}",
        HEAD + "retries: {}",
        HEAD + "retry: {max_retries: -1}",
        HEAD + "retry: {max_retries: 1.5}",
        HEAD + "retry: {base_delay_seconds: 0}",
        HEAD + "circuit_breaker: {failure_threshold: 101}",
        HEAD + "backend: {type: ollama}",
        HEAD + "backend: {timeout: 3}",
        HEAD + "validations: [{type: file_exist, path: x}]",
        HEAD + "validations: [{path: x}]",
        HEAD + "sheet: {size: 1, total_items: 3}",
        HEAD + "cross_batch: {lookback_batches: 1, lookback_sheets: 1}",
        HEAD + "rehearsal: {script: {1: [maybe]}}",
        HEAD + "rehearsal: {script: {1: [{partial: {wrote: 2}}]}}",
        HEAD + "isolation: {branch_prefix: 1a}",
        HEAD + "notifications: [{type: desktop, on_events: [never]}]",
    ],
)
def test_mistakes_are_marked_by_an_editor(text: str) -> None:
    assert errors_of(text) != []


def test_every_key_has_a_description() -> None:
    schema = job_schema()
    parts = {"job": schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, one in part.get("properties", {}).items()
        if not one.get("description") and not parts[one["$ref"].rpartition("/")[2]].get("description")
    ]
    assert silent == []


def test_known_keys_without_effect_are_marked_as_such() -> None:
    properties = job_schema()["properties"]
    for key in UNSUPPORTED[JobConfig]:
        assert properties[key]["deprecated"] is True


def test_the_schema_is_json_of_its_own_each_time() -> None:
    first = job_schema()
    first["properties"].clear()
    assert job_schema()["properties"]
    assert json.loads(json.dumps(job_schema())) == job_schema()
    assert job_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


# --- the reference page -----------------------------------------------------------------------------------------------


def test_the_reference_page_is_what_the_models_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == render(), "run `python -m mozart_nb.job.reference`"


def test_the_reference_page_names_every_key_variable_and_check() -> None:
    page = render()
    for name in (*_keys(), *VARIABLES, *V_CODES, *(key for table in UNSUPPORTED.values() for key in table)):
        assert name in page


def _keys() -> Iterator[str]:
    for model in sections():
        for name, field in model.model_fields.items():
            yield f"`{field.alias or name}`"
        yield from (f"`{synonym}`" for synonym in model.SYNONYMS)


def test_the_tables_of_the_reference_page_are_whole() -> None:
    table: list[int] = []
    for line in render().splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line))
        if line.startswith("|"):
            table.append(cells)
        elif table:
            assert len(set(table)) == 1, line
            table = []
