"""The payer's stacks: what they embed, what doctor demands of the export, and that both forms agree."""

import re
import unittest
from pathlib import Path

import hcl2
import yaml

from embed import ROOT, SOURCES, TEMPLATES, columns, embedded, query

# A template that is passed in a request of CloudFormation, in bytes.
LARGEST = 51_200
# The parameters of one form that the other has in another way, and why.
ONLY_CLOUDFORMATION = {
    "payer": set(),
    # Terraform has a limit for each value, and changes the notifications of a budget in place.
    "budgets": {"tag_values", "limit_usd", "generation"},
}
ONLY_TERRAFORM = {"payer": set(), "budgets": {"limits_usd", "name"}}


class Loader(yaml.SafeLoader):
    """Reads a short form `!Name x` as `{"Name": x}`."""


def short_form(loader, suffix, node):
    kinds = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: loader.construct_sequence}
    construct = kinds.get(type(node), loader.construct_mapping)
    deep = {} if isinstance(node, yaml.ScalarNode) else {"deep": True}
    return {suffix: construct(node, **deep)}


Loader.add_multi_constructor("!", short_form)


def template(name):
    return yaml.load((ROOT / f"deploy/cloudformation/{name}.yaml").read_text(), Loader)


def module(name):
    """The text of all files of a module."""
    return "\n".join(path.read_text() for path in sorted((ROOT / f"deploy/terraform/{name}").glob("*.tf")))


def variables(name):
    """The variables of a module, with their defaults."""
    unquoted = lambda value: value.strip('"') if isinstance(value, str) else value
    found = hcl2.loads((ROOT / f"deploy/terraform/{name}/variables.tf").read_text())["variable"]
    named = [pair for one in found for pair in one.items() if pair[0] != "__is_block__"]
    return {unquoted(key): unquoted(value.get("default")) for key, value in named}


def snake(name):
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def settings_of(text):
    """The settings of the export's table."""
    return dict(re.findall(r"(INCLUDE_\w+)\s*[:=]\s*['\"](\w+)['\"]", text))


class Stacks(unittest.TestCase):
    def test_templates_embed_their_sources(self):
        for path in TEMPLATES:
            text = path.read_text()
            self.assertEqual(text, embedded(text), f"{path}: run python .ci/stacks/payer/embed.py --write")
            self.assertIn("# from ", text)
            self.assertLess(len(text.encode()), LARGEST)

    def test_the_export_has_what_doctor_demands(self):
        doctor = (ROOT / "src/doctor/billing.rs").read_text()
        declared = re.search(r"const COLUMNS: \[&str; (\d+)\] = \[(.*?)\];", doctor, re.DOTALL)
        demanded = re.findall(r'"(\w+)"', declared[2])
        self.assertEqual(len(demanded), int(declared[1]))
        self.assertLessEqual(set(demanded), {name for name, _ in columns()})
        setting = re.search(r'const PRINCIPALS: &str = "(\w+)"', doctor)[1]
        for text in ((ROOT / "deploy/cloudformation/payer.yaml").read_text(), module("payer")):
            self.assertEqual(settings_of(text)[setting], "TRUE")
            self.assertEqual(settings_of(text)["INCLUDE_RESOURCES"], "TRUE")

    def test_the_table_has_the_columns_of_the_query(self):
        resources = template("payer")["Resources"]
        export = resources["Export"]["Properties"]["Export"]["DataQuery"]
        self.assertEqual(export["QueryStatement"].strip(), query())
        storage = resources["Table"]["Properties"]["TableInput"]["StorageDescriptor"]
        self.assertEqual([(one["Name"], one["Type"]) for one in storage["Columns"]], columns())
        names = [name for name, _ in columns()]
        self.assertEqual(names, sorted(set(names)))
        for path in (SOURCES / "queries").glob("*.sql"):
            read = set(re.findall(r"\b(?:bill|line_item|pricing|product)_\w+", path.read_text())) - {"product_name"}
            self.assertLessEqual(read - {"billing_period"}, set(names), path)

    def test_both_forms_have_the_same_parameters(self):
        for name in ("payer", "budgets"):
            parameters = {snake(key): one.get("Default") for key, one in template(name)["Parameters"].items()}
            found = variables(name)
            self.assertEqual(set(parameters) - set(found), ONLY_CLOUDFORMATION[name])
            self.assertEqual(set(found) - set(parameters), ONLY_TERRAFORM[name])
            for key in set(parameters) & set(found):
                value = found[key]
                value = ",".join(one.strip('"') for one in value) if isinstance(value, list) else value
                self.assertEqual(str(parameters[key]).lower(), str(value).lower(), f"{name}: {key}")

    def test_both_forms_have_the_same_settings_and_permissions(self):
        for name in ("payer", "budgets"):
            text = (ROOT / f"deploy/cloudformation/{name}.yaml").read_text()
            self.assertEqual(settings_of(text), settings_of(module(name)))
            actions = re.compile(r"\b(?:s3|sns|sts|logs|budgets|billing|lambda|kms|ce):[A-Z]\w+")
            found = [sorted(set(actions.findall(one))) for one in (text, module(name))]
            self.assertEqual(found[0], found[1], name)
            self.assertTrue(found[0])

    def test_the_function_has_its_environment(self):
        read = set(re.findall(r"os\.environ\[[\"'](\w+)[\"']\]", (SOURCES / "deny_file.py").read_text()))
        function = template("budgets")["Resources"]["Function"]["Properties"]
        self.assertEqual(set(function["Environment"]["Variables"]), read)
        block = re.search(r"variables = \{(.*?)\n    \}", module("budgets"), re.DOTALL)[1]
        self.assertEqual(set(re.findall(r"^ *([A-Z_]+) +=", block, re.MULTILINE)), read)
        self.assertIn(f'runtime          = "{function["Runtime"]}"', module("budgets"))


if __name__ == "__main__":
    unittest.main()
