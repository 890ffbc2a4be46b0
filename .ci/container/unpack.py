#!/usr/bin/env python3
"""Unpacks an image archive: `unpack.py ARCHIVE FOLDER` makes FOLDER/root, and FOLDER/image.json with its settings."""

import io
import json
import pathlib
import sys
import tarfile


def main() -> None:
    archive, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    with tarfile.open(archive) as image:
        read = lambda name: image.extractfile(name).read()
        [manifest] = json.loads(read("manifest.json"))
        (folder / "image.json").write_bytes(read(manifest["Config"]))
        for name in manifest["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(read(name))) as layer:
                # No layer removes a file of another one.
                assert not any(pathlib.Path(file.name).name.startswith(".wh.") for file in layer)
                # This image is our own. Python 3.11.2 does not know the argument `filter`.
                layer.extraction_filter = lambda file, _: file
                layer.extractall(folder / "root")


if __name__ == "__main__":
    main()
