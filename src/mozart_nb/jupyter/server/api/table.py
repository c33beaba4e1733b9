"""Every operation of the API, in one table: routes, the OpenAPI document and its page are made from it."""

from __future__ import annotations

from typing import Final

from mozart_nb.jupyter.server.api import about, batches, files, jobs, models, queries, records
from mozart_nb.jupyter.server.api.operation import Operation, Resource
from mozart_nb.jupyter.server.api.stream import stream

RESOURCES: Final[tuple[Resource, ...]] = (
    Resource(
        "/health",
        "server",
        {
            "GET": Operation(
                id="health", summary="Whether the server answers", answer=models.Health, carry_out=about.health
            )
        },
    ),
    Resource(
        "/api/jobs",
        "jobs",
        {
            "GET": Operation(
                id="listJobs",
                summary="All known jobs, filtered, sorted, a page at a time",
                answer=models.JobList,
                query=queries.JobsQuery,
                carry_out=jobs.list_jobs,
            ),
            "POST": Operation(
                id="createJob",
                summary="Have the conductor run a job file",
                description=(
                    "The job file is sent as YAML. Keys of services are never sent: the conductor takes them from its "
                    "own environment. 200 when there was nothing to begin, because it runs already or is done."
                ),
                answer=models.Created,
                body=queries.CreateBody,
                statuses=(201, 200),
                fails=(409, 422),
                carry_out=jobs.create,
            ),
        },
    ),
    Resource(
        "/api/jobs/{key}",
        "jobs",
        {
            "GET": Operation(
                id="getJob",
                summary="One job, with the config it was planned from",
                answer=models.JobDocument,
                carry_out=jobs.one_job,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/status",
        "jobs",
        {
            "GET": Operation(
                id="getStatus",
                summary="The status document, as `mozart status --json`",
                answer=models.StatusDocument,
                query=queries.StatusQuery,
                carry_out=jobs.status,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/actions",
        "jobs",
        {
            "POST": Operation(
                id="act",
                summary="Pause, resume, cancel, retry, modify, or answer a question",
                description=(
                    "Returns once it was asked, not once it was done; the events tell what comes of it. A job that "
                    "nobody runs is taken up by the conductor."
                ),
                answer=models.Done,
                body=queries.ActionBody,
                statuses=(202,),
                fails=(422,),
                carry_out=jobs.act,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/batches",
        "batches",
        {
            "GET": Operation(
                id="listBatches",
                summary="The batches of a job, filtered, sorted, a page at a time",
                answer=models.BatchList,
                query=queries.BatchesQuery,
                carry_out=batches.list_batches,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/batches/{number}",
        "batches",
        {
            "GET": Operation(
                id="getBatch",
                summary="Everything about one batch: prompt, answer, rules, attempts, output",
                answer=models.BatchDocument,
                carry_out=batches.one_batch,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/batches/{number}/output",
        "batches",
        {
            "GET": Operation(
                id="getOutput",
                summary="The end of what an attempt has printed",
                answer=models.Output,
                query=queries.OutputQuery,
                carry_out=batches.output,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/questions",
        "batches",
        {
            "GET": Operation(
                id="listQuestions",
                summary="What waits for an answer",
                answer=models.QuestionList,
                carry_out=batches.questions,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/answers",
        "batches",
        {
            "GET": Operation(
                id="listAnswers",
                summary="The answers as rows, from a batch on",
                answer=models.AnswerList,
                query=queries.AnswersQuery,
                carry_out=batches.answers,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/events",
        "what happened",
        {
            "GET": Operation(
                id="listEvents",
                summary="The events of the journal: a page of them, or live as server-sent events",
                description=(
                    "With `Accept: text/event-stream` the answer does not end: messages without a name are events, "
                    "their number as `id`; `status` is the job as it stands; `reset`: a new journal began; `reload`: "
                    "more happened than was kept for this client; `gone`: the job is no longer there. `Last-Event-ID` "
                    "goes on where a client left off."
                ),
                answer=models.EventList,
                query=queries.EventsQuery,
                carry_out=records.events,
                stream=stream,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/logs",
        "what happened",
        {
            "GET": Operation(
                id="listLogs",
                summary="The last lines of the log",
                answer=models.LogList,
                query=queries.LogsQuery,
                carry_out=records.logs,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/errors",
        "what happened",
        {
            "GET": Operation(
                id="listErrors",
                summary="Every failure, the last one first, and by code",
                answer=models.ErrorList,
                query=queries.ErrorsQuery,
                carry_out=records.errors,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/diagnose",
        "what happened",
        {
            "GET": Operation(
                id="diagnose",
                summary="Why the job is where it is, and what to do next",
                answer=models.Diagnosis,
                carry_out=records.diagnose,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/frames",
        "what happened",
        {
            "GET": Operation(
                id="getMoments",
                summary="How far the past reaches, and its marks",
                answer=models.Moments,
                carry_out=records.moments,
            )
        },
    ),
    Resource(
        "/api/jobs/{key}/frames/{number}",
        "what happened",
        {
            "GET": Operation(
                id="getFrame",
                summary="The job as it was after an event",
                description="503 while a long journal is read for the first time.",
                answer=models.FrameDocument,
                carry_out=records.frame,
            )
        },
    ),
    Resource(
        "/api/history",
        "what happened",
        {
            "GET": Operation(
                id="listRuns",
                summary="Runs of all jobs, or of one",
                answer=models.RunList,
                query=queries.HistoryQuery,
                carry_out=records.history,
            )
        },
    ),
    Resource(
        "/api/validate",
        "job files",
        {
            "POST": Operation(
                id="validate",
                summary="Check a job file; executes nothing",
                answer=models.Validation,
                body=queries.ConfigBody,
                carry_out=files.validate,
                checks=True,
            )
        },
    ),
    Resource(
        "/api/rehearse",
        "job files",
        {
            "POST": Operation(
                id="rehearse",
                summary="What a job file would do: batches, prompts, tokens, cost",
                description="Nothing is sent and nothing written. `POST /api/jobs` with `rehearse` runs it for free.",
                answer=models.Rehearsal,
                body=queries.RehearseBody,
                fails=(422,),
                carry_out=files.rehearse,
                checks=True,
            )
        },
    ),
    Resource(
        "/api/conductor",
        "server",
        {
            "GET": Operation(
                id="getConductor",
                summary="How the conductor is",
                answer=models.ConductorDocument,
                carry_out=about.conductor,
            )
        },
    ),
)
