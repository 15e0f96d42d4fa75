-- Workflows, their checkpoints, and the executors that run them.
-- Names and statuses are DBOS's documented words; times are milliseconds since the Unix epoch.
-- Ids compare by bytes (COLLATE "C"): exact, and cheaper than a language's order.

CREATE TABLE durably.workflow_status (
    workflow_uuid        text COLLATE "C" NOT NULL PRIMARY KEY,
    run_id               text COLLATE "C" NOT NULL,
    status               text COLLATE "C" NOT NULL,
    name                 text NOT NULL,
    class_name           text,
    config_name          text,
    application_name     text COLLATE "C" NOT NULL,
    application_version  text,
    executor_id          text COLLATE "C",
    queue_name           text COLLATE "C",
    attempt              integer NOT NULL DEFAULT 0,
    recovery_attempts    integer NOT NULL DEFAULT 0,
    progress             integer NOT NULL DEFAULT 0,
    created_at           bigint NOT NULL,
    started_at_epoch_ms  bigint,
    completed_at         bigint
) WITH (fillfactor = 80);

-- What an executor holds: for take-over, and for the heartbeat that looks for rows nobody runs.
CREATE INDEX workflow_status_held ON durably.workflow_status (executor_id) WHERE status = 'PENDING';
-- What waits for an executor.
CREATE INDEX workflow_status_waiting ON durably.workflow_status (application_name, created_at)
    WHERE status = 'ENQUEUED';

-- Payloads have rows of their own, so that the row that changes stays narrow.
CREATE TABLE durably.workflow_inputs (
    workflow_uuid  text COLLATE "C" NOT NULL PRIMARY KEY,
    inputs         text NOT NULL,
    serialization  text NOT NULL
);

CREATE TABLE durably.workflow_outputs (
    workflow_uuid  text COLLATE "C" NOT NULL PRIMARY KEY,
    output         text,
    error          text,
    serialization  text NOT NULL
);

CREATE TABLE durably.operation_outputs (
    workflow_uuid          text COLLATE "C" NOT NULL,
    branch                 text COLLATE "C" NOT NULL DEFAULT '',
    function_id            integer NOT NULL,
    function_name          text NOT NULL,
    output                 text,
    error                  text,
    serialization          text NOT NULL,
    child_workflow_id      text,
    started_at_epoch_ms    bigint,
    completed_at_epoch_ms  bigint,
    PRIMARY KEY (workflow_uuid, branch, function_id)
);

CREATE TABLE durably.executors (
    application_name     text COLLATE "C" NOT NULL,
    executor_id          text COLLATE "C" NOT NULL,
    label                text,
    application_version  text,
    hostname             text,
    process              text,
    started_at           bigint NOT NULL,
    heartbeat_at         bigint NOT NULL,
    lease_expires_at     bigint NOT NULL,
    PRIMARY KEY (application_name, executor_id)
);
