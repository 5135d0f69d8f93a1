"""What the fuzzer cannot know of this API from its document, each with its reason; and one check more."""

import json
import re
from urllib.parse import parse_qs, urlsplit

import jsonschema_rs
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData

LOG = "/api/v1/log"
# What no JSON Schema of single parameters can say: two that exclude each other, a date that must be to come.
BETWEEN = ("give either", "is over already")


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    """A cycle may answer as it likes, and the document says so: those that are fuzzed answer nothing odd."""
    for item in raw_schema["paths"].values():
        for operation in item.values():
            operation["responses"].pop("default", None)


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """A log that is followed has no end: it is asked for as it stands."""
    query = case.query or {}
    if case.operation.path == LOG and query.get("follow") in (True, "true", 1, "1"):
        case.query = {**query, "follow": "false"}


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    """Drops what is meant to be as it is."""
    told = problem(response)
    if isinstance(failure, IgnoredAuth) and "got `429 " in failure.message:
        # After ten wrong tokens a minute the next is not looked at: the check of wrong tokens expects 401.
        return False
    if isinstance(failure, RejectedPositiveData) and any(part in told.get("detail", "") for part in BETWEEN):
        return False
    # Blanks around a value of a query count for nothing, and a value of nothing else as none, as forms send it.
    return not (isinstance(failure, AcceptedNegativeData) and is_blank(failure.message, response.request.url))


def is_blank(message, url):
    named = re.search(r"parameters? ((?:`[^`]+`(?:, | and )?)+) in query", message)
    names = re.findall(r"`([^`]+)`", named.group(1)) if named else []
    query = parse_qs(urlsplit(url).query, keep_blank_values=True)
    blank = [any(value == "" or value != value.strip() for value in query.get(name, [])) for name in names]
    return bool(blank) and all(blank)


def problem(response):
    try:
        told = json.loads(response.content)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


@schemathesis.check
def log_lines_are_as_described(ctx, response, case):
    """Each line of the log is a `LogLine`; the body as a whole is only a text to the document."""
    if case.operation.path != LOG or response.status_code != 200:
        return
    components = case.operation.schema.raw_schema["components"]
    schema = {"$ref": "#/components/schemas/LogLine", "components": components}
    validator = jsonschema_rs.validator_for(schema)
    for line in response.content.decode().splitlines():
        for error in validator.iter_errors(json.loads(line)):
            raise AssertionError(f"{error.message}: {line[:500]}")


@schemathesis.deserializer("application/x-ndjson")
def lines(ctx, response):
    return response.content.decode()
