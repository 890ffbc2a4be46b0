"""Tests of deploy/payer/deny_file.py: S3 is moto's, the answers of AWS Budgets are checked against its service model,
and the gateway itself reads what the function wrote.

    GATEWAY=target/debug/bedrock-gateway python -m unittest discover --start-directory .ci/stacks/payer
"""

import datetime
import importlib.util
import os
import re
import shlex
import subprocess
import tempfile
import time
import tomllib
import types
import unittest
from pathlib import Path
from unittest import mock

import boto3
import moto
from botocore.stub import Stubber

ROOT = Path(__file__).resolve().parents[3]
PLACE = {"Bucket": "acme-gateway", "Key": "gateway/deny.toml"}
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "example",
    "AWS_DEFAULT_REGION": "us-east-1",
    "BUDGET_PREFIX": "gateway-budgets.",
    "TAG_KEY": "iamPrincipal/team",
    "DENY_AT_PERCENT": "100",
    "DENY_EXPRESSION": "claims.team == '{value}'",
    "CUT_STREAMS": "false",
    "DENY_BUCKET": PLACE["Bucket"],
    "DENY_KEY": PLACE["Key"],
    "DENY_REGION": "us-east-1",
    "SECTION": "gateway-budgets",
}
FOREIGN = '# left the company\r\n[[revoke]]\nissuer = "okta"\nsubject = "00u1abc" # no newline after this'
CONTEXT = types.SimpleNamespace(invoked_function_arn="arn:aws:lambda:us-east-1:111122223333:function:budgets")
GATEWAY_TOML = """
[listen]
http = "127.0.0.1:8080"
[aws]
region = "us-east-1"
[[issuer]]
name = "okta"
url = "https://acme.okta.com/oauth2/default"
audiences = ["bedrock-gateway"]
[issuer.session]
name = "claims.sub"
[issuer.session.tags]
team = "claims.team"
[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
[revoke]
file = "deny.toml"
"""


def load():
    path = ROOT / "deploy/payer/deny_file.py"
    spec = importlib.util.spec_from_file_location("deny_file", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def budget(value, spent, limit="500", **other):
    return {
        "BudgetName": f"gateway-budgets.1.{value}",
        "BudgetLimit": {"Amount": limit, "Unit": "USD"},
        "TimeUnit": "MONTHLY",
        "BudgetType": "COST",
        "CalculatedSpend": {"ActualSpend": {"Amount": spent, "Unit": "USD"}},
        "FilterExpression": {"Tags": {"Key": "iamPrincipal/team", "Values": [value]}},
    } | other


class Clock(datetime.datetime):
    at = "2026-11-30T11:00:00+00:00"

    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(cls.at)


class Function(unittest.TestCase):
    """The function with a bucket and a deny file."""

    def setUp(self):
        for patch in (
            mock.patch.dict(os.environ, SETTINGS),
            moto.mock_aws(),
            mock.patch("datetime.datetime", Clock),
            mock.patch("builtins.print"),
        ):
            patch.start()
            self.addCleanup(patch.stop)
        Clock.at = "2026-11-30T11:00:00+00:00"
        self.function = load()
        self.s3 = boto3.client("s3")
        self.s3.create_bucket(Bucket=PLACE["Bucket"])
        self.put(FOREIGN)

    def put(self, text):
        self.s3.put_object(**PLACE, Body=text.encode())

    def text(self):
        return self.s3.get_object(**PLACE)["Body"].read().decode()

    def run_with(self, *pages):
        """Runs the function while AWS Budgets answers these pages."""
        budgets = boto3.client("budgets", region_name="us-east-1")
        with Stubber(budgets) as stub:
            for number, page in enumerate(pages):
                request = {"AccountId": "111122223333", "MaxResults": 100, "ShowFilterExpression": True}
                request |= {"NextToken": f"page {number}"} if number else {}
                more = {"NextToken": f"page {number + 1}"} if number + 1 < len(pages) else {}
                stub.add_response("describe_budgets", {"Budgets": page} | more, request)
            clients = {"budgets": budgets}
            real = boto3.client
            with mock.patch("boto3.client", lambda name, **options: clients.get(name) or real(name, **options)):
                self.function.handler({"Records": []}, CONTEXT)
            stub.assert_no_pending_responses()


class DenyFile(Function):
    def gateway(self, *arguments):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "gateway.toml").write_text(GATEWAY_TOML)
            Path(folder, "deny.toml").write_bytes(self.text().encode())
            command = [os.environ["GATEWAY"], "check", "--strict", "--config", "gateway.toml", *arguments]
            return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    def test_a_spent_budget_becomes_an_entry(self):
        self.run_with([budget("search", "500.00"), budget("ads", "499.99")])
        section = (
            "# begin gateway-budgets: written by AWS Lambda, do not edit\n"
            "# budget gateway-budgets.1.search of 2026-11\n"
            "[[revoke]]\n"
            "expression = \"claims.team == 'search'\"\n"
            "until = 2026-12-01T00:00:00Z\n"
            "cut_streams = false\n"
            "# end gateway-budgets\n"
        )
        self.assertEqual(self.text(), FOREIGN + "\n" + section)

    def test_the_gateway_reads_what_is_written(self):
        # The gateway's clock is the real one, and --strict rejects an entry whose end is past.
        today = datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc)
        Clock.at = today.replace(day=max(today.day, 2)).isoformat()
        values = ["search", "Señales 検索 a_b.c:d/e=f+g-h@i"]
        filters = [{"Tags": {"Key": "iamPrincipal/team", "Values": [value]}} for value in values]
        self.run_with([budget(str(number), "600", FilterExpression=one) for number, one in enumerate(filters)])
        self.assertEqual(self.text().count("[[revoke]]"), 3)
        checked = self.gateway()
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        # Quotes and backslashes of an expression are those of a string of TOML.
        os.environ["DENY_EXPRESSION"] = 'claims.team == "{value}" && !claims.sub.matches("\\\\d+")'
        self.run_with([budget("x", "600", FilterExpression=filters[1])])
        entry = tomllib.loads(self.text())["revoke"][1]
        self.assertEqual(entry["expression"], os.environ["DENY_EXPRESSION"].replace("{value}", values[1]))
        checked = self.gateway()
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_the_gateway_refuses_what_a_quote_in_a_value_would_make(self):
        self.put('[[revoke]]\nexpression = "claims.team == \'o\'hara\'"\n')
        self.assertNotEqual(self.gateway().returncode, 0)

    def test_a_second_run_writes_nothing(self):
        self.run_with([budget("search", "600")])
        first = self.s3.get_object(**PLACE)["LastModified"], self.text()
        with mock.patch.object(self.function, "ATTEMPTS", 1):
            real = self.function.boto3.client
            s3 = mock.Mock(wraps=real("s3"))
            with mock.patch("boto3.client", lambda name, **options: s3 if name == "s3" else real(name, **options)):
                self.function.write(self.function.section([("gateway-budgets.1.search", "search")], Clock.now()))
            s3.put_object.assert_not_called()
        self.assertEqual(self.text(), first[1])

    def test_a_raised_budget_lifts_its_entry_and_leaves_the_rest_as_it_was(self):
        self.put(FOREIGN + "\n")
        self.run_with([budget("search", "600")])
        self.assertIn("search", self.text())
        self.run_with([budget("search", "600", limit="1000")])
        self.assertEqual(self.text(), FOREIGN + "\n")

    def test_the_month_of_december_ends_in_january(self):
        Clock.at = "2026-12-31T23:59:59+00:00"
        self.run_with([budget("search", "600")])
        self.assertIn("until = 2027-01-01T00:00:00Z", self.text())

    def test_the_first_day_of_a_month_denies_nothing(self):
        Clock.at = "2026-12-01T23:59:59+00:00"
        self.run_with([budget("search", "600")])
        self.assertEqual(self.text(), FOREIGN)
        Clock.at = "2026-12-02T00:00:00+00:00"
        self.run_with([budget("search", "600")])
        self.assertIn("search", self.text())

    def test_every_page_counts_and_other_budgets_do_not(self):
        other = budget("x", "9999") | {"BudgetName": "the whole company"}
        self.run_with([other, budget("search", "600")], [budget("ads", "600")])
        text = self.text()
        self.assertLess(text.index("'ads'"), text.index("'search'"))
        self.assertEqual(text.count("[[revoke]]"), 3)

    def test_the_percentage_decides(self):
        os.environ["DENY_AT_PERCENT"] = "120"
        self.run_with([budget("search", "599.99"), budget("ads", "600.00")])
        self.assertNotIn("'search'", self.text())
        self.assertIn("'ads'", self.text())

    def test_a_value_that_could_inject_is_reported_and_not_written(self):
        unsafe = ["a'b", 'a"b', "a\nb", "a\\b", "a]b", "a\u2028b", "{value}", "#", "", "a" * 257]
        pages = [budget("ads", "600")] + [
            budget("z", "600", FilterExpression={"Tags": {"Key": "iamPrincipal/team", "Values": [value]}})
            for value in unsafe
        ]
        with self.assertRaises(ValueError) as raised:
            self.run_with(pages)
        self.assertEqual(str(raised.exception).count("must not have"), len(unsafe))
        self.assertEqual(self.text().count("[[revoke]]"), 2, "the entry of ads, and the foreign one")

    def test_a_budget_that_counts_something_else_denies_no_caller(self):
        filters = [
            {"Tags": {"Key": "user:team", "Values": ["search"]}},
            {"Tags": {"Key": "iamPrincipal/team", "Values": ["search"], "MatchOptions": ["CONTAINS"]}},
            {"Not": {"Tags": {"Key": "iamPrincipal/team", "Values": ["search"]}}},
            {"And": [{"Tags": {"Key": "iamPrincipal/team", "Values": ["search"]}}]},
            {},
        ]
        for wrong in filters:
            with self.subTest(wrong), self.assertRaisesRegex(ValueError, "is not one of iamPrincipal/team alone"):
                self.run_with([budget("search", "600", FilterExpression=wrong)])
            self.assertEqual(self.text(), FOREIGN)

    def test_a_change_between_read_and_write_is_not_lost(self):
        real = self.function.merge
        changes = ["# first change\n", "# second change\n"]

        def meddling(old, lines):
            if changes:
                self.put(self.text() + "\n" + changes.pop(0))
            return real(old, lines)

        with mock.patch.object(self.function, "merge", meddling):
            self.run_with([budget("search", "600")])
        for part in ("# first change", "# second change", "'search'", "00u1abc"):
            self.assertIn(part, self.text())

    def test_a_file_that_never_rests_is_an_error(self):
        real = self.function.merge

        def meddling(old, lines):
            self.put(self.text() + "\n# again")
            return real(old, lines)

        with mock.patch.object(self.function, "merge", meddling):
            with self.assertRaisesRegex(RuntimeError, "changed at each"):
                self.run_with([budget("search", "600")])

    def test_broken_files_are_not_written(self):
        broken = {
            "[[revoke]\n": "",
            "# end gateway-budgets\n": "no pair of the marks",
            "# begin gateway-budgets: written by AWS Lambda, do not edit\n": "has no line",
            "revoke = 1\n": "",
        }
        for text, why in broken.items():
            with self.subTest(text):
                self.put(text)
                with self.assertRaisesRegex((ValueError, TypeError), why):
                    self.run_with([budget("search", "600")])
                self.assertEqual(self.text(), text)

    def test_the_readme_shows_what_is_written(self):
        os.environ |= {"SECTION": "bedrock-gateway-budgets", "BUDGET_PREFIX": "bedrock-gateway-budgets."}
        self.put("")
        self.run_with([budget("search", "600", BudgetName="bedrock-gateway-budgets.1.search")])
        readme = (ROOT / "deploy/payer/README.md").read_text()
        self.assertEqual(readme.split("```toml\n")[1].split("```")[0], self.text())

    def test_two_stacks_keep_their_own_sections(self):
        self.run_with([budget("search", "600")])
        with mock.patch.dict(os.environ, SECTION="other-budgets"):
            self.run_with([budget("ads", "600")])
            self.run_with([])
        self.assertIn("'search'", self.text())
        self.assertNotIn("other-budgets", self.text())

    def test_an_expression_without_its_quotes_is_rejected(self):
        os.environ["DENY_EXPRESSION"] = "claims.team == {value}"
        with self.assertRaisesRegex(ValueError, "with its quotes"):
            self.run_with([budget("search", "600")])

    def check_of_the_readme(self, expression):
        """Runs the README's check of an expression, with this one instead of its example."""
        readme = (ROOT / "deploy/payer/README.md").read_text()
        commands = re.search(r"(?m)^printf .*\nbedrock-gateway check .*$", readme)[0]
        example = "claims.team == 'search'"
        self.assertEqual(commands.count(f'"{example}"'), 1)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "gateway.toml").write_text(GATEWAY_TOML)
            Path(folder, "bedrock-gateway").symlink_to(os.environ["GATEWAY"])
            commands = commands.replace(f'"{example}"', shlex.quote(expression))
            environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"}
            command = ["bash", "-c", commands]
            return subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False).returncode

    def test_the_check_of_the_readme_finds_what_the_gateway_would_reject(self):
        self.assertEqual(self.check_of_the_readme("claims.team == 'search'"), 0)
        for wrong in ("claims.team == 'search' &&", "claim.team == 'search'", "claims.team.has('search')"):
            self.assertEqual(self.check_of_the_readme(wrong), 1, wrong)

    def test_an_unfinished_expression_is_rejected_although_no_budget_is_spent(self):
        self.run_with([budget("search", "600")])
        before = self.text()
        for wrong in (
            "{} &&", "({}", "{})", "{} && claims.x['a'", "{} || claims.x == 'a", "!({}]", "{} ? true :", "{} ==",
        ):
            expression = wrong.format("claims.team == '{value}'")
            os.environ["DENY_EXPRESSION"] = expression
            with self.subTest(expression), self.assertRaisesRegex(ValueError, "ends too early"):
                self.run_with([])
            self.assertEqual(self.text(), before)
            self.assertEqual(self.check_of_the_readme(expression.replace("{value}", "search")), 1, expression)

    def test_a_valid_expression_is_never_taken_for_an_unfinished_one(self):
        for right in (
            "{}", "({} && claims.x[0] in ['a', \")\"]) || !claims.y",
            "{} && claims.x != '(' && claims.y != 'o\\'hara'",
            "{} && claims.x != r'\\' ", "{} && claims.x != \"it's\"", "{} && claims.x != '&&'",
            "claims.x.exists(x, x == '}}' && {})", '{} && claims.x == """a"b("""', "{} ? claims.x > 1 : -1 < 0",
        ):
            expression = right.format("claims.team == '{value}'")
            os.environ["DENY_EXPRESSION"] = expression
            with self.subTest(expression):
                self.run_with([budget("search", "600")])
                self.assertEqual(self.check_of_the_readme(expression.replace("{value}", "search")), 0)

    def test_a_missing_file_is_an_error(self):
        self.s3.delete_object(**PLACE)
        with self.assertRaisesRegex(Exception, "NoSuchKey"):
            self.run_with([budget("search", "600")])


if __name__ == "__main__":
    unittest.main()
