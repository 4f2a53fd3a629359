"""sentence-transformers: an encoder's adapter is trained by its trainer, saved, loaded and switched off."""

from pathlib import Path

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from torch import Tensor

from neatlab.adapters.attach import tuner_layers
from neatlab.adapters.neat import NeatConfig
from tests.folders import bert_folder

QUESTIONS = ["who wrote it?", "where is the sea?", "what is a matrix?", "when is noon?"]
ANSWERS = ["a poet", "in the south", "a table of numbers", "at twelve"]


def base() -> SentenceTransformer:
    encoder = Transformer(bert_folder())
    return SentenceTransformer(modules=[encoder, Pooling(encoder.get_embedding_dimension())], device="cpu")


def embeddings(model: SentenceTransformer) -> Tensor:
    return model.encode(QUESTIONS + ANSWERS, convert_to_tensor=True, show_progress_bar=False)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> SentenceTransformer:
    torch.manual_seed(0)
    model = base()
    config = NeatConfig(r=4, depth=4, activation="gelu", target_modules=["query", "value", "intermediate.dense"])
    model.add_adapter(config)
    arguments = SentenceTransformerTrainingArguments(
        str(tmp_path_factory.mktemp("trained")),
        max_steps=8,
        learning_rate=0.02,
        per_device_train_batch_size=4,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        save_strategy="no",
    )
    data = Dataset.from_dict({"question": QUESTIONS, "answer": ANSWERS})
    trainer = SentenceTransformerTrainer(model, arguments, data, loss=MultipleNegativesRankingLoss(model))
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]
    return model


def test_the_adapter_alone_has_trained(trained: SentenceTransformer) -> None:
    lasts = [layer.thetas("default")[-1] for _, layer in tuner_layers(trained)]
    assert lasts and all(last.any() for last in lasts)  # each was 0
    assert not torch.allclose(embeddings(trained), embeddings(base()), atol=1e-2)


def test_off_it_is_the_base_and_on_itself_again(trained: SentenceTransformer) -> None:
    before = embeddings(trained)
    trained.disable_adapters()
    assert torch.equal(embeddings(trained), embeddings(base()))
    trained.enable_adapters()
    assert torch.equal(embeddings(trained), before)


def test_a_saved_model_is_loaded_from_its_folder(trained: SentenceTransformer, tmp_path: Path) -> None:
    trained.save(str(tmp_path))
    assert torch.equal(embeddings(SentenceTransformer(str(tmp_path), device="cpu")), embeddings(trained))


def test_a_saved_adapter_is_loaded_beside_another(trained: SentenceTransformer, tmp_path: Path) -> None:
    trained[0].auto_model.save_pretrained(tmp_path)
    model = base()
    model.add_adapter(NeatConfig(r=2, init_weights=False, target_modules=["query"]), "other")
    model.load_adapter(str(tmp_path), adapter_name="trained")
    model.set_adapter("trained")
    assert torch.equal(embeddings(model), embeddings(trained))
    model.delete_adapter("other")
    assert torch.equal(embeddings(model), embeddings(trained))
