"""Networks as coders: alone, and as a source of the ranker."""

from __future__ import annotations

import copy
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nosology.cli.main import run
from nosology.coder import Coder
from nosology.codes.titles import TitleTable
from nosology.config import (
    KnowledgeConfig,
    NetworkConfig,
    NeuralConfig,
    RankerModelConfig,
    Recipe,
    SimulatedConfig,
    to_toml,
)
from nosology.config.architectures import (
    ConvolutionConfig,
    DirectConfig,
    LabelAttentionConfig,
    SynonymAttentionConfig,
    TransformerConfig,
)
from nosology.config.neural import PretrainedSubwordsConfig, SubwordsConfig, WordsConfig
from nosology.config.reading import dataclass_from_mapping, read_toml
from nosology.config.trainer import TrainerConfig
from nosology.encoders.base import Batch, Encoder, EncoderOutput
from nosology.encoders.transformer import Transformer
from nosology.errors import ConfigError, CorpusError, MissingExtraError, ModelError
from nosology.knowledge.stream import build_stream
from nosology.knowledge.wordings import Wordings
from nosology.neural import cross_fitting
from nosology.neural.network import Network
from nosology.neural.predictor import NeuralPredictor
from nosology.neural.remembered import RememberedEncoder
from nosology.predictor import FitTask
from nosology.types import Encounter, Note
from tiny_corpus import make_corpus, make_encounter, make_recipe, training_set

TRAINER = TrainerConfig(epochs=12, learning_rate=0.02, encounters_per_batch=8, evidence_weight=0.1, patience=0)
SMALL = NetworkConfig(
    WordsConfig(least_notes=1), ConvolutionConfig(word_size=12, filters=12, kernel=3), LabelAttentionConfig(), TRAINER
)
IN_A_RANKER = replace(SMALL, trainer=replace(TRAINER, patience=TrainerConfig().patience))
NO_WORDINGS = Wordings(TitleTable(()))


def _quiet(stage: str, share: float) -> None:
    """Progress for nobody."""


def _small_bert(folder: Path) -> None:
    """A BERT with a tokenizer, as people keep them in folders."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    own = BertWordPieceTokenizer(lowercase=True)
    own.train_from_iterator([note.text for encounter in make_corpus(20).encounters for note in encounter.notes], 300)
    tokenizer = BertTokenizerFast(tokenizer_object=own._tokenizer)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=40, **sizes))
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def _recipe(network: NetworkConfig) -> Recipe:
    return Recipe(SimulatedConfig(), model=NeuralConfig(network=network), knowledge=KnowledgeConfig())


@pytest.fixture(scope="module")
def coder() -> Coder:
    return Coder.fit(make_corpus(60), _recipe(SMALL))


def test_learns_to_code_and_points_at_words(coder: Coder) -> None:
    right = wrong = told = 0
    for number in range(200, 220):
        encounter = make_encounter(number)
        coded = coder.code(encounter)
        gold = {code.code: code for code in encounter.codes or ()}
        for suggested in coded.assigned:
            right += suggested.code in gold
            wrong += suggested.code not in gold
            for evidence in suggested.evidence:
                assert 0 <= evidence.start < evidence.end <= len(encounter.note(evidence.note_id).text)
            if suggested.code in gold and suggested.evidence:
                marked, found = gold[suggested.code].evidence[0], suggested.evidence[0]
                told += found.start < marked.end and marked.start < found.end
    assert right > 2 * wrong
    assert told > 0.6 * right


def test_a_saved_coder_says_the_same(coder: Coder, tmp_path: Path) -> None:
    coder.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    for number in range(300, 306):
        assert again.code(make_encounter(number)) == coder.code(make_encounter(number))
    assert again.recipe == coder.recipe


@pytest.mark.parametrize("text", ["", " \n", "qwxyz", "\x00", "No. Of. The."])
def test_notes_without_known_words(coder: Coder, text: str) -> None:
    coded = coder.code(Encounter("e", (Note("n", text),)))
    assert all(0.0 <= code.probability <= 1.0 for code in coded.codes)


def test_weights_of_another_size_are_refused(coder: Coder, tmp_path: Path) -> None:
    coder.save(tmp_path / "model")
    file = tmp_path / "model" / "network.toml"
    file.write_text(file.read_text().replace("filters = 12", "filters = 13"))
    with pytest.raises(ModelError):
        Coder.from_pretrained(tmp_path / "model")


def test_the_ranker_takes_a_network_as_a_source(tmp_path: Path) -> None:
    recipe = replace(make_recipe(), model=RankerModelConfig(network=IN_A_RANKER, network_folds=2))
    coder = Coder.fit(make_corpus(24), recipe)
    names = coder.predictor.generator.feature_names  # type: ignore[attr-defined]
    assert [name for name in names if name.startswith("neural_")]
    coder.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    assert again.code(make_encounter(99)) == coder.code(make_encounter(99))


def test_no_encounter_is_read_by_a_network_that_learnt_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    training = training_set(make_corpus(12).encounters)
    folds = np.arange(12) % 4
    learnt = list[set[str]]()
    fit = Network.fit

    def remember_what_was_learnt(train, *args, **kwargs):
        learnt.append({example.stream.encounter_id for example in train})
        network, result = fit(train, *args, **kwargs)
        score = network.score

        def checked(stream):
            if stream.encounter_id in learnt[-1]:
                raise AssertionError("read by a network that learnt from it")
            return score(stream)

        object.__setattr__(network, "score", checked)
        return network, result

    monkeypatch.setattr(cross_fitting.Network, "fit", staticmethod(remember_what_was_learnt))
    config = replace(SMALL, trainer=replace(TRAINER, epochs=1))
    read, _ = cross_fitting.fit_networks(FitTask(training, folds, 0, _quiet), config, 2, NO_WORDINGS)
    every = {example.stream.encounter_id for example in training.examples}
    assert set(read.outputs) == every
    assert [len(part) for part in learnt] == [6, 6, 12]
    assert learnt[0] | learnt[1] == every


class _Counting(Encoder):
    """States that tell token and place, and how many tokens were read."""

    def __init__(self) -> None:
        super().__init__(2)
        self.read = 0

    def forward(self, batch: Batch) -> EncoderOutput:
        self.read += int(batch.mask.sum())
        places = torch.arange(batch.mask.shape[1]).expand_as(batch.mask)
        hidden = torch.stack([batch.token_ids.float(), places.float()], dim=-1) * batch.mask[..., None]
        return EncoderOutput(hidden, batch.mask)


def test_a_remembered_encoder_reads_each_note_once() -> None:
    counting = _Counting()
    remembered = RememberedEncoder(counting)
    ids = torch.tensor([[3, 4, 5, 0], [6, 0, 0, 0], [3, 4, 5, 9]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    first = remembered(Batch(ids, mask)).hidden
    assert counting.read == 8
    again = remembered(Batch(ids[[1, 2, 0]], mask[[1, 2, 0]])).hidden
    assert counting.read == 8
    assert torch.equal(again, first[[1, 2, 0]])
    assert torch.equal(first, _Counting()(Batch(ids, mask)).hidden)
    wider = remembered(Batch(torch.tensor([[6, 7, 7]]), torch.tensor([[True, False, False]]))).hidden
    assert torch.equal(wider[0, 0], first[1, 0])
    assert counting.read == 8


def test_a_remembered_encoder_forgets_what_there_is_no_room_for() -> None:
    remembered = RememberedEncoder(_Counting(), megabytes=0)
    for number in range(5):
        remembered(Batch(torch.tensor([[number]]), torch.tensor([[True]])))
    assert len(remembered.states) == 1


@pytest.fixture(scope="module")
def frozen_coder() -> Coder:
    trainer = replace(TRAINER, epochs=1, evidence_weight=0)
    config = NetworkConfig(PretrainedSubwordsConfig(), TransformerConfig(frozen=True), DirectConfig(), trainer)
    return Coder.fit(make_corpus(8), _recipe(config))


def test_a_frozen_pretrained_encoder_is_not_written_again(frozen_coder: Coder, tmp_path: Path) -> None:
    frozen_coder.save(tmp_path / "model")
    assert (tmp_path / "model" / "network.safetensors").stat().st_size < 1_000_000
    again = Coder.from_pretrained(tmp_path / "model")
    said = frozen_coder.code(make_encounter(9)).codes
    for one, other in zip(again.code(make_encounter(9)).codes, said, strict=True):
        assert one.code == other.code
        assert one.probability == pytest.approx(other.probability, abs=1e-6)


@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_needs_the_folder_of_its_encoder_no_more(tmp_path: Path, frozen: bool) -> None:
    folder = tmp_path / "encoder"
    _small_bert(folder)
    encoder = TransformerConfig(name=str(folder), chunk_tokens=14, overlap_tokens=4, frozen=frozen)
    trainer = replace(TRAINER, epochs=1, evidence_weight=0)
    config = NetworkConfig(PretrainedSubwordsConfig(), encoder, LabelAttentionConfig(), trainer)
    coder = Coder.fit(make_corpus(8), _recipe(config))
    coder.save(tmp_path / "model")
    shutil.rmtree(folder)
    again = Coder.from_pretrained(tmp_path / "model")
    assert [(one.code, one.evidence) for one in again.code(make_encounter(9)).codes] == [
        (one.code, one.evidence) for one in coder.code(make_encounter(9)).codes
    ]


def test_a_frozen_encoder_forgets_the_training_notes(frozen_coder: Coder) -> None:
    assert isinstance(frozen_coder.predictor, NeuralPredictor)
    assert isinstance(frozen_coder.predictor.network.model.encoder, Transformer)


def test_a_note_is_encoded_once_for_its_scores_and_its_words(coder: Coder, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = coder.predictor
    assert isinstance(predictor, NeuralPredictor)
    encoder, calls = predictor.network.model.encoder, list[int]()
    monkeypatch.setattr(encoder, "forward", lambda batch: calls.append(1) or type(encoder).forward(encoder, batch))
    assert any(code.evidence for code in coder.code(make_encounter(77)).codes)
    assert len(calls) == 1


def test_without_the_extra_a_network_names_the_install_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nosology.neural.find_spec", lambda name: None if name == "torch" else name)
    with pytest.raises(MissingExtraError, match=r"a network needs an optional part: pip install 'nosology\[neural\]'"):
        Coder.fit(make_corpus(8), _recipe(SMALL))
    with pytest.raises(MissingExtraError, match=r"nosology\[neural\]"):
        Coder.fit(make_corpus(8), Recipe(SimulatedConfig(), model=RankerModelConfig(network=IN_A_RANKER)))


def test_descriptions_start_queries_and_subwords_are_learnt() -> None:
    wordings = Wordings(TitleTable([(code, "icd10cm", f"title of {code}") for code in ("I10", "E11.9")]))
    config = replace(
        SMALL,
        tokens=SubwordsConfig(vocabulary_size=300),
        head=LabelAttentionConfig(queries="descriptions", tied=True),
        trainer=replace(TRAINER, epochs=1),
    )
    examples = training_set(make_corpus(8).encounters).examples
    with FitTask(training_set([]), np.zeros(0, dtype=np.int64), 0, _quiet).workplace() as work:
        network, result = Network.fit(examples, (), config, wordings, seed=1, folder=work / "run", tell=_quiet)
    assert result.steps == 1
    assert len(network.score(build_stream(make_encounter(3))).numbers) == len(network.labels)


def test_biases_start_from_how_often_codes_are_given(tmp_path: Path) -> None:
    corpus = make_corpus(40)
    began = list[torch.Tensor]()
    read = list[set[str]]()

    class StoppedError(Exception):
        pass

    def remember(trainer: Any, model: Any, train: Sequence[Encounter], *args: Any, **options: Any) -> Any:
        began.append(model.head.bias.detach().clone())
        read.extend(set(encounter.code_set) for encounter in train)
        raise StoppedError

    head = LabelAttentionConfig(bias="prior")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nosology.neural.network.train_network", remember)
        with pytest.raises(StoppedError):
            Coder.fit(corpus, _recipe(replace(SMALL, head=head)))
    codes = sorted({code for codes in read for code in codes})
    counts = [sum(code in codes for codes in read) for code in codes]
    odds = [math.log((n + 0.5) / (len(read) - n + 0.5)) for n in counts]
    torch.testing.assert_close(began[0], torch.tensor(odds))

    coder = Coder.fit(corpus, _recipe(replace(SMALL, head=head, trainer=replace(TRAINER, epochs=1))))
    coder.save(tmp_path / "model")
    again = Coder.from_pretrained(tmp_path / "model")
    assert again.code(corpus.encounters[0]) == coder.code(corpus.encounters[0])


def test_synonyms_start_from_wordings_of_the_code() -> None:
    asked = list[tuple[str, int]]()

    class Counted(Wordings):
        def synonyms(self, code: str, most: int) -> list[str]:
            asked.append((code, most))
            return [f"title of {code}", "another wording"]

    head = SynonymAttentionConfig(synonyms=3, attention_size=12, queries="descriptions")
    config = replace(SMALL, head=head, trainer=replace(TRAINER, epochs=1, evidence_weight=0))
    examples = training_set(make_corpus(8).encounters).examples
    with FitTask(training_set([]), np.zeros(0, dtype=np.int64), 0, _quiet).workplace() as work:
        network, _ = Network.fit(
            examples, (), config, Counted(TitleTable(())), seed=1, folder=work / "run", tell=_quiet
        )
    assert asked == [(code, 3) for code in network.labels]


def test_settings_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(ConfigError, match=r'tokens of kind "pretrained" go with an encoder of kind "transformer"'):
        NetworkConfig(tokens=PretrainedSubwordsConfig())


def test_what_a_ranker_would_not_read_is_refused() -> None:
    with pytest.raises(ConfigError, match="network_folds is read only with a network"):
        RankerModelConfig(network_folds=4)
    with pytest.raises(ConfigError, match="patience, threshold of the trainer: the networks of a ranker train without"):
        RankerModelConfig(network=replace(SMALL, trainer=replace(TRAINER, patience=2, threshold=0.5)))


def test_no_frequent_code_no_network() -> None:
    with pytest.raises(CorpusError, match="no code is carried by 99 training encounters"):
        Coder.fit(make_corpus(8), _recipe(replace(SMALL, least_notes=99)))


def test_a_network_in_a_recipe_is_read_back_equal(tmp_path: Path) -> None:
    for model in (NeuralConfig(network=SMALL), RankerModelConfig(network=IN_A_RANKER, network_folds=4)):
        recipe = Recipe(SimulatedConfig(), model=model)
        file = tmp_path / "recipe.toml"
        file.write_text(to_toml(recipe))
        assert dataclass_from_mapping(Recipe, read_toml(file), str(file)) == recipe


# --- dry runs ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_tells_what_a_training_would_take() -> None:
    told = Coder.dry_run(make_corpus(20), _recipe(SMALL))
    assert [line.split()[0] for line in told.splitlines()] == ["parameters", "encounters", "memory", "steps", "time"]
    assert "encounters  18 of" in told  # the others are held out
    assert "steps       36 (3 an epoch)" in told
    in_a_ranker = replace(make_recipe(), model=RankerModelConfig(network=IN_A_RANKER, network_folds=4))
    told = Coder.dry_run(make_corpus(20), in_a_ranker)
    assert "encounters  20 of" in told
    assert "networks    4 for the cross-fitting, 1 to keep: about" in told


def test_a_dry_run_of_a_frozen_encoder_leaves_no_trace() -> None:
    trainer = replace(TRAINER, epochs=2, evidence_weight=0)
    config = NetworkConfig(PretrainedSubwordsConfig(), TransformerConfig(frozen=True), DirectConfig(), trainer)
    assert "steps       2 (1 an epoch)" in Coder.dry_run(make_corpus(8), _recipe(config))


def test_what_has_no_network_has_no_dry_run() -> None:
    with pytest.raises(ConfigError, match="a dry run is for networks, and the recipe has none"):
        Coder.dry_run(make_corpus(8), make_recipe())


def test_a_copy_of_a_remembered_encoder_remembers_nothing() -> None:
    counting = _Counting()
    remembered = RememberedEncoder(counting)
    batch = Batch(torch.tensor([[1, 2]]), torch.tensor([[True, True]]))
    first = remembered(batch).hidden
    other = copy.deepcopy(remembered)
    assert torch.equal(other(batch).hidden, first)
    assert isinstance(other.encoder, _Counting)
    assert (counting.read, other.encoder.read) == (2, 4)  # the copy began with the count of the first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dry-run", "--out", "model"], "a dry run makes no model; leave out --out"),
        ([], "say where the model goes: --out MODEL"),
        (["--dry-run"], "a dry run is for networks, and the recipe has none"),
    ],
)
def test_the_command_refuses(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "simulated", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_command_prints_a_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(to_toml(replace(_recipe(SMALL), corpus=SimulatedConfig(encounters=20, codes=50))))
    assert run(["train", str(file), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("parameters  ")
    assert list(tmp_path.iterdir()) == [file]
