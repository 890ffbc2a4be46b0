"""Checks the Terraform modules against the schema of the AWS provider, which `terraform validate` would do.

No registry that CI reaches has Terraform. PyPI has the provider's schema as Python classes, one module for each
resource: their text is read here, and never run. `.ci/stacks/payer/test_provider.py` checks all modules.
"""

import ast
import re
import zipfile
from pathlib import Path

import hcl2

META = {"count", "depends_on", "for_each", "lifecycle", "provider", "provisioner", "connection"}
REFERENCE = re.compile(r"\b(data\.)?(aws_\w+)\.(\w+)(?:\[[^\]]*\])?\.(\w+)")


class Schema:
    """The arguments and nested blocks of one resource or data source, and the attributes that it exports."""

    def __init__(self, text: str):
        self.structs, self.top, self.attributes = {}, "", set()
        for node in ast.parse(text).body:
            if not isinstance(node, ast.ClassDef):
                continue
            bases = [ast.unparse(base) for base in node.bases]
            if any(base.endswith((".TerraformResource", ".TerraformDataSource")) for base in bases):
                self.attributes = {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
            elif node.decorator_list and "jsii.data_type" in ast.unparse(node.decorator_list[0].func):
                self.structs[node.name] = struct(node)
                if any(base.endswith(".TerraformMetaArguments") for base in bases):
                    self.top = node.name


def struct(node: ast.ClassDef) -> dict[str, tuple[bool, set[str]]]:
    """Each argument: whether it is required, and the names in its type."""
    init = next(one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__")
    found = {}
    for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults):
        names = set(re.findall(r"'(\w+)'", ast.unparse(argument.annotation)))
        found[argument.arg] = (default is None, names)
    return found


class Checker:
    def __init__(self, wheel: Path):
        self.archive = zipfile.ZipFile(wheel)
        self.files = {name.split("/")[1]: name for name in self.archive.namelist() if name.endswith("/__init__.py")}
        self.schemas: dict[str, Schema | None] = {}
        self.faults: list[str] = []
        self.checked = 0

    def schema(self, kind: str, is_data: bool) -> Schema | None:
        name = f"data_{kind}" if is_data else kind.removeprefix("aws_")
        if name not in self.schemas:
            file = self.files.get(name)
            self.schemas[name] = Schema(self.archive.read(file).decode()) if file else None
        return self.schemas[name]

    def block(self, place: str, schema: Schema, name: str, body: dict) -> None:
        known, given = schema.structs[name], set()
        for key, value in body.items():
            if key in META or key.startswith("__"):
                continue
            nested = [(key, value)]
            if key == "dynamic":
                nested = [(unquoted(label), inner["content"]) for one in value for label, inner in blocks(one)]
            for inner_key, inner in nested:
                given.add(inner_key)
                if inner_key not in known:
                    self.faults.append(f"{place}: {name} has no {inner_key}")
                    continue
                inside = known[inner_key][1] & set(schema.structs)
                for one in inner if inside and isinstance(inner, list) else []:
                    if isinstance(one, dict):
                        self.block(f"{place}.{inner_key}", schema, inside.copy().pop(), one)
        for key, (is_required, _) in known.items():
            if is_required and key not in given and key not in META:
                self.faults.append(f"{place}: {name} needs {key}")

    def module(self, folder: Path) -> None:
        for file in sorted(folder.glob("*.tf")):
            text = file.read_text()
            tree = hcl2.loads(text)
            for section, is_data in (("resource", False), ("data", True)):
                for outer in tree.get(section, []):
                    for kind, inner in blocks(outer):
                        for label, body in blocks(inner):
                            self.resource(f"{file}: {unquoted(kind)}.{unquoted(label)}", unquoted(kind), is_data, body)
            for data, kind, label, attribute in REFERENCE.findall(without_comments(text)):
                schema = self.schema(kind, bool(data))
                if not schema or attribute not in schema.attributes:
                    self.faults.append(f"{file}: {data}{kind}.{label} has no attribute {attribute}")

    def resource(self, place: str, kind: str, is_data: bool, body: dict) -> None:
        if not kind.startswith("aws_"):
            return
        schema = self.schema(kind, is_data)
        if schema is None:
            self.faults.append(f"{place}: the provider has no {kind}")
            return
        self.checked += 1
        self.block(place, schema, schema.top, body)


def blocks(outer: dict):
    return [(key, value) for key, value in outer.items() if not key.startswith("__")]


def unquoted(text: str) -> str:
    return text.strip('"')


def without_comments(text: str) -> str:
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
