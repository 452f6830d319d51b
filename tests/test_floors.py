"""No file imports from a higher floor."""

from pathlib import Path

from tests.floors import ROOT, violations


def test_no_file_imports_from_a_higher_floor() -> None:
    assert list(violations(ROOT / "onthefly")) == []


def test_what_goes_up_is_found() -> None:
    package = Path("onthefly")
    (package / "data").mkdir(parents=True)
    (package / "attic").mkdir()
    (package / "data" / "one.py").write_text(
        "if 1:\n    from onthefly import augment\n    import onthefly.mixing.plan\n"
    )
    (package / "data" / "two.py").write_text("from onthefly.data.one import f\nfrom ..loader import wrap\n")
    (package / "attic" / "three.py").write_text("import onthefly.mixing\n")
    (package / "collate.py").write_text("import onthefly.matching\n")
    assert list(violations(package)) == [
        "attic/three.py:1: attic has no floor; add it to tests/floors.py",
        "collate.py:1: collate (floor 5) imports onthefly.matching (floor 5)",
        "data/one.py:2: data (floor 2) imports onthefly.augment (floor 4)",
        "data/two.py:2: data (floor 2) imports onthefly (floor 10)",
    ]


def test_the_arithmetic_floor_needs_no_torch() -> None:
    for path in (ROOT / "onthefly" / "mixing").glob("*.py"):
        assert "torch" not in path.read_text().replace("torch can add", "")
