"""Streams: one order for all ranks and splits, every sample once an epoch, and going on from any place."""

import numpy as np
import pytest

from minimind.config import UserError
from minimind.data import stream as streams
from minimind.data.pack import Batch
from minimind.data.prompts import Prompts, open_prompts
from minimind.data.shards import TokenStore, open_store
from minimind.data.stream import PackedStream, PairStream, PromptStream, pair_batch, shuffled, sweep

WIDTH = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("streams")


def opened(folder, tokenizer, kind: str, lines: list[str], width: int = WIDTH) -> TokenStore:
    path = folder / f"{kind}.jsonl"
    path.write_text("\n".join(lines))
    return open_store(path, kind, tokenizer, folder / "cache", width)


@pytest.fixture(scope="module")
def store(folder, tokenizer) -> TokenStore:
    """61 texts of 3 to some 40 tokens, the long ones in pieces."""
    return opened(folder, tokenizer, "text", ['{"text": "%s"}' % ("x7 " * (1 + n % 14) + str(n)) for n in range(61)])


@pytest.fixture(scope="module")
def pairs(folder, tokenizer) -> TokenStore:
    def side(number: int, reply: str) -> str:
        prompt = '[{"role": "user", "content": "%d"}, {"role": "assistant", "content": "%s"}]'
        return prompt % (number, reply)

    sides = [(side(n, "y" * (n % 5 + 1)), side(n, "no")) for n in range(13)]
    lines = [f'{{"chosen": {chosen}, "rejected": {rejected}}}' for chosen, rejected in sides]
    return opened(folder, tokenizer, "preference", lines)


@pytest.fixture(scope="module")
def prompts(folder, tokenizer) -> Prompts:
    path = folder / "prompts.jsonl"
    path.write_text("\n".join(f'{{"question": "{n}+1?", "answer": "{n + 1}"}}' for n in range(11)))
    return open_prompts(path, tokenizer, 64)


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch):
    monkeypatch.setattr(streams, "WINDOW", 20)


def fingerprints(batch: Batch) -> list[tuple]:
    """One hashable value a row: its tokens, targets and positions, and which samples lie in it."""
    rows = []
    for row in range(len(batch.ids)):
        documents = batch.documents[row]
        per_source = -(-batch.padding // len(batch.index))  # 2 documents for each pair
        numbers = [number for number in documents.unique() if number != batch.padding]
        samples = tuple(batch.index[number // per_source].item() for number in numbers)
        tensors = (tuple(getattr(batch, name)[row].tolist()) for name in ("ids", "targets", "positions"))
        rows.append((*tensors, tuple(sorted(samples))))
    return rows


def test_shuffling_is_a_fixed_function_of_its_key():
    """The numbers are written down so that no library's change can alter an order unseen."""
    assert sorted(shuffled(1000, 1, 2).tolist()) == list(range(1000))
    assert shuffled(10, 42, 0).tolist() == shuffled(10, 42, 0).tolist()
    assert shuffled(8, 42, 0).tolist() == GOLDEN[(42, 0)]
    assert shuffled(8, 42, 1).tolist() == GOLDEN[(42, 1)]
    assert shuffled(8, -1).tolist() == GOLDEN[(-1,)]


GOLDEN = {(42, 0): [6, 2, 5, 7, 0, 4, 3, 1], (42, 1): [0, 3, 7, 1, 4, 2, 6, 5], (-1,): [5, 0, 2, 4, 7, 1, 6, 3]}


def test_shuffled_places_are_even():
    """Each of 6 orders of 3 comes up 1/6 of the time: 6,000 draws, so 1,000 each, standard deviation 29."""
    counts: dict[tuple, int] = {}
    for key in range(6000):
        order = tuple(shuffled(3, 7, key).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6 and all(abs(count - 1000) < 150 for count in counts.values())


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("rows", [1, 2, None])
def test_the_global_order_is_the_same_for_all_ranks_and_splits(store, world_size, rows):
    steps, per_step = 16, 8
    plain = PackedStream(store, WIDTH, per_step, seed=3)
    expected = [row for _ in range(steps) for row in fingerprints(plain.next())]
    ranks = [PackedStream(store, WIDTH, per_step, 3, rank, world_size) for rank in range(world_size)]
    found: list[tuple] = []
    for _ in range(steps):
        for rank in ranks:
            taken = 0
            while taken < per_step // world_size:
                batch = rank.next(rows)
                found += fingerprints(batch)
                taken += len(batch.ids)
    assert found == expected
    assert plain.epoch >= 2, "the walk should cross epochs"


def test_other_step_sizes_walk_the_same_order(store):
    one, eight = PackedStream(store, WIDTH, 1, seed=3), PackedStream(store, WIDTH, 8, seed=3)
    assert [row for _ in range(40) for row in fingerprints(one.next())] == [
        row for _ in range(5) for row in fingerprints(eight.next())
    ]


def test_every_sample_comes_once_an_epoch_in_another_order(store):
    stream = PackedStream(store, WIDTH, 1, seed=0)
    orders = []
    for epoch in range(3):
        seen: list[int] = []
        while stream.epoch == epoch:
            seen += stream.next().index.tolist()
        assert sorted(seen) == list(range(len(store)))
        orders.append(tuple(seen))
    assert len(set(orders)) == 3
    assert orders[0] != tuple(PackedStream(store, WIDTH, 500, seed=1).next().index.tolist()[: len(store)])


def test_rows_per_epoch_is_exact_for_the_first(store):
    stream = PackedStream(store, WIDTH, 1, seed=5)
    assert sorted(stream.next(stream.rows_per_epoch).index.tolist()) == list(range(len(store)))


def test_a_batch_holds_the_tokens_of_its_samples(store):
    batch = PackedStream(store, WIDTH, 6, seed=2).next()
    assert batch.ids.shape == (6, WIDTH)
    assert batch.tokens == sum(store.lengths[sample] for sample in batch.index.tolist())
    for number, sample in enumerate(batch.index.tolist()):
        assert batch.ids[batch.documents == number].tolist() == store[sample].ids.tolist()


@pytest.mark.parametrize("kind", ["packed", "pairs", "prompts"])
def test_going_on_from_every_place_gives_the_same_rest(store, pairs, prompts, kind):
    """At every position of more than two epochs, steps in halves included."""

    def make():
        if kind == "packed":
            return PackedStream(store, WIDTH, 4, seed=9, rank=1, world_size=2)
        if kind == "pairs":
            return PairStream(pairs, 64, 4, seed=9, rank=1, world_size=2)
        return PromptStream(prompts, 4, seed=9, rank=1, world_size=2)

    def take(stream) -> object:
        found = stream.next(1)
        return [prompt.source for prompt in found] if kind == "prompts" else fingerprints(found)

    count = 30 if kind != "packed" else 60
    stream = make()
    states, expected = [], []
    for _ in range(count):
        states.append(stream.state_dict())
        expected.append(take(stream))
    assert stream.epoch >= 2
    for place, state in enumerate(states):
        again = make()
        again.load_state_dict(state)
        assert [take(again) for _ in range(min(5, count - place))] == expected[place : place + 5]
    assert all(isinstance(value, int | str | list) for value in states[0].values())


def test_another_number_of_ranks_goes_on_between_steps_only(store):
    plain = PackedStream(store, WIDTH, 4, seed=1)
    for _ in range(5):
        plain.next()
    state, expected = plain.state_dict(), fingerprints(plain.next())
    halves = [PackedStream(store, WIDTH, 4, 1, rank, 2) for rank in range(2)]
    for half in halves:
        half.load_state_dict(state)
    assert [row for half in halves for row in fingerprints(half.next())] == expected
    plain.next(1)
    with pytest.raises(UserError, match="in the middle of a step"):
        halves[0].load_state_dict(plain.state_dict())


def test_a_state_of_something_else_is_refused_by_name(store):
    state = PackedStream(store, WIDTH, 4, seed=1).state_dict()
    with pytest.raises(UserError, match=r"width 24 -> 32; seed 1 -> 2"):
        PackedStream(store, 32, 4, seed=2).load_state_dict(state)
    training, _ = store.split(0.3)
    with pytest.raises(UserError, match="samples "):
        PackedStream(training, WIDTH, 4, seed=1).load_state_dict(state)


def test_what_cannot_be_streamed_is_one_sentence(store):
    with pytest.raises(UserError, match="shared evenly by 2 ranks"):
        PackedStream(store, WIDTH, 3, world_size=2)
    with pytest.raises(UserError, match="do not fit into rows of 8"):
        PackedStream(store, 8, 2)
    with pytest.raises(UserError, match="no samples to train on"):
        PackedStream(store.split(0)[1], WIDTH, 2)


def test_fewer_samples_than_a_step_go_round(folder, tokenizer):
    single = opened(folder, tokenizer, "text", ['{"text": "only"}'])
    stream = PackedStream(single, WIDTH, 4)
    assert stream.next().index.tolist() == [0, 0, 0, 0]
    assert stream.epoch >= 3 and stream.rows_per_epoch == 1


def test_a_sweep_sees_everything_once(store):
    assert sorted(np.concatenate([batch.index for batch in sweep(store, WIDTH, 4)])) == list(range(len(store)))
    shared = [batch.index for rank in range(3) for batch in sweep(store, WIDTH, 4, rank, 3)]
    assert sorted(np.concatenate(shared)) == list(range(len(store)))


def test_chosen_and_rejected_stand_side_by_side(pairs):
    batch = PairStream(pairs, 64, 5, seed=4).next()
    assert len(batch.index) == 5 and len(set(batch.index.tolist())) == 5
    for place, pair in enumerate(batch.index.tolist()):
        for side in (0, 1):
            mine = batch.documents == 2 * place + side
            expected = pairs[2 * pair + side]
            assert batch.ids[mine].tolist() == expected.ids.tolist()
            targets = batch.targets[mine]
            assert targets[targets != -100].tolist() == expected.ids[expected.mask].tolist()
    assert len(batch.ids) == -(-batch.tokens // 64) or len(batch.ids) <= 5


def test_ranks_share_the_pairs(pairs):
    whole = PairStream(pairs, 64, 6, seed=4)
    ranks = [PairStream(pairs, 64, 6, 4, rank, 3) for rank in range(3)]
    for _ in range(6):
        assert whole.next().index.tolist() == [pair for rank in ranks for pair in rank.next().index.tolist()]
    assert whole.epoch == 2


def test_any_pairs_as_a_batch(pairs):
    batch = pair_batch(pairs, [3, 1], 64)
    assert batch.index.tolist() == [3, 1]
    assert batch.ids[batch.documents == 3].tolist() == pairs[3].ids.tolist()


def test_prompts_end_where_the_reply_begins(prompts, tokenizer):
    stream = PromptStream(prompts, 4, seed=0)
    seen = [prompt for _ in range(11) for prompt in stream.next()]
    assert sorted(prompt.answer for prompt in seen[:11]) == sorted(str(n + 1) for n in range(11))
    for prompt in seen:
        assert prompt.ids == tokenizer.render(prompt.messages, add_generation_prompt=True).ids
        assert tokenizer.decode(prompt.ids).endswith("<|im_start|>assistant\n")
    training, held = prompts.split(0.4)
    assert len(training) + len(held) == 11 and not {p.key for p in training} & {p.key for p in held}


def test_prompts_that_are_too_long_are_left_out_and_counted(folder, tokenizer):
    path = folder / "long.jsonl"
    path.write_text('{"question": "1", "answer": "1"}\n{"question": "%s", "answer": "2"}' % ("长" * 99))
    found = open_prompts(path, tokenizer, 30)
    assert (len(found), found.dropped) == (1, 1)
    with pytest.raises(UserError, match="all 2 prompts are longer than 3 tokens"):
        open_prompts(path, tokenizer, 3)
