-- Version 7: trusts, by which a job acts for its user.

-- One row for each of Keystone's trusts that is not ended yet. It is written before its job is, so that
-- none is forgotten.
CREATE TABLE fresnel_trusts (
    trust VARCHAR(64) NOT NULL PRIMARY KEY,
    job_id VARCHAR(36) NOT NULL,
    node_id VARCHAR(36) NOT NULL,
    made_at_us BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 */;
CREATE INDEX ix_fresnel_trusts_job_id ON fresnel_trusts (job_id);

INSERT INTO fresnel_version (version) VALUES (7);
