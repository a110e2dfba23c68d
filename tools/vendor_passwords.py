"""Make the list of common passwords from the one that zxcvbn ships.

    pip install zxcvbn==4.5.0 && python tools/vendor_passwords.py

Passwords that are too short anyway are left out; the rest are normalised as they are compared.
"""

from importlib.metadata import files
from pathlib import Path
from unicodedata import normalize

from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-not-found]

DOMAIN = Path(__file__).parents[1] / "src/taskcore/domain"
SHORTEST = 8


def main() -> None:
    spelled = {normalize("NFC", word).casefold() for word in FREQUENCY_LISTS["passwords"]}
    kept = sorted(word for word in spelled if len(word) >= SHORTEST)
    (DOMAIN / "common_passwords.txt").write_text("\n".join(kept) + "\n", encoding="utf-8")
    (found,) = [file for file in files("zxcvbn") or () if file.name.startswith("LICENSE")]
    (DOMAIN / "LICENSE-common-passwords").write_text(found.read_text())


main()
