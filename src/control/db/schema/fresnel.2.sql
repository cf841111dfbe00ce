-- What only Fresnel needs, version 2: work that goes on after its request is answered.

-- One row for each job that is not done yet. Who works on it is node_id, as long as that node's
-- lease holds; NULL is nobody. Its input is JSON, and its kind says what is in it.
CREATE TABLE fresnel_jobs (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    kind VARCHAR(30) NOT NULL,
    image_id VARCHAR(36) NOT NULL,
    input TEXT /*! CHARACTER SET utf8mb4 */ NOT NULL,
    node_id VARCHAR(36),
    attempts INTEGER NOT NULL,
    added_at_us BIGINT NOT NULL,
    not_before_us BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 */;
CREATE INDEX ix_fresnel_jobs_image_id ON fresnel_jobs (image_id);

INSERT INTO fresnel_version (version) VALUES (2);
