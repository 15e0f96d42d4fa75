-- Messages, events, streams; children, deadlines, forks and attributes.

ALTER TABLE durably_workflow_status ADD COLUMN parent_workflow_id text;
ALTER TABLE durably_workflow_status ADD COLUMN workflow_timeout_ms integer;
ALTER TABLE durably_workflow_status ADD COLUMN workflow_deadline_epoch_ms integer;
ALTER TABLE durably_workflow_status ADD COLUMN forked_from text;
ALTER TABLE durably_workflow_status ADD COLUMN authenticated_user text;
ALTER TABLE durably_workflow_status ADD COLUMN attributes text;

-- What a sweep for deadlines reads: workflows that have one and no outcome.
CREATE INDEX durably_workflow_status_deadline
    ON durably_workflow_status (application_name, workflow_deadline_epoch_ms)
    WHERE workflow_deadline_epoch_ms IS NOT NULL AND status IN ('ENQUEUED', 'DELAYED', 'PENDING');
CREATE INDEX durably_workflow_status_parent ON durably_workflow_status (parent_workflow_id)
    WHERE parent_workflow_id IS NOT NULL;
-- Lists, in the order of their pages.
CREATE INDEX durably_workflow_status_created ON durably_workflow_status (created_at, workflow_uuid);

-- A consumed message stays as long as its workflow, so that sending it again has no effect.
CREATE TABLE durably_notifications (
    position             integer PRIMARY KEY AUTOINCREMENT,
    destination_uuid     text NOT NULL,
    message_uuid         text NOT NULL,
    topic                text NOT NULL,
    message              text NOT NULL,
    serialization        text NOT NULL,
    created_at_epoch_ms  integer NOT NULL,
    consumed             integer NOT NULL DEFAULT 0,
    UNIQUE (destination_uuid, message_uuid)
);

CREATE INDEX durably_notifications_waiting ON durably_notifications (destination_uuid, topic, position)
    WHERE NOT consumed;

CREATE TABLE durably_workflow_events (
    workflow_uuid  text NOT NULL,
    key            text NOT NULL,
    value          text NOT NULL,
    serialization  text NOT NULL,
    PRIMARY KEY (workflow_uuid, key)
) WITHOUT ROWID;

-- Every value an event has had, by the place that set it: what a fork starts with.
CREATE TABLE durably_workflow_events_history (
    workflow_uuid  text NOT NULL,
    branch         text NOT NULL DEFAULT '',
    function_id    integer NOT NULL,
    key            text NOT NULL,
    value          text NOT NULL,
    serialization  text NOT NULL,
    PRIMARY KEY (workflow_uuid, branch, function_id, key)
) WITHOUT ROWID;

-- A row without a value closes the stream. `sequence` counts the writes of one step's body.
CREATE TABLE durably_streams (
    workflow_uuid  text NOT NULL,
    key            text NOT NULL,
    "offset"       integer NOT NULL,
    value          text,
    serialization  text NOT NULL,
    branch         text NOT NULL DEFAULT '',
    function_id    integer NOT NULL,
    sequence       integer NOT NULL DEFAULT 0,
    PRIMARY KEY (workflow_uuid, key, "offset"),
    UNIQUE (workflow_uuid, branch, function_id, sequence, key)
) WITHOUT ROWID;
