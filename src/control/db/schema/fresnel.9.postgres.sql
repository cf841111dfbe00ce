-- Version 9: artifacts (reference J.2), which Glance's schema has no tables for.

-- One row for each artifact. `scope` is its owner while it is private, and * once it is public: within it a
-- type has a name and version once. `fields` is JSON. Texts are compared byte by byte.
CREATE TABLE fresnel_artifacts (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    type_name VARCHAR(64) COLLATE "C" NOT NULL,
    display_type_name VARCHAR(255) COLLATE "C",
    name VARCHAR(255) COLLATE "C" NOT NULL,
    version VARCHAR(255) COLLATE "C" NOT NULL,
    version_key VARCHAR(300) COLLATE "C" NOT NULL,
    owner VARCHAR(255) COLLATE "C" NOT NULL,
    scope VARCHAR(255) COLLATE "C" NOT NULL,
    visibility VARCHAR(30) NOT NULL,
    status VARCHAR(30) NOT NULL,
    description TEXT COLLATE "C",
    fields TEXT COLLATE "C" NOT NULL,
    created_at_us BIGINT NOT NULL,
    updated_at_us BIGINT NOT NULL,
    activated_at_us BIGINT,
    revision BIGINT NOT NULL
);
CREATE UNIQUE INDEX ix_fresnel_artifacts_scope ON fresnel_artifacts (type_name, name, version, scope);
CREATE INDEX ix_fresnel_artifacts_owner ON fresnel_artifacts (owner, type_name);
CREATE INDEX ix_fresnel_artifacts_created ON fresnel_artifacts (type_name, created_at_us);

-- One row for each value by which artifacts are found or sorted: of a list one each, of a dict one a key.
-- Floats are integers of their order.
CREATE TABLE fresnel_artifact_values (
    artifact_id VARCHAR(36) NOT NULL,
    name VARCHAR(255) COLLATE "C" NOT NULL,
    key_name VARCHAR(255) COLLATE "C",
    text_value TEXT COLLATE "C",
    number_value BIGINT
);
CREATE INDEX ix_fresnel_artifact_values_artifact ON fresnel_artifact_values (artifact_id, name);

-- One row for each blob: `saving` while an attempt of fresnel_writes is its upload, `pending_delete` when its
-- bytes are to be removed and no artifact has it any more.
CREATE TABLE fresnel_artifact_blobs (
    id VARCHAR(36) NOT NULL PRIMARY KEY,
    artifact_id VARCHAR(36) NOT NULL,
    name VARCHAR(255) COLLATE "C" NOT NULL,
    key_name TEXT COLLATE "C",
    url TEXT COLLATE "C",
    store VARCHAR(255),
    size_bytes BIGINT,
    md5 VARCHAR(255) COLLATE "C",
    sha1 VARCHAR(255) COLLATE "C",
    sha256 VARCHAR(255) COLLATE "C",
    is_external BOOLEAN NOT NULL,
    status VARCHAR(30) NOT NULL,
    content_type VARCHAR(255) COLLATE "C"
);
CREATE INDEX ix_fresnel_artifact_blobs_artifact ON fresnel_artifact_blobs (artifact_id);
CREATE INDEX ix_fresnel_artifact_blobs_status ON fresnel_artifact_blobs (status);

-- What projects may have instead of what the configuration says.
CREATE TABLE fresnel_artifact_quotas (
    project VARCHAR(255) COLLATE "C" NOT NULL,
    name VARCHAR(255) COLLATE "C" NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (project, name)
);

INSERT INTO fresnel_version (version) VALUES (9);
