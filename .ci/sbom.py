"""Writes a bill of materials (CycloneDX 1.6, JSON) of a wheel and of the pinned packages it uses.

It lists the weights and songs in the wheel, and every line of requirements.txt with its hashes.
Licenses are those that packages state which are installed here in the same version. The same wheel
gives the same file again.
"""

import argparse
import hashlib
import importlib.metadata
import re
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PINNED = ROOT / "requirements.txt"
# Files of a wheel that are listed, by the end of their names. The rest is its code.
LISTED = {
    ".safetensors": ComponentType.MACHINE_LEARNING_MODEL,
    ".mid": ComponentType.FILE,
}


def main() -> int:
    """Writes the bill; returns 1 if it does not keep to CycloneDX's schema."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="wheel of this project")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    flags = parser.parse_args()
    text = JsonV1Dot6(bill(flags.wheel)).output_as_string(indent=2)
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    flags.out.parent.mkdir(parents=True, exist_ok=True)
    flags.out.write_text(text + "\n", encoding="utf-8")
    print(f"{flags.out}: {text.count('bom-ref')} components")
    return 0


def bill(wheel: Path) -> Bom:
    """Returns the bill of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
        about = HeaderParser().parsestr(archive.read(metadata).decode())
        licenses = [LicenseFactory().make_from_string(about["License-Expression"])]
        files = [
            Component(
                name=name,
                type=LISTED[Path(name).suffix],
                bom_ref=name,
                version=about["Version"],
                licenses=licenses,
                hashes=[sha256(archive.read(name))],
            )
            for name in sorted(names)
            if Path(name).suffix in LISTED
        ]
    packages = pinned_packages()
    own = Component(
        name=about["Name"],
        type=ComponentType.LIBRARY,
        bom_ref=about["Name"],
        version=about["Version"],
        description=about["Summary"],
        licenses=licenses,
        hashes=[sha256(wheel.read_bytes())],
    )
    result = Bom(components=[*files, *packages], metadata=BomMetaData(component=own))
    # A bill has a number of its own, and says when it was made. Both would differ each time.
    result.serial_number = result.metadata.timestamp = None  # type: ignore[assignment]
    direct = {canonicalize_name(Requirement(line).name) for line in about.get_all("Requires-Dist")}
    result.register_dependency(own, [*files, *(each for each in packages if each.name in direct)])
    return result


def pinned_packages() -> list[Component]:
    """Returns the packages that requirements.txt pins."""
    text = PINNED.read_text().replace("\\\n", "")
    packages = []
    for line in re.findall(r"^\w.*", text, re.MULTILINE):
        pin, *hashes = line.split("--hash=sha256:")
        requirement = Requirement(pin)
        name = canonicalize_name(requirement.name)
        version = str(requirement.specifier).removeprefix("==")
        package = Component(
            name=name,
            bom_ref=f"{name}=={version}",
            version=version,
            purl=PackageURL("pypi", name=name, version=version),
            licenses=licenses_of(name, version),
            # One for each file of the version, of which a machine installs one.
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each.strip()) for each in hashes],
        )
        if requirement.marker:
            marker = Property(name="spectrodiff:marker", value=str(requirement.marker))
            package.properties.add(marker)
        packages.append(package)
    return packages


def licenses_of(name: str, version: str) -> list[License]:
    """Returns the licenses that an installed package states; [] for another version."""
    try:
        about = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    if about["Version"] != version:
        return []
    classified = [
        line.rpartition(" :: ")[2]
        for line in about.get_all("Classifier") or []
        if line.startswith("License :: ") and line != "License :: OSI Approved"
    ]
    # Some put the whole text of a license where its name should be.
    stated = about.get("License-Expression") or (classified or [about.get("License", "")])[0]
    return [LicenseFactory().make_from_string(stated)] if 0 < len(stated) < 80 else []


def sha256(data: bytes) -> HashType:
    """Returns the checksum of a file."""
    return HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(data).hexdigest())


if __name__ == "__main__":
    sys.exit(main())
