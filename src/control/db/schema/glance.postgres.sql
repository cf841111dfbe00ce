-- Glance's schema at 2024_1_contract01, as `glance-manage db sync` of Glance 33.0.0 creates it on PostgreSQL.

CREATE TYPE image_visibility AS ENUM ('private', 'public', 'shared', 'community');

CREATE TABLE alembic_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE images (
    id varchar(36) NOT NULL,
    name varchar(255),
    size bigint,
    status varchar(30) NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    deleted_at timestamp,
    deleted boolean NOT NULL,
    disk_format varchar(20),
    container_format varchar(20),
    checksum varchar(32),
    owner varchar(255),
    min_disk integer NOT NULL,
    min_ram integer NOT NULL,
    protected boolean DEFAULT false NOT NULL,
    virtual_size bigint,
    visibility image_visibility DEFAULT 'shared' NOT NULL,
    os_hidden boolean DEFAULT false NOT NULL,
    os_hash_algo varchar(64),
    os_hash_value varchar(128),
    CONSTRAINT images_pkey PRIMARY KEY (id)
);
CREATE INDEX checksum_image_idx ON images (checksum);
CREATE INDEX created_at_image_idx ON images (created_at);
CREATE INDEX ix_images_deleted ON images (deleted);
CREATE INDEX os_hash_value_image_idx ON images (os_hash_value);
CREATE INDEX os_hidden_image_idx ON images (os_hidden);
CREATE INDEX owner_image_idx ON images (owner);
CREATE INDEX updated_at_image_idx ON images (updated_at);
CREATE INDEX visibility_image_idx ON images (visibility);

CREATE TABLE image_properties (
    id serial NOT NULL,
    image_id varchar(36) NOT NULL,
    name varchar(255) NOT NULL,
    value text,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    deleted_at timestamp,
    deleted boolean NOT NULL,
    CONSTRAINT image_properties_pkey PRIMARY KEY (id),
    CONSTRAINT ix_image_properties_image_id_name UNIQUE (image_id, name),
    CONSTRAINT image_properties_image_id_fkey FOREIGN KEY (image_id) REFERENCES images(id)
);
CREATE INDEX ix_image_properties_deleted ON image_properties (deleted);
CREATE INDEX ix_image_properties_image_id ON image_properties (image_id);

CREATE TABLE image_tags (
    id serial NOT NULL,
    image_id varchar(36) NOT NULL,
    value varchar(255) NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    deleted_at timestamp,
    deleted boolean NOT NULL,
    CONSTRAINT image_tags_pkey PRIMARY KEY (id),
    CONSTRAINT image_tags_image_id_fkey FOREIGN KEY (image_id) REFERENCES images(id)
);
CREATE INDEX ix_image_tags_image_id ON image_tags (image_id);
CREATE INDEX ix_image_tags_image_id_tag_value ON image_tags (image_id, value);

CREATE TABLE image_locations (
    id serial NOT NULL,
    image_id varchar(36) NOT NULL,
    value text NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    deleted_at timestamp,
    deleted boolean NOT NULL,
    meta_data text,
    status varchar(30) DEFAULT 'active' NOT NULL,
    CONSTRAINT image_locations_pkey PRIMARY KEY (id),
    CONSTRAINT image_locations_image_id_fkey FOREIGN KEY (image_id) REFERENCES images(id)
);
CREATE INDEX ix_image_locations_deleted ON image_locations (deleted);
CREATE INDEX ix_image_locations_image_id ON image_locations (image_id);

CREATE TABLE image_members (
    id serial NOT NULL,
    image_id varchar(36) NOT NULL,
    member varchar(255) NOT NULL,
    can_share boolean NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    deleted_at timestamp,
    deleted boolean NOT NULL,
    status varchar(20) DEFAULT 'pending' NOT NULL,
    CONSTRAINT image_members_pkey PRIMARY KEY (id),
    CONSTRAINT image_members_image_id_member_deleted_at_key UNIQUE (image_id, member, deleted_at),
    CONSTRAINT image_members_image_id_fkey FOREIGN KEY (image_id) REFERENCES images(id)
);
CREATE INDEX ix_image_members_deleted ON image_members (deleted);
CREATE INDEX ix_image_members_image_id ON image_members (image_id);
CREATE INDEX ix_image_members_image_id_member ON image_members (image_id, member);

CREATE TABLE tasks (
    id varchar(36) NOT NULL,
    type varchar(30) NOT NULL,
    status varchar(30) NOT NULL,
    owner varchar(255) NOT NULL,
    expires_at timestamp,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    deleted_at timestamp,
    deleted boolean NOT NULL,
    image_id varchar(36),
    request_id varchar(64),
    user_id varchar(64),
    CONSTRAINT tasks_pkey PRIMARY KEY (id)
);
CREATE INDEX ix_tasks_deleted ON tasks (deleted);
CREATE INDEX ix_tasks_image_id ON tasks (image_id);
CREATE INDEX ix_tasks_owner ON tasks (owner);
CREATE INDEX ix_tasks_status ON tasks (status);
CREATE INDEX ix_tasks_type ON tasks (type);
CREATE INDEX ix_tasks_updated_at ON tasks (updated_at);

CREATE TABLE task_info (
    task_id varchar(36) NOT NULL,
    input text,
    result text,
    message text,
    CONSTRAINT task_info_pkey PRIMARY KEY (task_id),
    CONSTRAINT task_info_task_id_fkey FOREIGN KEY (task_id) REFERENCES tasks(id)
);

CREATE TABLE node_reference (
    node_reference_id bigserial NOT NULL,
    node_reference_url varchar(255) NOT NULL,
    CONSTRAINT node_reference_pkey PRIMARY KEY (node_reference_id),
    CONSTRAINT uq_node_reference_node_reference_url UNIQUE (node_reference_url)
);

CREATE TABLE cached_images (
    id bigserial NOT NULL,
    image_id varchar(36) NOT NULL,
    last_accessed timestamp NOT NULL,
    last_modified timestamp NOT NULL,
    size bigint NOT NULL,
    hits integer NOT NULL,
    checksum varchar(32),
    node_reference_id bigint NOT NULL,
    CONSTRAINT cached_images_pkey PRIMARY KEY (id),
    CONSTRAINT ix_cached_images_image_id_node_reference_id UNIQUE (image_id, node_reference_id),
    CONSTRAINT cached_images_node_reference_id_fkey FOREIGN KEY (node_reference_id) REFERENCES node_reference(node_reference_id)
);

CREATE TABLE metadef_namespaces (
    id serial NOT NULL,
    namespace varchar(80) NOT NULL,
    display_name varchar(80),
    description text,
    visibility varchar(32),
    protected boolean,
    owner varchar(255) NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    CONSTRAINT metadef_namespaces_pkey PRIMARY KEY (id),
    CONSTRAINT uq_metadef_namespaces_namespace UNIQUE (namespace)
);
CREATE INDEX ix_metadef_namespaces_owner ON metadef_namespaces (owner);

CREATE TABLE metadef_resource_types (
    id serial NOT NULL,
    name varchar(80) NOT NULL,
    protected boolean NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    CONSTRAINT metadef_resource_types_pkey PRIMARY KEY (id),
    CONSTRAINT uq_metadef_resource_types_name UNIQUE (name)
);

CREATE TABLE metadef_namespace_resource_types (
    resource_type_id integer NOT NULL,
    namespace_id integer NOT NULL,
    properties_target varchar(80),
    prefix varchar(80),
    created_at timestamp NOT NULL,
    updated_at timestamp,
    CONSTRAINT metadef_namespace_resource_types_pkey PRIMARY KEY (resource_type_id, namespace_id),
    CONSTRAINT metadef_namespace_resource_types_namespace_id_fkey FOREIGN KEY (namespace_id) REFERENCES metadef_namespaces(id),
    CONSTRAINT metadef_namespace_resource_types_resource_type_id_fkey FOREIGN KEY (resource_type_id) REFERENCES metadef_resource_types(id)
);
CREATE INDEX ix_metadef_ns_res_types_namespace_id ON metadef_namespace_resource_types (namespace_id);

CREATE TABLE metadef_objects (
    id serial NOT NULL,
    namespace_id integer NOT NULL,
    name varchar(80) NOT NULL,
    description text,
    required text,
    json_schema text NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    CONSTRAINT metadef_objects_pkey PRIMARY KEY (id),
    CONSTRAINT uq_metadef_objects_namespace_id_name UNIQUE (namespace_id, name),
    CONSTRAINT metadef_objects_namespace_id_fkey FOREIGN KEY (namespace_id) REFERENCES metadef_namespaces(id)
);
CREATE INDEX ix_metadef_objects_name ON metadef_objects (name);

CREATE TABLE metadef_properties (
    id serial NOT NULL,
    namespace_id integer NOT NULL,
    name varchar(80) NOT NULL,
    json_schema text NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    CONSTRAINT metadef_properties_pkey PRIMARY KEY (id),
    CONSTRAINT uq_metadef_properties_namespace_id_name UNIQUE (namespace_id, name),
    CONSTRAINT metadef_properties_namespace_id_fkey FOREIGN KEY (namespace_id) REFERENCES metadef_namespaces(id)
);
CREATE INDEX ix_metadef_properties_name ON metadef_properties (name);

CREATE TABLE metadef_tags (
    id serial NOT NULL,
    namespace_id integer NOT NULL,
    name varchar(80) NOT NULL,
    created_at timestamp NOT NULL,
    updated_at timestamp,
    CONSTRAINT metadef_tags_pkey PRIMARY KEY (id),
    CONSTRAINT uq_metadef_tags_namespace_id_name UNIQUE (namespace_id, name),
    CONSTRAINT metadef_tags_namespace_id_fkey FOREIGN KEY (namespace_id) REFERENCES metadef_namespaces(id)
);
CREATE INDEX ix_metadef_tags_name ON metadef_tags (name);

INSERT INTO alembic_version (version_num) VALUES ('2024_1_contract01');
