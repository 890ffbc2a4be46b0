"""Keeps a section of the gateway's deny file: an entry for each AWS budget that is spent, until the month ends.

A notification of a budget and a schedule start it. Both only wake it: it believes what AWS Budgets answers, so a lost
or repeated notification changes nothing, and an entry goes once its budget is raised or a month begins.
"""

import datetime
import decimal
import json
import os
import re
import tomllib

import boto3
from botocore.exceptions import ClientError

# The alphabet of a session tag, without the spaces that end a line. No quote, no backslash: a value needs no escape.
PUNCTUATION = " _.:/=+-@"
# How a budget must match its values: an entry for a value revokes exactly that value.
EXACT = {"EQUALS", "CASE_SENSITIVE"}
# A text of CEL: in three quotes, raw, or with escapes.
TEXT = re.compile(r"""('{3}|"{3}).*?\1|[rR](['"]).*?\2|(['"])(?:\\.|(?!\3)[^\\])*\3""")
BRACKETS = re.compile(r"\([^][(){}]*\)|\[[^][(){}]*\]|\{[^][(){}]*\}")
# Another writer may change the file between the read and the write.
ATTEMPTS = 5
OUTDATED = ("PreconditionFailed", "ConditionalRequestConflict")


def handler(_event, context):
    account = context.invoked_function_arn.split(":")[4]
    now = datetime.datetime.now(datetime.timezone.utc)
    spent, problems = spent_budgets(account, now)
    changed = write(section(spent, now))
    print(json.dumps({"spent": [budget for budget, _ in spent], "changed": changed, "problems": problems}))
    if problems:
        raise ValueError("; ".join(problems))


def spent_budgets(account, now):
    """The name of each spent budget and its tag value, and the problems of the others."""
    client = boto3.client("budgets", region_name="us-east-1")
    spent, problems, page = [], [], {}
    while True:
        answer = client.describe_budgets(AccountId=account, MaxResults=100, ShowFilterExpression=True, **page)
        for budget in answer.get("Budgets", []):
            name = budget["BudgetName"]
            # On the first day Budgets may still show the spend of the month before, which would deny for this one.
            if not name.startswith(os.environ["BUDGET_PREFIX"]) or not is_spent(budget) or now.day == 1:
                continue
            tags = budget.get("FilterExpression", {}).get("Tags", {})
            values = tags.get("Values", []) if tags.get("Key") == os.environ["TAG_KEY"] else []
            if not values or not EXACT.issuperset(tags.get("MatchOptions", [])):
                problems.append(f"budget {name!r} is not one of {os.environ['TAG_KEY']} alone")
                continue
            for value in values:
                if is_safe(value) and is_safe(name):
                    spent.append((name, value))
                else:
                    problems.append(f"budget {name!r}: {value!r} has characters that the deny file must not have")
        if not answer.get("NextToken"):
            return sorted(spent), problems
        page = {"NextToken": answer["NextToken"]}


def is_spent(budget):
    amount = budget.get("CalculatedSpend", {}).get("ActualSpend", {}).get("Amount", "0")
    percent = decimal.Decimal(os.environ["DENY_AT_PERCENT"])
    return decimal.Decimal(amount) * 100 >= decimal.Decimal(budget["BudgetLimit"]["Amount"]) * percent


def is_safe(text):
    return 0 < len(text) <= 256 and all(c.isalnum() or c in PUNCTUATION for c in text)


def section(spent, now):
    """The lines between the marks. The gateway ends each entry itself at `until`, also if this function never runs."""
    next_month = (now.replace(day=1) + datetime.timedelta(days=31)).replace(day=1)
    expression = os.environ["DENY_EXPRESSION"]
    if "'{value}'" not in expression and '"{value}"' not in expression:
        raise ValueError("DENY_EXPRESSION must contain '{value}', with its quotes")
    if is_unfinished(expression):
        raise ValueError("DENY_EXPRESSION ends too early, or a quote or bracket has no partner")
    lines = []
    for name, value in spent:
        lines += [
            f"# budget {name} of {now:%Y-%m}",
            "[[revoke]]",
            # A string of JSON is a basic string of TOML, as no value has a control character.
            f"expression = {json.dumps(expression.replace('{value}', value), ensure_ascii=False)}",
            f"until = {next_month:%Y-%m-%d}T00:00:00Z",
            f"cut_streams = {os.environ['CUT_STREAMS']}",
        ]
    return lines


def is_unfinished(expression):
    """Whether gateways would surely reject it, and with it the whole deny file. `bedrock-gateway check` knows more."""
    rest, pairs = TEXT.sub("_", expression), True
    while pairs:
        rest, pairs = BRACKETS.subn("_", rest)
    return re.search(r"""[][(){}'"]|[-&|=!<>+*/%?:.,]\s*$""", rest) is not None


def write(lines):
    """Puts the lines into the deny file. Returns whether that changed it."""
    client = boto3.client("s3", region_name=os.environ["DENY_REGION"])
    place = {"Bucket": os.environ["DENY_BUCKET"], "Key": os.environ["DENY_KEY"]}
    for _attempt in range(ATTEMPTS):
        found = client.get_object(**place)
        old = found["Body"].read().decode()
        new = merge(old, lines)
        if new == old:
            return False
        try:
            client.put_object(**place, Body=new.encode(), ContentType="text/plain", IfMatch=found["ETag"])
            return True
        except ClientError as error:
            if error.response["Error"]["Code"] not in OUTDATED:
                raise
    raise RuntimeError(f"the deny file changed at each of {ATTEMPTS} attempts")


def merge(old, lines):
    """The file with these lines as the section of this stack. Every other line stays as it is."""
    name = os.environ["SECTION"]
    begin, end = f"# begin {name}: written by AWS Lambda, do not edit", f"# end {name}"
    others, inside = [], False
    for line in old.splitlines(keepends=True):
        mark = line.strip()
        if mark in (begin, end):
            if inside != (mark == end):
                raise ValueError(f"the deny file has no pair of the marks of {name}")
            inside = not inside
        elif not inside:
            others.append(line)
    if inside:
        raise ValueError(f"the deny file has no line {end!r}")
    kept = "".join(others)
    if not lines:
        new = kept
    else:
        new = kept + ("" if kept.endswith("\n") or not kept else "\n") + "\n".join([begin, *lines, end, ""])
    # Invalid TOML would leave every gateway with its last valid entries, so it is reported here and not written.
    before, after = tomllib.loads(kept), tomllib.loads(new)
    entries = after.get("revoke", [])
    if entries[: len(before.get("revoke", []))] != before.get("revoke", []):
        raise ValueError("the section would change another entry of the deny file")
    return new
