-- Version 3: quotas of projects that no number of uploads at once can pass.

-- One row for each project that has had a quota: whoever reserves for it locks this row first. The
-- sums themselves are taken from images, image_locations and fresnel_writes, so nothing can drift.
-- The empty project is that of callers without one.
CREATE TABLE fresnel_quota (
    project VARCHAR(255) NOT NULL PRIMARY KEY,
    reservations BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 */;

-- What a write has reserved goes with its row: when it is recorded, when it fails, and when its
-- node's lease runs out. NULL: no quota was in force.
ALTER TABLE fresnel_writes ADD COLUMN project VARCHAR(255);
ALTER TABLE fresnel_writes ADD COLUMN reserved_bytes BIGINT NOT NULL DEFAULT 0;
CREATE INDEX ix_fresnel_writes_project ON fresnel_writes (project);

INSERT INTO fresnel_version (version) VALUES (3);
