"""Runs the saved queries of deploy/payer on a generated bill.

DuckDB takes the place of Athena. The queries keep to what both have, except that `element_at` of DuckDB has a list as
answer: a macro makes it that of Athena, where it is null for a key that is not there.
"""

import datetime
import re
import tempfile
import unittest
from pathlib import Path

import duckdb

from embed import SOURCES, columns

MONTH = f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m}"
TYPES = {
    "string": "VARCHAR",
    "double": "DOUBLE",
    "timestamp": "TIMESTAMP_MS",
    "map<string,string>": "MAP(VARCHAR, VARCHAR)",
}
CLAUDE = {"bill_billing_entity": "AWS Marketplace", "line_item_product_code": "7zgyu5r4example"}
SONNET = {"product_name": "Claude Sonnet 4.6 (Amazon Bedrock Edition)"}


def session(role, name):
    return f"arn:aws:sts::123456789012:assumed-role/{role}/{name}"


def row(cost, principal=None, month=MONTH, **other):
    return {
        "billing_period": month,
        "bill_billing_entity": "AWS",
        "line_item_currency_code": "USD",
        "line_item_iam_principal": principal,
        "line_item_line_item_type": "Usage",
        "line_item_product_code": "AmazonBedrock",
        "line_item_unblended_cost": cost,
        "line_item_usage_account_id": "123456789012",
        "line_item_usage_end_date": f"{month}-02 00:00:00",
        "line_item_usage_type": "USE1-NovaPro-input-tokens",
        "product": {"model": "Nova Pro"},
        "tags": {},
    } | other


ALICE, BOB = "alice@acme.org", "bob@acme.org"
ROWS = [
    row(1.0, session("BedrockUser", ALICE), tags={"iamPrincipal/team": "search", "resourceTags/team": "other"}),
    row(2.0, session("BedrockMl", ALICE), tags={"iamPrincipal/team": "ml"}, line_item_net_unblended_cost=1.5),
    row(4.0, session("BedrockUser", BOB), **CLAUDE, product=SONNET, tags={"iamPrincipal/team": "search"},
        line_item_usage_type="USE1-MP:USE1_CacheReadInputTokenCount-Units"),
    row(8.0, session("BedrockUser", BOB), **CLAUDE, product=SONNET, tags=None,
        line_item_usage_type="USW2-MP:USW2_output_tokens_standard-Units"),
    row(16.0, session("BedrockUser", BOB), line_item_product_code="AmazonBedrockService", product=None,
        line_item_resource_id="arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.openai.gpt",
        line_item_usage_type="USE1-openai.gpt-mantle-cache-write-tokens-standard"),
    # A refund to a person.
    row(-0.5, session("BedrockUser", ALICE), line_item_line_item_type="Refund", line_item_usage_type="refund",
        product={}),
    # Not by the gateway: another role, a role whose name only begins alike, a user, no caller.
    row(32.0, session("Notebook", "carol")),
    row(64.0, session("BedrockUserOld", "dave")),
    row(128.0, "arn:aws:iam::123456789012:user/ci"),
    row(256.0, None, line_item_line_item_type="Tax"),
    row(512.0, ""),
    # Not in the answers: other services, another product of the Marketplace, another month.
    row(1024.0, None, line_item_product_code="AmazonEC2"),
    row(2048.0, None, **CLAUDE, product={"product_name": "A database"}),
    row(4096.0, session("BedrockUser", ALICE), month="2026-04"),
]


class Queries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.connection = duckdb.connect()
        cls.addClassCleanup(cls.connection.close)
        names = ["billing_period", *(name for name, _ in columns())]
        types = ["VARCHAR", *(TYPES[kind] for _, kind in columns())]
        declared = ", ".join(f"{name} {kind}" for name, kind in zip(names, types))
        cls.connection.execute(f"CREATE TABLE source ({declared})")
        for one in ROWS:
            unknown = set(one) - set(names)
            assert not unknown, unknown
            values = [duckdb_map(one.get(name)) for name in names]
            cls.connection.execute(f"INSERT INTO source VALUES ({', '.join('?' * len(names))})", values)
        cls.connection.execute(
            f"COPY (SELECT * RENAME (billing_period AS BILLING_PERIOD) FROM source) TO '{cls.folder.name}/data' "
            "(FORMAT parquet, PARTITION_BY (BILLING_PERIOD))"
        )
        cls.connection.execute("CREATE MACRO element_at(map, key) AS map[key]")
        cls.connection.execute("CREATE SCHEMA bedrock_gateway")
        cls.connection.execute(
            f"CREATE VIEW bedrock_gateway.bill AS SELECT * FROM read_parquet('{cls.folder.name}/data/*/*.parquet', "
            "hive_partitioning = true, hive_types = {'BILLING_PERIOD': VARCHAR})"
        )

    def run_query(self, name):
        text = (SOURCES / f"queries/{name}.sql").read_text()
        values = {"Database": "bedrock_gateway", "Table": "bill", "TagKey": "team"}
        values["InvocationRoles"] = "BedrockUser,BedrockMl"
        answer = self.connection.execute(re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], text))
        names = [column[0] for column in answer.description]
        return [dict(zip(names, line)) for line in answer.fetchall()]

    def test_a_person_has_one_row_for_all_roles_and_markets(self):
        answer = self.run_query("person")
        self.assertEqual([(line["person"], line["cost"]) for line in answer], [(BOB, 28.0), (ALICE, 2.5)])
        self.assertEqual(answer[1]["net_cost"], 2.0)
        self.assertEqual(answer[0]["last_usage"].isoformat(), f"{MONTH}-02T00:00:00")

    def test_a_tag_is_that_of_the_session(self):
        answer = self.run_query("tag")
        self.assertEqual(
            [(line["tag_value"], line["persons"], line["cost"]) for line in answer],
            [("(no tag)", 2, 23.5), ("search", 2, 5.0), ("ml", 1, 2.0)],
        )

    def test_a_tag_has_a_row_for_each_of_its_callers(self):
        answer = self.run_query("tag-person")
        of_tag = {line["tag_value"]: (line["persons"], line["cost"]) for line in self.run_query("tag")}
        for tag, (persons, cost) in of_tag.items():
            rows = [line for line in answer if line["tag_value"] == tag]
            self.assertEqual(len({line["person"] for line in rows}), persons)
            self.assertEqual(len(rows), persons)
            self.assertEqual(sum(line["cost"] for line in rows), cost)

    def test_a_model_has_its_kinds_of_tokens(self):
        answer = self.run_query("model")
        self.assertEqual(
            [(line["model"], line["kind"], line["cost"]) for line in answer],
            [
                ("us.openai.gpt", "cache write", 16.0),
                ("Claude Sonnet 4.6", "output", 8.0),
                ("Claude Sonnet 4.6", "cache read", 4.0),
                ("Nova Pro", "input", 3.0),
                ("(unknown)", "other", -0.5),
            ],
        )

    def test_calls_around_the_gateway_and_rows_without_a_caller(self):
        answer = self.run_query("unattributed")
        self.assertEqual(
            [(line["principal"].rsplit("/", 1)[-1], line["type"], line["cost"]) for line in answer],
            [
                ("(no principal)", "Usage", 512.0),
                ("(no principal)", "Tax", 256.0),
                ("ci", "Usage", 128.0),
                ("dave", "Usage", 64.0),
                ("carol", "Usage", 32.0),
            ],
        )

    def test_the_answers_add_up_to_the_bill_of_bedrock(self):
        total = sum(one["line_item_unblended_cost"] for one in ROWS if one["line_item_unblended_cost"] < 1024)
        names = ("person", "tag", "tag-person", "model", "unattributed")
        sums = {name: sum(line["cost"] for line in self.run_query(name)) for name in names}
        self.assertEqual(sums["person"] + sums["unattributed"], total)
        self.assertEqual(sums["person"], sums["tag"])
        self.assertEqual(sums["person"], sums["tag-person"])
        self.assertEqual(sums["person"], sums["model"])

    def test_every_query_reads_the_same_rows_of_one_partition(self):
        texts = {path.stem: path.read_text() for path in (SOURCES / "queries").glob("*.sql")}
        self.assertEqual(sorted(texts), ["model", "person", "tag", "tag-person", "unattributed"])
        filters = {text[text.index('FROM "') : text.index("strpos(")] for text in texts.values()}
        filters = {text.replace("coalesce(", "") for text in filters}
        self.assertEqual(len(filters), 1, filters)


def duckdb_map(value):
    return {"key": list(value), "value": list(value.values())} if isinstance(value, dict) else value


if __name__ == "__main__":
    unittest.main()
