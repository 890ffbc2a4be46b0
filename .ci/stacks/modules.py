"""Parses each Terraform module below deploy/terraform, and checks what `terraform validate` would need a download for:
every variable has a type and a description and is used, every output has a description, every reference resolves."""

import re
import sys
from pathlib import Path

import hcl2

ROOT = Path(__file__).parents[2]
problems = []


def unquoted(name):
    return name.strip('"')


def blocks(files, kind):
    """Each block of the kind, with its labels: (("aws_s3_bucket", "this"), body)."""
    for _, parsed in files:
        for block in parsed.get(kind, []):
            if kind in ("resource", "data"):
                for first, rest in block.items():
                    for second, body in rest.items():
                        yield (unquoted(first), unquoted(second)), body
            else:
                for name, body in block.items():
                    yield (unquoted(name),), body


def local_names(files):
    for _, parsed in files:
        for block in parsed.get("locals", []):
            yield from (unquoted(name) for name in block if not name.startswith("__"))


def check(folder):
    files = []
    for path in sorted(folder.glob("*.tf")):
        with path.open() as text:
            try:
                files.append((path, hcl2.load(text)))
            except Exception as error:  # The parser's errors have no common class.
                problems.append(f"{path}: {error}")
    source = "\n".join(
        re.sub(r"(?m)(^|\s)#.*$", "", path.read_text()) for path, _ in files)
    # A text is no reference, but the expression of its ${} is.
    source = re.sub(r'"(?:[^"\\$]|\\.|\$(?!\{)|\$\{[^}]*\})*"',
                    lambda text: " ".join(re.findall(r"(?<!\$)\$\{([^}]*)\}", text[0])), source)
    variables = dict((names[0], body) for names, body in blocks(files, "variable"))
    resources = {names for names, _ in blocks(files, "resource")}
    data = {names for names, _ in blocks(files, "data")}
    locals_ = set(local_names(files))
    modules = {names[0] for names, _ in blocks(files, "module")}
    for name, body in variables.items():
        for key in ("type", "description"):
            if key not in body:
                problems.append(f"{folder}: variable {name} has no {key}")
        uses = len(re.findall(rf"\bvar\.{name}\b", source))
        own = str(body.get("validation", "")).count(f"var.{name}")
        if uses <= own:
            problems.append(f"{folder}: variable {name} is not used")
    for (name,), body in blocks(files, "output"):
        if "description" not in body or "value" not in body:
            problems.append(f"{folder}: output {name} has no description or no value")
    for name in locals_:
        if not re.search(rf"\blocal\.{name}\b", source):
            problems.append(f"{folder}: local {name} is not used")
    known = {"var": variables.keys(), "local": locals_, "module": modules}
    for kind, name in re.findall(r"(?<![.\w])(var|local|module)\.(\w+)", source):
        if name not in known[kind]:
            problems.append(f"{folder}: {kind}.{name} is not declared")
    for names in re.findall(r"(?<![.\w])data\.(\w+)\.(\w+)", source):
        if names not in data:
            problems.append(f"{folder}: data.{'.'.join(names)} is not declared")
    for names in re.findall(r"(?<![.\w])(aws_\w+)\.(\w+)", source):
        if names not in resources:
            problems.append(f"{folder}: {'.'.join(names)} is not declared")
    for name in re.findall(r"\$\{path\.module\}/([\w./-]+)", "".join(path.read_text() for path, _ in files)):
        if not (folder / name).exists():
            problems.append(f"{folder}: there is no file {name}")
    print(f"{folder.relative_to(ROOT)}: {len(files)} files, {len(variables)} variables, {len(resources)} resources")


def main():
    folders = sorted({path.parent for path in (ROOT / "deploy/terraform").rglob("*.tf")})
    for folder in folders:
        check(folder)
    if problems or not folders:
        sys.exit("\n".join(problems) or "no module found")


if __name__ == "__main__":
    main()
