"""Nanoseconds of a question to Glance's default policy, by Glance's own enforcer."""

import sys
import time

from oslo_config import cfg

from glance.api import policy
from glance.common import config  # noqa: F401 (registers the options)
from glance.common import exception
from glance import context
from glance import domain
from glance.domain import proxy

CONF = cfg.CONF
CONF([], project='glance', default_config_files=[], default_config_dirs=[])
enforcer = policy.Enforcer(suppress_deprecation_warnings=True)
caller = context.RequestContext(
    policy_enforcer=enforcer, user_id='u', project_id='p', roles=['member', 'reader'])
image = proxy.Image(domain.Image('i', 'queued', None, None, visibility='public', owner='q'))
target = policy.ImageTarget(image)
rules, rounds = sys.argv[1].split(','), int(sys.argv[2])
started = time.perf_counter_ns()
for _ in range(rounds):
    for rule in rules:
        try:
            enforcer.enforce(caller, rule, target)
        except exception.Forbidden:
            pass
print((time.perf_counter_ns() - started) / rounds / len(rules))
