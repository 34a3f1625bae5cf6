"""The documentation site: its table lists every page, and API pages name modules that exist (`make docs` builds it)."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"


def test_every_page_stands_in_the_table_of_the_site():
    listed = re.findall(r"^ *- ([\w/]+\.md)$", (REPOSITORY / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_api_pages_are_of_modules_that_exist():
    modules = [name for page in DOCS.glob("api/*.md") for name in re.findall(r"^::: (\S+)$", page.read_text(), re.M)]
    assert len(modules) == len(set(modules)) > 30
    assert [name for name in modules if not (REPOSITORY / name.replace(".", "/")).with_suffix(".py").is_file()] == []


def test_the_files_where_changes_go_exist():
    rows = [line for line in (REPOSITORY / "CONTRIBUTING.md").read_text().splitlines() if line.startswith("| ")]
    named = re.findall(r"`([\w/]+\.py)`", "\n".join(rows))
    folders = (REPOSITORY / "occrobnet_jax", REPOSITORY / "input_pipeline")
    there = [*REPOSITORY.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    assert len(named) > 20
    assert [name for name in named if not any(path.as_posix().endswith(f"/{name}") for path in there)] == []
