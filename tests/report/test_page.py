"""The page: all its sections, the figures of the result, and nothing that runs or is fetched."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
import sample

from churnops.bundle.manifest import Metric
from churnops.evaluation.metrics import METRICS
from churnops.report.page import METRIC_WORDS, render
from churnops.report.result import Equivalence, FeatureUsed, Result

SECTIONS = [
    "verdict",
    "candidates",
    "curves",
    "calibration",
    "gain",
    "scores",
    "features",
    "slices",
    "horizon",
    "data",
    "leakage",
    "spans",
    "provenance",
]
HOSTILE = """<script>alert(1)</script>"><img src=x onerror='alert("2")'> & $\\frac$ {{ 7 * 7 }}"""
VOID = {"meta", "link", "br", "img"}


@dataclass
class Page(HTMLParser):
    """What a browser would make of it: tags with attributes, and the text of each section."""

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    unclosed: list[str] = field(default_factory=list)
    section: str = ""

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)
        if tag in {"section", "header", "footer"}:
            self.section = dict(attrs).get("id") or tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.unclosed.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts[self.section] = " ".join((self.texts.get(self.section, "") + " " + data).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def ids(self) -> list[str | None]:
        return [attrs["id"] for _, attrs in self.tags if "id" in attrs]


def page_of(result: Result, predictions: pa.Table | None = None) -> Page:
    return Page(render(result, sample.predictions() if predictions is None else predictions))


@pytest.fixture(scope="module")
def page() -> Page:
    return page_of(sample.result())


@pytest.fixture(scope="module")
def labelled() -> Page:
    """As little as a result may hold: one candidate, folds, no churn, nothing found, every score the same."""
    only = sample.candidates()[0].model_copy(update={"gain": {}})
    sources = sample.SOURCES.model_copy(update={"repairs": (), "notes": ()})
    spans = {"test": sample.SPANS["test"].model_copy(update={"when": ("fold 0", "fold 1")})}
    registry = sample.result().registry.model_copy(
        update={"promoted": True, "reasons": (), "champion_compared": None, "champion_version": 4}
    )
    result = sample.result(
        shape="labelled",
        churn=None,
        split="folds",
        candidates=(only,),
        findings=(),
        slices=(),
        features=(),
        spans=spans,
        registry=registry,
        sources=sources,
    )
    churned = sample.predictions()["churned"]
    return page_of(result, pa.table({"churned": churned, "lightgbm": np.full(len(churned), 0.4)}))


@pytest.fixture(scope="module")
def unusual() -> Page:
    """Markup wherever people's own words go, 200 features, a slice far off, spans that overlap."""
    base = sample.result()
    slices = (
        base.slices[0].model_copy(update={"column": HOSTILE, "level": HOSTILE, "distance": 9.0}),
        *base.slices[1:],
    )
    repair = base.sources.repairs[0].model_copy(update={"column": HOSTILE, "examples": (HOSTILE,)})
    return page_of(
        sample.result(
            name=HOSTILE,
            features=(
                FeatureUsed(name=HOSTILE, kind="categorical", text=HOSTILE, importance=0.2),
                *sample.features(199),
            ),
            slices=slices,
            sources=base.sources.model_copy(update={"repairs": (repair,), "notes": (HOSTILE,)}),
            findings=(sample.FINDING.model_copy(update={"column": HOSTILE, "text": HOSTILE}),),
            registry=base.registry.model_copy(update={"reasons": (HOSTILE,)}),
            spans=base.spans
            | {"validation": base.spans["validation"].model_copy(update={"when": ("2024-02-01",)})},
            paths={"bundle": HOSTILE},
        )
    )


def test_every_section_is_there_in_order_and_linked(page: Page) -> None:
    assert [name for name in page.ids if name in SECTIONS] == SECTIONS
    links = [attrs["href"] for attrs in page.all("a")]
    assert links == [f"#{name}" for name in SECTIONS[1:]]


def test_tags_are_closed_and_ids_are_unique(page: Page, labelled: Page) -> None:
    for each in (page, labelled):
        assert each.unclosed == []
        assert len(set(each.ids)) == len(each.ids)


def test_nothing_runs_and_nothing_is_fetched(page: Page) -> None:
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "iframe", "object", "embed", "form", "base"}
    addresses = [value for _, attrs in page.tags for key, value in attrs.items() if key in {"href", "src"}]
    assert all(value is not None and value.startswith(("#", "data:")) for value in addresses)
    assert not re.search(r"https?:|//\w|@import|url\((?!#)", page.html)
    assert not [key for _, attrs in page.tags for key in attrs if key.startswith("on")]


def test_drawings_refer_to_what_is_on_the_page(page: Page) -> None:
    referred = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', page.html))
    assert {first or second for first, second in referred} <= set(page.ids)


def test_drawings_and_tables_say_what_they_are(page: Page) -> None:
    drawings = page.all("svg")
    assert len(drawings) == 7
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in drawings)
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("html") == [{"lang": "en"}]


def test_drawings_hold_only_colours_that_follow_the_theme(page: Page) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page.html, flags=re.DOTALL)
    assert drawings
    assert not [found for drawing in drawings for found in re.findall(r"#[0-9a-f]{6}\b(?!\")", drawing)]
    assert "prefers-color-scheme: dark" in page.html


def test_verdict_says_who_won_what_it_brings_and_why_it_was_not_promoted(page: Page) -> None:
    result, said = sample.result(), page.texts["verdict"]
    lift = sample.candidates()[0].metrics["lift_top_10pct"]
    assert said.startswith(f"Churn report: shop {' '.join(result.verdict)}")
    assert "Not promoted" in said
    assert result.registry.reasons[0] in said
    assert f"{10 * lift.value:.1f} % of leavers ({10 * lift.low:.1f} % to {10 * lift.high:.1f} %)" in said


def test_candidates_have_every_metric_with_its_interval_and_their_gain(page: Page) -> None:
    said = page.texts["candidates"]
    for candidate in sample.candidates():
        for metric in candidate.metrics.values():
            assert f"{metric.value:.3f} {metric.low:.3f} to {metric.high:.3f}" in said
        for metric in candidate.gain.values():
            assert f"{metric.value:+.3f}".replace("-0.000", "+0.000") in said
    assert "recency" in said
    assert "worse" in said


def test_every_metric_has_words() -> None:
    assert METRIC_WORDS.keys() == METRICS.keys()


def test_threshold_counts_the_customers_to_call(page: Page) -> None:
    table = sample.predictions()
    called = table["lightgbm"].to_numpy() >= sample.result().threshold
    left = table["churned"].to_numpy()[called].mean()
    assert f"{called.sum()} of 3,000 would be called" in page.texts["scores"]
    assert f"of whom {100 * left:.1f} % left" in page.texts["scores"]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("gain", "Call the top 10 %: you reach"),
        ("features", "orders_30d Orders in the last 30 days +0.089"),
        ("features", "The other 8 columns"),
        ("slices", "chance alone would give about 1."),
        ("horizon", "buys nothing for 90 days"),
        ("horizon", "The data would propose 84 days."),
        ("data", "transactions 412,733 411,020"),
        ("data", "orders.csv row 17: date='31/31/2020'"),
        ("data", "412 customers never bought anything"),
        ("leakage", "closed_on: alone it ranks customers with AUC 0.991"),
        ("spans", "No window reaches into the next span."),
        ("spans", "2023-07-08, 2023-08-05, 2023-09-02, 2023-10-03"),
        ("provenance", "shop-0123456789ab"),
        ("provenance", "version 4, run 9f2c ; compared with the champion shop-aa"),
    ],
)
def test_sections_tell_what_the_result_holds(page: Page, section: str, words: str) -> None:
    assert words in page.texts[section]


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("verdict", "Champion Version 4 passed every gate."),
        ("candidates", "lightgbm in the bundle best baseline"),
        ("calibration", "In 10 of 10 groups"),
        ("scores", "0 of 3,000 would be called (0.0 %)."),
        ("features", "was not measured"),
        ("slices", "There are no slices"),
        ("horizon", "The data came with its label"),
        ("data", "Nothing had to be repaired."),
        ("leakage", "Nothing was found."),
        ("spans", "every row is the test once"),
        ("provenance", "no champion: there was none"),
    ],
)
def test_what_is_absent_is_said_in_words(labelled: Page, section: str, words: str) -> None:
    assert words in labelled.texts[section]


def test_one_and_the_same_result_gives_the_same_bytes(page: Page) -> None:
    assert render(sample.result(), sample.predictions()) == page.html


def test_names_and_levels_from_the_data_stay_text(unusual: Page) -> None:
    assert not {tag for tag, _ in unusual.tags} & {"script", "img"}
    assert "<script" not in unusual.html
    for section in ("verdict", "features", "slices", "data", "leakage", "provenance"):
        assert " ".join(HOSTILE.split()) in unusual.texts[section]


def test_of_200_features_the_first_20_are_shown_and_the_rest_folded_away(unusual: Page) -> None:
    shown, folded = unusual.html.split("The other 180 columns</summary>")
    assert "orders_570d</code>" in shown
    assert "orders_600d</code>" in folded
    assert "orders_5970d</code>" in folded


def test_slice_beyond_chance_is_named(unusual: Page) -> None:
    words = f"where chance hardly ever takes even the oddest of so many, lies: {HOSTILE} = {HOSTILE} . Look"
    assert words in unusual.texts["slices"]


def test_label_window_that_reaches_into_the_next_span_is_told(unusual: Page) -> None:
    assert "The windows of validation reach into the next span" in unusual.texts["spans"]


def test_many_rows_make_no_larger_page(page: Page) -> None:
    large = render(sample.result(), sample.predictions(200_000))
    assert len(large) < 1.2 * len(page.html) < 400_000


def test_two_frameworks_have_a_section_of_their_own() -> None:
    gain = {"roc_auc": Metric(value=0.001, low=-0.001, high=0.002)}
    both = Equivalence(loss=2e-7, score=4e-6, gain=gain)
    found = Page(render(sample.result(equivalence=both), sample.predictions()))

    assert found.unclosed == []
    assert "Whether PyTorch and TensorFlow learn one network" in found.texts["equivalence"]
    assert "#equivalence" in [attrs["href"] for attrs in found.all("a")]
