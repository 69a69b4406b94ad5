"""Trains the 6,400-entry tokenizer of the package.

    python scripts/build_default_tokenizer.py --data_path 'data/*.jsonl*' --save_dir src/minimind/tokenizer/default

The recipe below names files of public texts, all under MIT, Apache-2.0, BSD, CC0, Unlicense or in the public domain,
and says how much of each is read: as much English as Chinese, and modern Chinese before classical.
"""

import argparse
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from minimind.config import UserError  # noqa: E402
from minimind.data.read import find_files  # noqa: E402
from minimind.data.records import read_records  # noqa: E402
from minimind.stages.tokenizer import kind_of, words_of  # noqa: E402
from minimind.tokenizer.train import train  # noqa: E402

# Thousands of characters of each file, taken evenly over the file.
RECIPE = {
    # modern Chinese
    "pretrain_zh_abstracts": 460,
    "pretrain_zh_d2l": 150,
    "pretrain_zh_python_docs": 200,
    "pretrain_zh_recipes": 175,
    "pretrain_zh_rust_book": 150,
    "preference_zh_oasst": 450,
    "sft_zh_characters": 120,
    "sft_zh_kdconv": 360,
    "sft_zh_oasst": 300,
    "sft_zh_programming_qa": 200,
    "sft_zh_xiehouyu": 150,
    "math_zh_tal_scq_train": 100,
    # older Chinese
    "pretrain_zh_novels": 300,
    "pretrain_zh_poetry": 100,
    # both languages
    "preference_enzh_postedit": 850,
    # English
    "pretrain_en_books": 1200,
    "pretrain_en_shakespeare": 50,
    "preference_en_longform_qa": 900,
    "sft_en_chatterbot": 32,
    "sft_en_seed_tasks": 70,
    "sft_en_self_dialogue": 700,
    "math_en_gsm8k_train": 350,
    "math_en_tal_scq_train": 100,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data_path", required=True, help="files, folders or globs that hold the files of the recipe")
    parser.add_argument("--save_dir", required=True, help="folder for tokenizer.json and tokenizer_config.json")
    parser.add_argument("--vocab_size", type=int, default=6400, help="entries")
    options = parser.parse_args()
    files = {file.name.split(".")[0]: file for file in find_files(options.data_path)}
    missing = sorted(set(RECIPE) - set(files))
    if missing:
        raise UserError(f"{options.data_path} lacks {', '.join(missing)}: name the folder that holds all of the recipe")
    texts = itertools.chain.from_iterable(sample(files[name], 1000 * part) for name, part in RECIPE.items())
    tokenizer = train(texts, options.vocab_size)
    tokenizer.save(options.save_dir)
    print(f"{tokenizer.vocab_size:,} entries, hash {tokenizer.hash}, written to {options.save_dir}")


def sample(file: Path, characters: int) -> Iterator[str]:
    """About so many characters of the file's texts, each text once, evenly over the file."""
    records = read_records(str(file), kind_of(file))
    texts = list(dict.fromkeys(text for record in records for text in words_of(record.value)))
    share = min(1.0, characters / sum(map(len, texts)))
    taken = 0.0
    for text in texts:
        taken += share
        if taken >= 1:
            taken -= 1
            yield text


if __name__ == "__main__":
    main()
