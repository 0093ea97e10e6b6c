"""`python -m bot.cli.manifest`: `manifest.yml` of a clone as JSON, for the hook of Slack's command line."""

import json
import sys
from pathlib import Path

MANIFEST = Path(__file__).resolve().parents[2] / "manifest.yml"

MISSING = "manifest.yml is not beside the code: run this from a clone of the repository."


def main() -> int:
    """Exit code: 0 done, 1 if this is not a clone. Prints only the manifest, as the hook `get-manifest` requires."""
    # Installed with Apprise; nothing else of the product reads YAML.
    import yaml

    try:
        text = MANIFEST.read_text(encoding="utf-8")
    except OSError:
        print(MISSING, file=sys.stderr)
        return 1
    print(json.dumps(yaml.safe_load(text), ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
