"""The page that lists what is claimed is what the code claims."""

from docs.operators import PAGE, page


def test_the_page_is_current() -> None:
    """`docs/operators.md` is what `python docs/operators.py` writes."""
    assert PAGE.read_text() == page(), "run python docs/operators.py"
