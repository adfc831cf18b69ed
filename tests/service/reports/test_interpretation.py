"""Pages of dictionaries, edits, alive sets and attributions: no figure without its control."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fingerprint.attribution.config import AttributionConfig
from fingerprint.attribution.report import (
    Ablation,
    AdapterEffect,
    Agreement,
    AttributionBundle,
    Circuit,
    Curves,
    DoseResponse,
    Estimate,
    Graph,
    LayerShare,
    Node,
    NullAnswer,
    PooledAblation,
    PromptAttribution,
    SetAblation,
    SiteToggle,
    TokenProbability,
    Transplant,
)
from fingerprint.vpd.config import AliveSetConfig
from fingerprint.vpd.report import (
    AliveSetChange,
    AliveSetDiff,
    ComponentChange,
    DictionaryMatrix,
    DictionarySummary,
    EditReport,
    EditSite,
    EditSummary,
    EditUse,
    FrontPoint,
    MatrixChange,
    SingularBaseline,
    SpanOfMatrix,
    SpanReport,
)
from service.reports.attribution import attribution_page, shift_sentences
from service.reports.decomposition import alive_page, dictionary_page, edit_page
from service.reports.page import Page, render, render_markdown


def text_of(page: Page) -> str:
    console = Console(width=220, file=io.StringIO())
    console.print(render(page))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def change(name: str, n_changed: int) -> AliveSetChange:
    row = MatrixChange(
        matrix="layers.0.v_proj", n_components=8, n_alive_base=5, n_alive_adapted=6, n_both=4, n_gained=2,
        n_lost=1, l0_base=1.5, l0_adapted=2.25, gate_base=0.1, gate_adapted=0.2, mean_change=0.1,
        mean_absolute_change=0.12, n_tested=6, n_up=n_changed, n_down=0,
    )  # fmt: skip
    return AliveSetChange(name=name, matrices=(row,), total=row.model_copy(update={"matrix": "all"}))


def alive(n_nulls: int, **fields) -> AliveSetDiff:
    component = ComponentChange(
        matrix="layers.0.v_proj", component=3, n_clusters=9, gate_base=0.1, gate_adapted=0.3, change=0.2,
        low=0.1, high=0.3, p_value=0.001, q_value=0.01, is_changed=True,
    )  # fmt: skip
    found = AliveSetDiff(
        base="b", revision="r", dictionary="d", is_valid=True, adapter="ann", n_tokens=1000, n_clusters=20,
        config=AliveSetConfig(), change=change("ann", 3), control=change("base", 0),
        nulls=tuple(change(f"null {i}", i) for i in range(n_nulls)), components=(component,),
        masked_base=0.1, masked_adapted=0.2,
    )  # fmt: skip
    return found.model_copy(update=fields)


ROW = SpanOfMatrix(
    matrix="all", explained=0.02, singular=0.01, rotated=0.005, turned=0.006, rank_rotated=0.01,
    rank_turned=0.02, energy=1.0,
)  # fmt: skip
SPAN = SpanReport(dictionary="d", adapter="ann", n_rotations=99, matrices=(ROW,), total=ROW)


def test_alive_sets_show_controls_and_band():
    page = alive_page(alive(2), SPAN.model_copy(update={"nulls": (ROW,)}))
    text = text_of(page)
    assert page.warnings == ()
    for word in ("gate base", "100.00", "200.00", "5 % false discoveries"):
        assert word in text, word
    for word in ("0 to 1", "base, read twice", "null 1", "layers.0.v_proj:3", "+0.2000", "output turned"):
        assert word in text
    assert "| layers.0.v\\_proj | 5 | 6 | 4 | 2 | 1 |" in render_markdown(page)


@pytest.mark.parametrize(
    ("found", "warning"),
    [
        (alive(0), "NOT CONTROLLED"),
        (alive(2, is_valid=False), "INVALID"),
        (alive(2, masked_adapted=1.0), "does not fit"),
    ],
)
def test_alive_sets_that_must_not_be_read_say_so(found: AliveSetDiff, warning: str):
    assert any(warning in sentence for sentence in alive_page(found, SPAN).warnings)
    assert warning in found.statement


def test_a_dictionary_and_its_guard():
    row = DictionaryMatrix(matrix="v_proj", n_components=8, n_alive=5, l0=1.25, unfaithful=0.05)
    summary = DictionarySummary(
        base="b", revision="r" * 40, dictionary="d", verdict="INVALID: Delta", is_valid=False,
        n_positions=1234, matrices=(row,), distances={"gates": 0.5, "zero": 2.0},
        task_loss={"target": 1.5, "gates": 1.9, "zero": 4.0}, attack={20: 0.75},
    )  # fmt: skip
    page = dictionary_page(summary)
    assert page.warnings and "INVALID" in page.warnings[0]
    tried = FrontPoint(coefficient=1e-3, l0=3.5, n_alive=7, recovered=0.75, is_valid=False)
    front = text_of(dictionary_page(summary.model_copy(update={"front": (tried, tried)})))
    assert "0.5000" in front and "0.750" in front and "INVALID" in front  # KL: a quarter of 2 nats is left
    assert "Sparsity tried" not in text_of(page)
    assert "attack, 20 steps" in text_of(page) and "0.7500" in text_of(page) and "1,234" in text_of(page)


def test_edits_stand_beside_singular_terms_and_a_null():
    own = EditSummary(
        adapter="ann", is_valid=True, effect=0.2, n_components=30, n_alive=7, l0=3.5, recovered=0.91,
        attacked={0: 0.9, 20: -0.25}, delta_off=0.99,
    )  # fmt: skip
    site = EditSite(
        matrix="v_proj", n_components=30, n_alive=7, l0=(3.5, 3.0, 2.0), density=0.4, energy=1.0,
        unfaithful=0.01,
    )  # fmt: skip
    report = EditReport(
        base="b", revision="r", dictionary="d", verdict="VALID", n_positions=100, summary=own, sites=(site,),
        singular=SingularBaseline(n_alive=7, recovered=0.5, n_open=4, always=0.3, by_token=0.6),
        front=(FrontPoint(coefficient=1e-3, l0=3.5, n_alive=7, recovered=0.91, is_valid=True),),
        nulls=(own.model_copy(update={"adapter": "null ann"}),), n_used=1_234, uses=(
            EditUse(matrix="v_proj", component=5, density=0.0125, gate=0.75, words="on ::; before config"),
            EditUse(matrix="v_proj", component=6, density=0.5, gate=0.5, words="on ⏎", is_nulls_too=True),
        ),
    )  # fmt: skip
    text = text_of(edit_page(report))
    for word in (
        "v_proj:5",
        "on ::; before config",
        "0.0125",
        "a null's too",
        "1,234 tokens",
        "-0.250",
        "null ann",
        "singular terms, 4 chosen by token",
        "0.600",
        "0.001",
    ):
        assert word in text
    lonely = report.model_copy(update={"nulls": (), "summary": own.model_copy(update={"effect": 0.001})})
    assert "NOT CONTROLLED" in edit_page(lonely).warnings[0] and "fainter" in lonely.statement
    untold = report.model_copy(update={"uses": (), "n_untold": 9})
    assert "9 edits open, none on tokens in particular" in text_of(edit_page(untold))


def graph(mode: str, *, is_complete: bool = True) -> Graph:
    node = Node(
        id="L0__v_proj:1", layer=0, matrix="v_proj", component=1, mean_gate=0.5,
        attribution_per_token=(0.0, 1.5), total_attribution=1.5, ablation_delta=1.25,
    )  # fmt: skip
    check = Ablation(
        sets=(SetAblation(n_nodes=1, change=1.25, claimed=1.5, by_count=(0.1, -0.3), by_energy=(0.2,)),),
        curves=Curves(
            counts=(0, 1), deletion=(2.0, 0.5), insertion=(0.5, 2.0), deletion_area=0.5, insertion_area=0.5,
            random_deletion_area=float("nan"), random_insertion_area=None,
        ),
        agreement=Agreement(n_nodes=4, spearman=0.9, sign=1.0, slope=1.1),
        circuit=Circuit(
            n_nodes=1, full=0.4, alone=0.3, random=0.35, adversarial=0.01, is_complete=is_complete,
            random_set=0.02,
        ),
    )  # fmt: skip
    return Graph(
        prompt_id="p", prompt="pub use\n", mode=mode, adapter="" if mode == "base" else "ann",  # pyright: ignore[reportArgumentType]
        nodes_are="components", base_model="b", revision="r", tokens=("", "pub"), target_pos=1,
        target_token_id=5, target_spec="logit of 'x'", target_prob=0.4, target_rank=1,
        predicted_top=(TokenProbability(token=" x", prob=0.4),), layers=(0,), matrices=("v_proj",),
        num_components=8, n_nodes_on=4, nodes=(node,), edges=(), left_out=0.1, f_full=2.0, f_gated=2.1,
        f_base=0.5, completeness_gap=0.01, gap_share=0.006, n_steps=16, first_token_share=0.2, ablation=check,
        dictionary_id="d", seed=0,
    )  # fmt: skip


def test_what_a_prompt_raises_stands_beside_null_adapters():
    def null(f: float, prob: float) -> NullAnswer:
        return NullAnswer(f=f, target_prob=prob, likeliest=TokenProbability(token="y", prob=0.5))

    prompt = PromptAttribution(
        id="p", base=graph("base"), lora=graph("lora"), effect=None, kl=0.3,
        nulls=(null(2.5, 0.2), null(1.5, 0.5)),
    )  # fmt: skip
    estimate = Estimate(value=0.3, low=0.1, high=0.6, n=2)
    bundle = AttributionBundle(
        config=AttributionConfig(), prompts=(prompt, prompt), pooled=(), shift=estimate
    )
    assert bundle.null_shifts == (0.5, -0.5)
    told = shift_sentences(bundle)
    assert told[0].endswith("adapted .40, 2 null adapters .20 to .50.")
    assert (
        "by 0.30 (0.10 to 0.60) (95 % by resampling prompts); 2 null adapters by -0.50 to +0.50." in told[-1]
    )
    one = bundle.model_copy(update={"prompts": (prompt.model_copy(update={"nulls": prompt.nulls[:1]}),) * 2})
    assert shift_sentences(one)[0].endswith(", null adapter .20.")
    bare = bundle.model_copy(update={"prompts": (prompt.model_copy(update={"nulls": ()}),) * 2})
    assert bare.null_shifts == () and "null adapter" not in shift_sentences(bare)[0]


def test_attribution_never_stands_without_its_ablation():
    estimate = Estimate(value=2.5, low=1.5, high=float("nan"), n=2)
    effect = AdapterEffect(
        toggles=(SiteToggle(site="layers.0.v_proj", off=0.5, only=0.4),),
        dose=DoseResponse(
            scales=(0.0, 1.0), values=(1.0, 2.0), probabilities=(0.1, 0.4), kl=(0.0, 0.3), is_monotone=True
        ),
        layers=(LayerShare(layer=0, value=1.0),), is_exact=True,
    )  # fmt: skip
    prompt = PromptAttribution(
        id="p",
        base=graph("base"),
        lora=graph("lora", is_complete=False),
        effect=effect,
        kl=0.3,
        note="'xy' is 2",
    )
    pooled = PooledAblation(
        mode="lora", n_nodes=1, ratio_by_count=estimate, ratio_by_energy=estimate, sign=estimate,
        spearman=estimate, complete=estimate,
    )  # fmt: skip
    swapped = Transplant(
        authors=("ann", "bob"), n_routes=4, n_alive=9, gains={"ann on bob": -0.5}, contrast=estimate,
        random=estimate, whole=estimate,
    )  # fmt: skip
    bundle = AttributionBundle(
        config=AttributionConfig(),
        prompts=(prompt, prompt),
        pooled=(pooled,),
        shift=estimate,
        transplant=swapped,
    )
    assert AttributionBundle.model_validate_json(bundle.model_dump_json()) == bundle
    page = attribution_page(bundle)
    text = text_of(page)
    for word in (
        "ablation", "'pub·use⏎'", "+1.2500", "NOT a complete circuit", "'xy' is 2", "never turns back",
        "2.50 (1.50 to undefined)", "The adapter switched by matrix", "random undefined",
        "ann on bob", "2.5000 (1.5000 to undefined)",
    ):  # fmt: skip
        assert word in text
    assert any("do not survive an adversary" in warning for warning in page.warnings)
