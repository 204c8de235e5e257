"""Checks that the committed data are what the generator writes, and that the manifest is true.

    python check.py ASSETS_DIR

Files are compared after unpacking: gzip's output may differ between zlib versions, its content may not.
"""

import gzip
import hashlib
import sys
from pathlib import Path

import datasets


def unpacked(name: str, data: bytes) -> bytes:
    return gzip.decompress(data) if name.endswith(".gz") else data


def main() -> int:
    assets = Path(sys.argv[1])
    made = datasets.build(datasets.SEED)
    wrong = []
    for name, data in made.items():
        path = assets / "data" / name
        if not path.exists() or unpacked(name, path.read_bytes()) != unpacked(name, data):
            wrong.append(f"data/{name}: differs from what the generator writes")
    listed = dict(line.split("  ")[::-1] for line in (assets / "SHA256SUMS").read_text().splitlines())
    for name in sorted({"model.gguf"} | {f"data/{n}" for n in made} | set(listed)):
        path = assets / name
        if not path.exists():
            wrong.append(f"{name}: in the manifest but missing")
        elif listed.get(name) != hashlib.sha256(path.read_bytes()).hexdigest():
            wrong.append(f"{name}: does not have the hash in SHA256SUMS")
    for line in wrong:
        print(line)
    print(f"{len(made)} data files checked, {len(wrong)} differences")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
