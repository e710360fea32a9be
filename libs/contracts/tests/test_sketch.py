from contracts.bundle import catalogue_sketch, overlap


def _titles(first: int, last: int) -> list[str]:
    return [f"dataset {number}" for number in range(first, last)]


def test_a_sketch_is_small_and_the_order_of_titles_does_not_matter() -> None:
    sketch = catalogue_sketch(_titles(0, 10_000))
    assert len(sketch) == 256
    assert sketch == catalogue_sketch(reversed(_titles(0, 10_000)))


def test_the_overlap_is_the_share_of_titles_that_both_catalogues_have() -> None:
    grown = overlap(catalogue_sketch(_titles(0, 5_000)), catalogue_sketch(_titles(0, 5_500)))
    halved = overlap(catalogue_sketch(_titles(0, 5_000)), catalogue_sketch(_titles(2_500, 7_500)))
    assert abs(grown - 10 / 11) < 0.1
    assert abs(halved - 1 / 3) < 0.1
    assert overlap(catalogue_sketch(_titles(0, 5_000)), catalogue_sketch(_titles(5_000, 10_000))) == 0
    assert overlap(catalogue_sketch(["one", "two"]), catalogue_sketch(["two", "three"])) == 1 / 3
