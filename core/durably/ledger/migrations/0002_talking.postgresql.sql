-- Messages, events, streams; children, deadlines, forks and attributes.

ALTER TABLE durably.workflow_status
    ADD COLUMN parent_workflow_id           text COLLATE "C",
    ADD COLUMN workflow_timeout_ms          bigint,
    ADD COLUMN workflow_deadline_epoch_ms   bigint,
    ADD COLUMN forked_from                  text COLLATE "C",
    ADD COLUMN authenticated_user           text,
    ADD COLUMN attributes                   jsonb;

-- What a sweep for deadlines reads: workflows that have one and no outcome.
CREATE INDEX workflow_status_deadline ON durably.workflow_status (application_name, workflow_deadline_epoch_ms)
    WHERE workflow_deadline_epoch_ms IS NOT NULL AND status IN ('ENQUEUED', 'DELAYED', 'PENDING');
CREATE INDEX workflow_status_parent ON durably.workflow_status (parent_workflow_id)
    WHERE parent_workflow_id IS NOT NULL;
-- Lists, in the order of their pages.
CREATE INDEX workflow_status_created ON durably.workflow_status (created_at, workflow_uuid);

-- A consumed message stays as long as its workflow, so that sending it again has no effect.
CREATE TABLE durably.notifications (
    destination_uuid     text COLLATE "C" NOT NULL,
    message_uuid         text COLLATE "C" NOT NULL,
    position             bigint GENERATED ALWAYS AS IDENTITY,
    topic                text COLLATE "C" NOT NULL,
    message              text NOT NULL,
    serialization        text NOT NULL,
    created_at_epoch_ms  bigint NOT NULL,
    consumed             boolean NOT NULL DEFAULT false,
    PRIMARY KEY (destination_uuid, message_uuid)
);

CREATE INDEX notifications_waiting ON durably.notifications (destination_uuid, topic, position) WHERE NOT consumed;

CREATE TABLE durably.workflow_events (
    workflow_uuid  text COLLATE "C" NOT NULL,
    key            text COLLATE "C" NOT NULL,
    value          text NOT NULL,
    serialization  text NOT NULL,
    PRIMARY KEY (workflow_uuid, key)
);

-- Every value an event has had, by the place that set it: what a fork starts with.
CREATE TABLE durably.workflow_events_history (
    workflow_uuid  text COLLATE "C" NOT NULL,
    branch         text COLLATE "C" NOT NULL DEFAULT '',
    function_id    integer NOT NULL,
    key            text COLLATE "C" NOT NULL,
    value          text NOT NULL,
    serialization  text NOT NULL,
    PRIMARY KEY (workflow_uuid, branch, function_id, key)
);

-- A row without a value closes the stream. `sequence` counts the writes of one step's body.
CREATE TABLE durably.streams (
    workflow_uuid  text COLLATE "C" NOT NULL,
    key            text COLLATE "C" NOT NULL,
    "offset"       integer NOT NULL,
    value          text,
    serialization  text NOT NULL,
    branch         text COLLATE "C" NOT NULL DEFAULT '',
    function_id    integer NOT NULL,
    sequence       integer NOT NULL DEFAULT 0,
    PRIMARY KEY (workflow_uuid, key, "offset"),
    UNIQUE (workflow_uuid, branch, function_id, sequence, key)
);
