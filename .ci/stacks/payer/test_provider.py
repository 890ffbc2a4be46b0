"""Tests that .ci/stacks/provider.py finds mistakes, and that no module has one. PROVIDER is the wheel of the schema."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

from embed import ROOT

sys.path.insert(0, str(ROOT / ".ci/stacks"))
from provider import Checker  # noqa: E402

RIGHT = """
resource "aws_sns_topic" "one" {
  #checkov:skip=CKV_AWS_26:aws_sns_topic.one.nothing is a comment here
  name = data.aws_region.here.region
}

data "aws_region" "here" {}

resource "aws_s3_bucket_versioning" "one" {
  bucket = "bucket"

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_glue_catalog_table" "one" {
  name          = aws_sns_topic.one.name
  database_name = "database"

  storage_descriptor {
    dynamic "columns" {
      for_each = ["name"]

      content {
        name = columns.value
      }
    }
  }
}
"""
WRONG = {
    "name = data.aws_region.here.region": ('name = "x"\n  naem = 1', "has no naem"),
    "data.aws_region.here.region": ("data.aws_region.here.regoin", "has no attribute regoin"),
    "aws_sns_topic.one.name": ("aws_sns_topic.one.nmae", "has no attribute nmae"),
    'resource "aws_sns_topic"': ('resource "aws_sns_topik"', "the provider has no aws_sns_topik"),
    'bucket = "bucket"': ("", "needs bucket"),
    'status = "Enabled"': ('state = "Enabled"', "has no state"),
    "versioning_configuration": ("version_configuration", "has no version_configuration"),
    "name = columns.value": ("nmae = columns.value", "has no nmae"),
    'dynamic "columns"': ('dynamic "column"', "has no column"),
}


class Provider(unittest.TestCase):
    def faults(self, text):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "main.tf").write_text(text)
            checker = Checker(Path(os.environ["PROVIDER"]))
            checker.module(Path(folder))
            return checker.faults

    def test_a_right_module_passes(self):
        self.assertEqual(self.faults(RIGHT), [])

    def test_each_mistake_is_found(self):
        for right, (wrong, fault) in WRONG.items():
            with self.subTest(wrong):
                self.assertIn(right, RIGHT)
                self.assertIn(fault, "\n".join(self.faults(RIGHT.replace(right, wrong, 1))))

    def test_no_module_has_a_mistake(self):
        checker = Checker(Path(os.environ["PROVIDER"]))
        for folder in sorted((ROOT / "deploy/terraform").iterdir()):
            if folder.is_dir():
                checker.module(folder)
        self.assertEqual(checker.faults, [])
        self.assertGreater(checker.checked, 30)


if __name__ == "__main__":
    unittest.main()
