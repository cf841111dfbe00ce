-- Version 6: notifications, written with the change that they tell of.

-- One row for each message that the broker does not have yet. They are sent in the order of their
-- numbers.
CREATE TABLE fresnel_events (
    id INTEGER PRIMARY KEY,
    priority VARCHAR(10) NOT NULL,
    size_bytes BIGINT NOT NULL,
    message TEXT NOT NULL
);

-- What one node does for all, as long as its lease holds.
CREATE TABLE fresnel_duties (
    name VARCHAR(30) NOT NULL PRIMARY KEY,
    node_id VARCHAR(36)
);
INSERT INTO fresnel_duties (name) VALUES ('events');

INSERT INTO fresnel_version (version) VALUES (6);
