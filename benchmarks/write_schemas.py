"""Regenerate the committed JSON Schemas of scenario, plan and migration files."""

import json
from pathlib import Path

from swarmplan.scenarios.migrationfile import migration_json_schema
from swarmplan.scenarios.schema import json_schema, plan_json_schema

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"

if __name__ == "__main__":
    for name, schema in (
        ("scenario", json_schema()),
        ("plan", plan_json_schema()),
        ("migration", migration_json_schema()),
    ):
        text = json.dumps(schema, indent=2, sort_keys=True) + "\n"
        (FOLDER / f"{name}.schema.json").write_text(text, encoding="utf-8")
