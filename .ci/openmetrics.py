"""Reads a page of metrics as a strict client of OpenMetrics does, and fails if the page breaks a rule of the format."""

import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

with open(sys.argv[1], encoding="utf-8") as page:
    families = list(text_string_to_metric_families(page.read()))
undocumented = [family.name for family in families if not family.documentation]
if len(families) < 20 or undocumented:
    sys.exit(f"{len(families)} families, without help: {undocumented}")
