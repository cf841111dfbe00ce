"""Glance's own database code, asked in lines of JSON: [function, argument, ...] -> result or error."""

import datetime
import json
import sys

from oslo_config import cfg

from glance import context
from glance.common import config  # noqa: F401 (registers Glance's options)
from glance.db.sqlalchemy import api

cfg.CONF([], project="glance", default_config_files=[sys.argv[1]])
ADMIN = context.RequestContext(is_admin=True)


def plain(value):
    if isinstance(value, datetime.datetime):
        return value.replace(microsecond=0).isoformat()
    raise TypeError(type(value))


def create(values, tags, members):
    api.image_create(ADMIN, values)
    api.image_tag_set_all(ADMIN, values["id"], tags)
    for member in members:
        api.image_member_create(ADMIN, {"image_id": values["id"], "member": member, "status": "pending"})


def read(image_id):
    image = api.image_get(ADMIN, image_id)
    image["properties"] = {p["name"]: p["value"] for p in image["properties"] if not p["deleted"]}
    image["tags"] = api.image_tag_get_all(ADMIN, image_id)
    image["members"] = [m["member"] for m in api.image_member_find(ADMIN, image_id)]
    return {key: value for key, value in image.items() if key != "deleted_at"}


def update(image_id, values, from_state):
    api.image_update(ADMIN, image_id, values, purge_props=True, from_state=from_state)


def delete(image_id):
    api.image_destroy(ADMIN, image_id)


def list_ids(filters, marker):
    images = api.image_get_all(ADMIN, filters=filters, marker=marker, sort_key=["name"], sort_dir=["asc"])
    return [image["id"] for image in images]


def add_member(image_id, member):
    """As glance.db.ImageMemberRepo.add does."""
    values = {"image_id": image_id, "member": member, "status": "pending"}
    rows = api.image_member_find(ADMIN, image_id, member, include_deleted=True)
    if rows:
        api.image_member_update(ADMIN, rows[0]["id"], values)
    else:
        api.image_member_create(ADMIN, values)


def delete_member(image_id, member):
    (row,) = api.image_member_find(ADMIN, image_id, member)
    api.image_member_delete(ADMIN, row["id"])


def lock(image_id, task):
    api.image_set_property_atomic(image_id, "os_glance_import_task", task)


def unlock(image_id, task):
    api.image_delete_property_atomic(image_id, "os_glance_import_task", task)


def usage(project):
    sums = (api.user_get_storage_usage, api.user_get_staging_usage, api.user_get_image_count, api.user_get_uploading_count)
    return [of(ADMIN, project) for of in sums]


def purge():
    api.purge_deleted_rows(ADMIN, 0, -1)


for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        answer = {"ok": globals()[name](*arguments)}
    except Exception as error:  # whatever it is, the test judges it
        answer = {"error": type(error).__name__ + ": " + str(error)}
    print(json.dumps(answer, default=plain), flush=True)
