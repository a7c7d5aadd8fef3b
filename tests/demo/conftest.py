"""Makes the demo's modules importable: they stand beside the script, as a script's own modules do."""

import sys

from tests.servers import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
