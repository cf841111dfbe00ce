"""Says what oslo.policy and Glance decide: one JSON object a line in, one a line out.

A line with "rules" is a policy file over Glance's defaults:
  In:  rules (name -> text or lists), ask (a name), target, creds.
  Out: refused (null, or why the file cannot be meant) and holds.
A line with "identity" is a caller of Glance's:
  In:  identity (arguments of its RequestContext), image (attributes of its Image), file (a path).
  Out: allowed (the registered rules that hold) and is_admin.
A line with "protections" is a file of property protections:
  In:  protections and file (paths), format, properties, callers (pairs of roles and service roles).
  Out: for each caller, property and operation whether it may; null where the file is invalid.
Any other line asks for the table of registered rules.
"""

import ast
import configparser
import json
import logging
import re
import sys

from oslo_config import cfg
from oslo_policy import _checks
from oslo_policy import opts
from oslo_policy import policy as oslo

from glance.api import policy
from glance.common import config  # noqa: F401 (registers the options)
from glance.common import exception
from glance.common import property_utils
from glance import context
from glance import domain
from glance.domain import proxy
from glance import policies

CONF = cfg.CONF
DEFAULTS = {rule.name: rule.check_str for rule in policies.list_rules()}
PARSED = oslo.Rules.from_dict(DEFAULTS)


class Complaints(logging.Handler):
    """What the parser logs instead of refusing it."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def emit(self, record):
        self.count += 1


def leaves(check):
    """Every check that holds no other."""
    inner = getattr(check, 'rules', None) or []
    if isinstance(check, _checks.NotCheck):
        inner = [check.rule]
    if not inner:
        yield check
    for one in inner:
        yield from leaves(one)


def circular(rules, name, above):
    if name in above:
        return True
    return any(
        isinstance(leaf, _checks.RuleCheck) and leaf.match in rules
        and circular(rules, leaf.match, above | {name})
        for leaf in leaves(rules[name]))


def meaningless(leaf):
    """Why a check fails whoever asks for it, or is none that anybody writes."""
    if not isinstance(leaf, _checks.Check) or isinstance(leaf, _checks.RuleCheck):
        return False
    if re.search(r'%(?!\([^()]*\)s)', leaf.match.replace('%%', '')):
        return True
    if isinstance(leaf, _checks.RoleCheck):
        return False
    try:
        value = ast.literal_eval(leaf.kind)
    except ValueError:
        return not all(re.fullmatch(r'[^\W\d][\w-]*', part) for part in leaf.kind.split('.'))
    except SyntaxError:
        return True
    plain = str(value).removeprefix('-') == leaf.kind.lstrip('+-')
    return leaf.kind[1:-1] != value and not plain


def decide(question, complaints):
    complaints.count = 0
    own = oslo.Rules.from_dict(question['rules'])
    rules = oslo.Rules({**PARSED, **own}, 'default')
    if complaints.count:
        return {'refused': 'not understood', 'holds': None}
    if any(circular(rules, name, frozenset()) for name in own):
        return {'refused': 'circular', 'holds': None}
    if any(meaningless(leaf) for check in own.values() for leaf in leaves(check)):
        return {'refused': 'meaningless', 'holds': None}
    enforcer = oslo.Enforcer(CONF, use_conf=False)
    enforcer.set_rules(rules)
    holds = enforcer.enforce(question['ask'], question['target'], question['creds'])
    return {'refused': None, 'holds': bool(holds)}


def glance_allows(question):
    CONF.set_override('policy_file', question['file'], group='oslo_policy')
    enforcer = policy.Enforcer(suppress_deprecation_warnings=True)
    caller = context.RequestContext(policy_enforcer=enforcer, **question['identity'])
    caller.roles = [role.lower() for role in caller.roles]
    values = question['image']
    image = domain.Image(
        'i', 'queued', None, None, visibility=values['visibility'], owner=values['owner'],
        member=values['member'], extra_properties=values['properties'])
    target = policy.ImageTarget(proxy.Image(image))
    allowed = []
    for name in DEFAULTS:
        try:
            enforcer.enforce(caller, name, target)
        except exception.Forbidden:
            continue
        allowed.append(name)
    return {'allowed': allowed, 'is_admin': bool(caller.is_admin)}


def protect(question):
    CONF.set_override('policy_file', question['file'], group='oslo_policy')
    CONF.set_override('property_protection_file', question['protections'])
    CONF.set_override('property_protection_rule_format', question['format'])
    property_utils.CONFIG = configparser.ConfigParser()
    enforcer = policy.Enforcer(suppress_deprecation_warnings=True)
    try:
        rules = property_utils.PropertyRules(enforcer)
    except (exception.InvalidPropertyProtectionConfiguration, configparser.Error):
        return None

    def allowed(caller, name, operation):
        roles, service_roles = caller
        # A new one each time, because asking adds the service's roles to the caller's.
        asking = context.RequestContext(
            policy_enforcer=enforcer, roles=[role.lower() for role in roles],
            service_roles=list(service_roles))
        return bool(rules.check_property_rules(name, operation, asking))

    return [[[allowed(caller, name, operation)
              for operation in ('create', 'read', 'update', 'delete')]
             for name in question['properties']]
            for caller in question['callers']]


def main():
    logging.disable(logging.NOTSET)
    logging.getLogger().addHandler(logging.NullHandler())
    complaints = Complaints()
    logging.getLogger('oslo_policy._parser').addHandler(complaints)
    CONF([], project='glance', default_config_files=[], default_config_dirs=[])
    opts.set_defaults(CONF)
    CONF.set_override('policy_dirs', [], group='oslo_policy')
    for line in sys.stdin:
        question = json.loads(line)
        if 'rules' in question:
            answer = decide(question, complaints)
        elif 'identity' in question:
            answer = glance_allows(question)
        elif 'protections' in question:
            answer = protect(question)
        else:
            answer = [[rule.name, rule.check_str,
                       rule.deprecated_rule and rule.deprecated_rule.check_str,
                       bool(rule.scope_types)] for rule in policies.list_rules()]
        print(json.dumps(answer), flush=True)


main()
