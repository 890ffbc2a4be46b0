#!/usr/bin/env python3
"""Packs a chart with Helm's own library: chart.py CHART OUT. The archive's times are SOURCE_DATE_EPOCH."""

import gzip
import io
import os
import pathlib
import sys
import tarfile
import tempfile

import helm_python


def main() -> None:
    chart, out = sys.argv[1:]
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    with tempfile.TemporaryDirectory() as folder:
        packed = pathlib.Path(helm_python.package(chart, destination=folder))
        settled = io.BytesIO()
        # Helm writes the present time into the entries. Everything else stays as Helm wrote it.
        with tarfile.open(packed) as source, tarfile.open(fileobj=settled, mode="w", format=tarfile.GNU_FORMAT) as target:
            for entry in source:
                entry.mtime = epoch
                entry.pax_headers = {}
                target.addfile(entry, source.extractfile(entry))
        name = pathlib.Path(out) / packed.name
    name.write_bytes(gzip.compress(settled.getvalue(), mtime=epoch))
    # Helm reads what was written.
    loaded = helm_python.Chart.load_archive(name.read_bytes())
    print(f"{name}: {loaded.name} {loaded.version}")


if __name__ == "__main__":
    main()
