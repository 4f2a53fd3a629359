"""The task custom on language: answers to prompts, plain text, and how both are judged."""

import pytest
import torch

from neatlab.errors import BadInput
from neatlab.experiments.compare import compare
from neatlab.tasks import pretrained
from neatlab.tasks.base import eval_mode, size
from neatlab.tasks.custom.language import (
    FINAL_ANSWER,
    counted,
    encode_answers,
    final_answer,
    score_answers,
    score_final,
)
from tests.folders import llama_folder
from tests.test_custom import custom, table

SUMS = [{"question": f"{a}+{b}", "answer": str(a + b)} for a in range(1, 9) for b in range(1, 9)]


def test_answers_to_prompts(tmp_path, runs):
    data = table(tmp_path, SUMS)
    task = custom(data, llama_folder(), label="answer", prompt="Q: {question} A: ")
    assert (task._options.kind, task._options.metric, task.head) == ("language", "exact-match", [])
    tokenizer = pretrained.tokenizer(pretrained.model_folder(llama_folder()))
    batch = task.split("train")
    row = next(r for r in range(size(batch)) if batch["input_ids"][r, 0] > 0)
    counted = batch["input_ids"][row][batch["label"][row] >= 0]
    prompt = tokenizer.decode(batch["input_ids"][row, : int(batch["prompt_length"][row])])
    assert prompt.startswith("Q: ") and prompt.endswith(" A: ")
    assert tokenizer.decode(counted) == str(eval(prompt[3:-4])) + "</s>"
    text = f'custom:model={llama_folder()},data={data},label=answer,prompt="Q: {{question}}, A: "'
    compared = compare(text, ["lora:rank=2"], seeds=1, steps=5, runs=runs)
    assert compared.metric.name == "exact match"


def questions(batch):
    return {bytes(row[:length]) for row, length in zip(batch["input_ids"].byte(), batch["prompt_length"], strict=True)}


@pytest.mark.parametrize("own_test", [False, True])
def test_a_question_with_several_answers_is_in_one_split(tmp_path, own_test):
    rows = [row | {"answer": f"{words} {row['answer']}"} for row in SUMS for words in ("so", "thus", "thus", "hence")]
    table(tmp_path, rows, "train.csv")
    if own_test:
        table(tmp_path, [row | {"answer": f"it is {row['answer']}"} for row in SUMS[:9]], "test.csv")
    task = custom(str(tmp_path), llama_folder(), label="answer", prompt="{question}=")
    splits = [task.split(name) for name in ("train", "validation", "test")]
    asked = [questions(split) for split in splits]
    assert not asked[0] & asked[1] and not asked[0] & asked[2] and not asked[1] & asked[2]
    assert len(set.union(*asked)) == len(SUMS)
    # another answer is another example to learn from
    assert [size(split) for split in splits[:2]] == [3 * len(found) for found in asked[:2]]


def test_a_prompt_without_room_for_its_answer_is_left_out_of_training(tmp_path, runs):
    long = [{"question": "9" * 20 + str(n), "answer": "1"} for n in range(20)]
    parts = {"train": [*SUMS, *long], "validation": [{"question": "8" * 30, "answer": "2"}]}
    for name, rows in parts.items():
        table(tmp_path, rows, f"{name}.csv")
    options = {"label": "answer", "prompt": "{question}=", "max_length": 16}
    task = custom(str(tmp_path), llama_folder(), **options)
    assert "20 examples left out of training: their prompts fill max_length=16" in "\n".join(task.describe())
    assert (counted(task.split("train")) > 0).all()
    assert task.score(task.base_model(), "validation").metric == 0  # what is reported on stays: not answered is wrong
    text = f'custom:model={llama_folder()},data={tmp_path},label=answer,prompt="{{question}}=",max_length=16'
    frame = compare(text, ["lora:rank=2"], seeds=1, steps=8, training={"batch_size": 1}, runs=runs).frame()
    assert (frame["status"] == "finished").all()
    with pytest.raises(BadInput, match="all prompts fill max_length=8 tokens"):
        custom(str(tmp_path), llama_folder(), **options | {"max_length": 8, "prompt": "Please add {question}="}).split(
            "train"
        )


def test_plain_text_is_judged_by_its_loss(tmp_path):
    task = custom(table(tmp_path), llama_folder(), text="review")
    score = task.score(task.base_model(), "test")
    assert task.metric_for(task._options).higher_is_better is False
    assert score.metric == score.loss > 0
    assert (task.split("train")["label"] >= 0).sum() == task.split("train")["attention_mask"].sum()


class Parrot(torch.nn.Module):
    """Says after each token of a fixed text the next one."""

    def __init__(self, text):
        super().__init__()
        self.text = torch.nn.Parameter(text.float(), requires_grad=False)

    def forward(self, input_ids, attention_mask):
        logits = torch.zeros(*input_ids.shape, 128)
        for place in range(input_ids.shape[1] - 1):
            logits[:, place, int(self.text[place + 1])] = 9
        return type("Output", (), {"logits": logits})

    def generate(self, input_ids, **_):
        return torch.cat([input_ids, self.text[None, input_ids.shape[1] :].long()], 1)


def test_exact_match_and_final_answer_of_a_known_text():
    tokenizer = pretrained.tokenizer(pretrained.model_folder(llama_folder()))
    batch = encode_answers(tokenizer, ["2+2 "] * 2, ["so it is 4", "so it is 5"], 40).batch
    parrot = Parrot(batch["input_ids"][0])
    score, final = score_answers(parrot, batch), score_final(parrot, batch, tokenizer, 20)
    assert score.loss == final.loss > 0
    for judged in (score, final):
        assert judged.metric == 0.5
        assert (judged.outcomes.true.tolist(), judged.outcomes.predicted.tolist()) == ([1, 1], [1, 0])
    model = custom_llama()
    with eval_mode(model):
        assert score_final(model, batch, tokenizer, 5).metric in (0, 0.5, 1)


def test_the_final_answer_of_a_long_solution_is_not_cut_off_with_it():
    tokenizer = pretrained.tokenizer(pretrained.model_folder(llama_folder()))
    solution = "2 and 2 are more than 3\nand so #### 4"
    whole, cut = (encode_answers(tokenizer, ["2+2 "], [solution], length).batch for length in (60, 20))
    assert cut["input_ids"].shape[1] == 20 < whole["input_ids"].shape[1]
    assert score_final(Parrot(whole["input_ids"][0]), cut, tokenizer, 60).metric == 1


def custom_llama():
    from transformers import AutoModelForCausalLM

    return pretrained.load(AutoModelForCausalLM, pretrained.model_folder(llama_folder()), 0)[0]


def test_exact_match_is_what_greedy_decoding_gives():
    """One forward pass against token-by-token generation, on answers that the model gives and on others."""
    tokenizer, model = pretrained.tokenizer(pretrained.model_folder(llama_folder())), custom_llama()
    prompt = torch.tensor([tokenizer("abc")["input_ids"]])
    written = model.generate(prompt, max_new_tokens=6, do_sample=False, eos_token_id=None, pad_token_id=0)[0, 3:]
    whole = torch.cat([prompt[0], written])[None]
    hidden = torch.tensor([-100] * 3)
    own = {"input_ids": whole, "attention_mask": torch.ones_like(whole), "label": torch.cat([hidden, written])[None]}
    assert score_answers(model, own).metric == 1
    other = written.clone()
    other[2] = (other[2] + 1) % 100
    changed = torch.cat([prompt[0], other])[None]
    batch = own | {"input_ids": changed, "label": torch.cat([hidden, other])[None]}
    assert score_answers(model, batch).metric == 0


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5 + 3 = 8\n#### 1,234", "1234"),
        ("The answer is: $\\frac{1}{2}$.", "\\frac{1}{2}"),
        ("thus \\boxed{\\frac{1}{2}} or so", "\\frac{1}{2}"),
        ("first 3, then 12.", "12"),
        ("Yes.", "Yes"),
    ],
)
def test_final_answers(text, answer):
    assert final_answer(text) == answer
    assert FINAL_ANSWER.higher_is_better
