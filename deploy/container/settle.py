#!/usr/bin/env python3
"""Writes an image archive of buildah again, without what differs between builds of the same image.

    deploy/container/settle.py FROM TO SECONDS

buildah writes the id and the random host name of its working container into the configuration, which thereby gets
another digest each time. SECONDS since 1970 become the time of each file of the archive. Prints the digest of the
configuration, which is the image's id, and two sizes in bytes: unpacked, and packed as registries keep it.
"""

import doctest
import gzip
import hashlib
import io
import json
import sys
import tarfile


def settled(config: dict) -> bytes:
    """The configuration with nothing of the working container.

    >>> settled({"os": "linux", "container": "2a9a", "config": {"Hostname": "e00e", "User": "65532:65532"}})
    b'{"config":{"User":"65532:65532"},"os":"linux"}'
    """
    for name in ("container", "container_config", "parent"):
        config.pop(name, None)
    config["config"].pop("Hostname", None)
    return json.dumps(config, sort_keys=True, separators=(",", ":")).encode()


def main() -> None:
    source, target, seconds = sys.argv[1:]
    with tarfile.open(source) as archive:
        content = {file.name: archive.extractfile(file).read() for file in archive if file.isfile()}
    [image] = json.loads(content["manifest.json"])
    config = settled(json.loads(content[image["Config"]]))
    digest = hashlib.sha256(config).hexdigest()
    image["Config"] = f"{digest}.json"
    layers = {name: content[name] for name in image["Layers"]}
    files = {"manifest.json": json.dumps([image]).encode(), image["Config"]: config, **layers}
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(data), int(seconds)
            archive.addfile(entry, io.BytesIO(data))
    unpacked = 0
    for layer in layers.values():
        with tarfile.open(fileobj=io.BytesIO(layer)) as files:
            unpacked += sum(file.size for file in files if file.isfile())
    packed = len(config) + sum(len(gzip.compress(layer)) for layer in layers.values())
    print(f"sha256:{digest} {unpacked} {packed}")


if __name__ == "__main__":
    if doctest.testmod().failed:
        sys.exit(1)
    main()
