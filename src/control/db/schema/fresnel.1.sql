-- What only Fresnel needs, version 1, for the three dialects: what stands in /*! */ is a comment to
-- all but MySQL. Ids are of Glance's character set there, or a join with images.id could use no index.
-- Times are microseconds since 1970 by the database's clock.

CREATE TABLE fresnel_version (
    version INTEGER NOT NULL PRIMARY KEY
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 */;

-- One row for each running process.
CREATE TABLE fresnel_nodes (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    joined_at_us BIGINT NOT NULL,
    lease_until_us BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 */;

-- One row for each object that is being written.
CREATE TABLE fresnel_writes (
    attempt VARCHAR(36) NOT NULL PRIMARY KEY,
    image_id VARCHAR(36) NOT NULL,
    node_id VARCHAR(36) NOT NULL,
    store VARCHAR(255) NOT NULL,
    object TEXT /*! CHARACTER SET utf8mb4 */ NOT NULL,
    begun_at_us BIGINT NOT NULL,
    fenced_by VARCHAR(36)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb3 */;
CREATE INDEX ix_fresnel_writes_image_id ON fresnel_writes (image_id);

INSERT INTO fresnel_version (version) VALUES (1);
