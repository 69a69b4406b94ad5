"""The road of the built-in curriculum: a model of 0.9 M parameters, minutes on two cores.

Every value was chosen by measurement on two cores; docs/LOG.md says what else was tried.
"""

from minimind.data.material import DataGroup
from minimind.model.settings import ModelGroup
from minimind.stages import dpo as dpo_page
from minimind.stages import full_sft as full_sft_page
from minimind.stages import grpo as grpo_page
from minimind.stages import pretrain as pretrain_page
from minimind.stages import tokenizer as tokenizer_page
from minimind.train.settings import OptimGroup, RunGroup

WIDTH = 256  # tokens of a packed row; the curriculum's documents have 15 to 150


def pretrain() -> pretrain_page.Config:
    return pretrain_page.Config(
        model=ModelGroup(architecture="primer"),
        data=DataGroup(data_path="dataset/*pretrain*.jsonl", max_seq_len=WIDTH, validation_share=0.005),
        optim=OptimGroup(
            optimizer="muon",
            learning_rate=5e-3,
            matrix_learning_rate=0.01,
            schedule="wsd",
            warmup_steps=10,
            decay_share=0.6,
            beta2=0.95,
        ),
        run=RunGroup(batch_size=8, max_steps=700, save_interval=200, log_interval=20),
    )


def full_sft() -> full_sft_page.Config:
    return full_sft_page.Config(
        model=ModelGroup(from_weight="pretrain", architecture="primer"),
        data=DataGroup(data_path="dataset/*sft*.jsonl", max_seq_len=WIDTH, validation_share=0.005),
        optim=OptimGroup(
            optimizer="muon",
            learning_rate=2e-3,
            matrix_learning_rate=0.005,
            schedule="wsd",
            warmup_steps=5,
            decay_share=0.6,
            beta2=0.95,
        ),
        run=RunGroup(batch_size=8, max_steps=560, save_interval=200, log_interval=20),
    )


def dpo() -> dpo_page.Config:
    return dpo_page.Config(
        beta=0.5,
        sft_weight=4.0,
        model=ModelGroup(from_weight="full_sft", architecture="primer"),
        data=DataGroup(data_path="dataset/*dpo*.jsonl", max_seq_len=WIDTH, validation_share=0.05),
        optim=OptimGroup(learning_rate=1e-4, schedule="wsd", warmup_steps=5, beta2=0.95),
        run=RunGroup(batch_size=32, max_steps=60, save_interval=100, log_interval=10),
    )


def grpo() -> grpo_page.Config:
    return grpo_page.Config(
        num_generations=8,
        max_new_tokens=128,
        beta=0.0,
        temperature=0.7,
        model=ModelGroup(from_weight="dpo", architecture="primer"),
        data=DataGroup(data_path="dataset/*grpo*.jsonl", max_seq_len=WIDTH, validation_share=0.01),
        optim=OptimGroup(learning_rate=5e-5, schedule="constant", warmup_steps=2, beta2=0.95),
        run=RunGroup(batch_size=16, max_steps=30, save_interval=50, log_interval=5),
    )


def tokenizer() -> tokenizer_page.Config:
    return tokenizer_page.Config(
        vocab_size=2048,
        split_digits=True,
        character_share=0.7,
        data_path="dataset/*tokenizer*.jsonl",
        save_dir="out/tokenizer_primer",
        max_characters=1_000_000,
    )
