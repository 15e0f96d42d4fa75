-- Workflows, their checkpoints, and the executors that run them.
-- Names and statuses are DBOS's documented words; times are milliseconds since the Unix epoch.
-- Ids compare by bytes, as all text does here; tables with a text key are kept in its order (WITHOUT ROWID).

CREATE TABLE durably_workflow_status (
    workflow_uuid        text NOT NULL PRIMARY KEY,
    run_id               text NOT NULL,
    status               text NOT NULL,
    name                 text NOT NULL,
    class_name           text,
    config_name          text,
    application_name     text NOT NULL,
    application_version  text,
    executor_id          text,
    queue_name           text,
    attempt              integer NOT NULL DEFAULT 0,
    recovery_attempts    integer NOT NULL DEFAULT 0,
    progress             integer NOT NULL DEFAULT 0,
    created_at           integer NOT NULL,
    started_at_epoch_ms  integer,
    completed_at         integer
) WITHOUT ROWID;

-- What an executor holds: for take-over, and for the heartbeat that looks for rows nobody runs.
CREATE INDEX durably_workflow_status_held ON durably_workflow_status (executor_id) WHERE status = 'PENDING';
-- What waits for an executor.
CREATE INDEX durably_workflow_status_waiting ON durably_workflow_status (application_name, created_at)
    WHERE status = 'ENQUEUED';

-- Payloads have rows of their own, so that the row that changes stays narrow.
CREATE TABLE durably_workflow_inputs (
    workflow_uuid  text NOT NULL PRIMARY KEY,
    inputs         text NOT NULL,
    serialization  text NOT NULL
) WITHOUT ROWID;

CREATE TABLE durably_workflow_outputs (
    workflow_uuid  text NOT NULL PRIMARY KEY,
    output         text,
    error          text,
    serialization  text NOT NULL
) WITHOUT ROWID;

CREATE TABLE durably_operation_outputs (
    workflow_uuid          text NOT NULL,
    branch                 text NOT NULL DEFAULT '',
    function_id            integer NOT NULL,
    function_name          text NOT NULL,
    output                 text,
    error                  text,
    serialization          text NOT NULL,
    child_workflow_id      text,
    started_at_epoch_ms    integer,
    completed_at_epoch_ms  integer,
    PRIMARY KEY (workflow_uuid, branch, function_id)
) WITHOUT ROWID;

CREATE TABLE durably_executors (
    application_name     text NOT NULL,
    executor_id          text NOT NULL,
    label                text,
    application_version  text,
    hostname             text,
    process              text,
    started_at           integer NOT NULL,
    heartbeat_at         integer NOT NULL,
    lease_expires_at     integer NOT NULL,
    PRIMARY KEY (application_name, executor_id)
) WITHOUT ROWID;
