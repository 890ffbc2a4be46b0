#!/usr/bin/env python3
"""Tries .ci/release/publish with stand-ins of skopeo, docker, helm and gh, which share a registry in a folder.

The stand-ins show which commands the script runs, and what it does with their answers. That a registry answers like
this, they cannot show.
"""

import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

PUBLISH = pathlib.Path(__file__).resolve().with_name("publish")
IMAGE, CHARTS, VERSION = "registry.example/a/gateway", "registry.example/a/charts", "1.2.3"
CHART = f"{CHARTS}/bedrock-gateway:{VERSION}"


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry:
    """Tags and their manifests, as JSON in a file; also the release, the commands that wrote, and the planned faults."""

    def __init__(self, file: pathlib.Path):
        self.file = file
        empty = {"tags": {}, "release": [], "written": [], "fail_write": 0, "error": "manifest unknown"}
        self.state = json.loads(file.read_text()) if file.exists() else empty

    def save(self) -> None:
        self.file.write_text(json.dumps(self.state))

    def write(self, name: str) -> None:
        """One command that changes something: the planned one fails before it does."""
        self.state["fail_write"] -= 1
        self.save()
        if self.state["fail_write"] == 0:
            sys.exit(f"{name}: the connection was reset")
        self.state["written"].append(name)

    def run(self, program: str, arguments: list[str]) -> None:
        tags, release = self.state["tags"], self.state["release"]
        match [program, *arguments]:
            case ["skopeo", "inspect", "--raw", source]:
                found = tags.get(source.removeprefix("docker://"))
                sys.exit(f"reading manifest: {self.state['error']}") if found is None else print(found, end="")
            case ["skopeo", "copy", source, target]:
                self.write(target)
                with tarfile.open(source.removeprefix("docker-archive:")) as archive:
                    name = json.load(archive.extractfile("manifest.json"))[0]["Config"]
                config = {"digest": f"sha256:{name.removesuffix('.json')}"}
                tags[target.removeprefix("docker://")] = json.dumps({"config": config})
            case ["docker", "buildx", "imagetools", "create", "--tag", tag, *sources]:
                self.write(tag)
                there = {digest(manifest.encode()) for manifest in tags.values()}
                digests = [source.partition("@")[2] for source in sources]
                assert there.issuperset(digests)
                tags[tag] = json.dumps({"manifests": [{"digest": each} for each in digests]})
            case ["helm", "push", file, _]:
                self.write(file)
                layer = {"digest": digest(pathlib.Path(file).read_bytes())}
                tags[CHART] = json.dumps({"layers": [layer]})
            case ["gh", "release", "list", *_]:
                print(*release, sep="\n", end="")
            case ["gh", "release", "create" | "upload" as verb, *_]:
                self.write(verb)
                release[:] = ["true"]
            case ["gh", "release", "edit", *_]:
                self.write("edit")
                release[:] = ["false"]
            case other:
                sys.exit(f"no stand-in for {other}")
        self.save()


class Publish(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.at = pathlib.Path(folder.name)
        self.files, self.state = self.at / "files", self.at / "state.json"
        (self.at / "bin").mkdir()
        self.files.mkdir()
        for program in ("skopeo", "docker", "helm", "gh"):
            stand_in = self.at / "bin" / program
            stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} -IS {PUBLISH}_test.py {program} "$@"\n')
            stand_in.chmod(0o755)
        (self.at / "files.notes.md").write_text("- Something.\n")
        (self.files / f"bedrock-gateway-{VERSION}.tgz").write_bytes(b"chart")
        for arch in ("amd64", "arm64"):
            self.image(arch, f"{arch} of the release")

    def image(self, arch: str, content: str) -> None:
        manifest = json.dumps([{"Config": f"{hashlib.sha256(content.encode()).hexdigest()}.json"}]).encode()
        with tarfile.open(self.files / f"bedrock-gateway-{VERSION}-{arch}.image.tar", "w") as archive:
            entry = tarfile.TarInfo("manifest.json")
            entry.size = len(manifest)
            archive.addfile(entry, io.BytesIO(manifest))

    def registry(self, **changes) -> dict:
        registry = Registry(self.state)
        registry.state |= changes
        registry.save()
        return registry.state

    def publish(self, what: str = "push") -> subprocess.CompletedProcess:
        own = {"PATH": f"{self.at / 'bin'}:{os.environ['PATH']}", "STATE": str(self.state)}
        own |= {"VERSION": VERSION, "IMAGE": IMAGE, "CHARTS": CHARTS, "DIGEST": "sha256:0"}
        command = [PUBLISH, what, self.files]
        return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)

    def refused(self, reason: str) -> None:
        before = self.registry(written=[])["tags"]
        result = self.publish()
        after = self.registry()
        self.assertNotEqual(result.returncode, 0)
        self.assertIn(reason, result.stderr)
        self.assertEqual([after["tags"], after["written"]], [before, []])

    def test_what_is_pushed_stays_and_is_not_pushed_again(self):
        first = self.publish()
        self.assertEqual(first.returncode, 0, first.stderr)
        state = self.registry()
        self.assertEqual(len(state["written"]), 4)
        self.assertEqual(first.stdout.strip(), digest(state["tags"][f"{IMAGE}:{VERSION}"].encode()))
        again = self.publish()
        self.assertEqual([again.returncode, again.stdout], [0, first.stdout])
        self.assertEqual(self.registry()["written"], state["written"])

    def test_a_push_that_failed_half_way_goes_on(self):
        for step in range(1, 5):
            with self.subTest(step=step):
                self.state.unlink(missing_ok=True)
                self.registry(fail_write=step)
                self.assertNotEqual(self.publish().returncode, 0)
                self.assertEqual(len(self.registry()["written"]), step - 1)
                result = self.publish()
                self.assertEqual(result.returncode, 0, result.stderr)
                written = self.registry()["written"]
                self.assertEqual([len(written), len(set(written))], [4, 4])

    def test_only_a_tag_that_the_registry_does_not_know_is_pushed(self):
        for error in ("received unexpected HTTP status: 503", "denied: requested access to the resource is denied"):
            with self.subTest(error=error):
                self.registry(error=error)
                self.refused(error)
        self.registry(error="name unknown: repository name not known to registry")
        self.assertEqual(self.publish().returncode, 0)

    def test_a_tag_with_something_else_ends_it(self):
        self.assertEqual(self.publish().returncode, 0)
        complete = self.registry()["tags"]
        for tag in complete:
            with self.subTest(tag=tag):
                others = {"config": {"digest": "sha256:1"}, "manifests": [], "layers": []}
                self.registry(tags=complete | {tag: json.dumps(others)})
                self.refused(f"{tag} is not what this release made")
        self.registry(tags=complete)
        self.image("arm64", "another build")
        self.refused(f"{IMAGE}:{VERSION}-arm64 is not what this release made")

    def test_a_draft_is_completed_and_a_release_is_left_alone(self):
        for there, written in ([], ["create", "edit"]), (["true"], ["upload", "edit"]), (["false"], []):
            with self.subTest(there=there):
                self.registry(release=there, written=[])
                result = self.publish("release")
                self.assertEqual(result.returncode, 0, result.stderr)
                state = self.registry()
                self.assertEqual([state["written"], state["release"]], [written, ["false"]])
        self.registry(release=["true", "false"])
        self.assertNotEqual(self.publish("release").returncode, 0)


if __name__ == "__main__":
    if "STATE" not in os.environ:
        unittest.main()
    Registry(pathlib.Path(os.environ["STATE"])).run(sys.argv[1], sys.argv[2:])
