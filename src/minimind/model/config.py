"""The shape of a language model: a few numbers from which everything else follows."""

from dataclasses import dataclass

from minimind.config import UserError, flag


class Derived(int):
    """A whole number that was worked out rather than given, so that `dataclasses.replace` works it out anew."""


def swiglu_width(hidden_size: int) -> int:
    """The Llama rule of minimind2: two thirds of 4 x hidden_size, rounded up to a multiple of 64."""
    return -(-int(hidden_size * 8 / 3) // 64) * 64


@dataclass
class ModelConfig:
    """Architecture of the model; the defaults are minimind2-small. Fields left at None are derived when it is made."""

    vocab_size: int = flag(6400, "entries of the vocabulary", minimum=1)
    hidden_size: int = flag(512, "width of the residual stream", "dim", minimum=1)
    num_hidden_layers: int = flag(8, "number of blocks", "n_layers", minimum=1)
    num_attention_heads: int = flag(8, "query heads", "n_heads", minimum=1)
    num_key_value_heads: int = flag(
        2, "key/value heads, each shared by a group of query heads", "n_kv_heads", minimum=1
    )
    head_dim: int | None = flag(None, "width of one head; none: hidden_size / num_attention_heads", minimum=1)
    intermediate_size: int | None = flag(
        None, "width inside the feed-forward; none: 8/3 of hidden_size, rounded up to a multiple of 64", minimum=1
    )
    rope_theta: float = flag(1e6, "base of the rotary frequencies (arXiv 2104.09864)")
    rms_norm_eps: float = flag(1e-5, "added to the mean square in RMSNorm (arXiv 1910.07467)")
    qk_norm: bool = flag(False, "normalise queries and keys per head, as Qwen3 and minimind-3 do")
    max_position_embeddings: int = flag(32768, "longest sequence, in tokens", minimum=1)
    dropout: float = flag(0.0, "dropout on the embedding and on the output of each sublayer", minimum=0.0)
    tie_word_embeddings: bool = flag(True, "one matrix for the embedding and the output layer")
    inference_rope_scaling: bool = flag(False, "stretch the positions 16 times by YaRN (arXiv 2309.00071)")
    initializer_range: float = flag(0.02, "standard deviation of the initial weights", minimum=0.0)
    use_moe: bool = flag(False, "a mixture of experts instead of one feed-forward")
    num_experts: int = flag(4, "routed experts", "n_routed_experts", minimum=1)
    num_experts_per_tok: int = flag(2, "routed experts a token visits", minimum=1)
    n_shared_experts: int = flag(1, "experts every token visits", minimum=0)
    norm_topk_prob: bool = flag(True, "make the weights of a token's experts sum to one")
    router_aux_loss_coef: float = flag(0.01, "weight of the load-balancing loss", "aux_loss_alpha", minimum=0.0)
    seq_aux: bool = flag(
        True, "balance the load within each sequence (minimind2) instead of over the batch (minimind-3)"
    )
    router_straight_through: bool = flag(
        True, "with one normalised expert, whose weight is always 1, still let the language-model loss teach the router"
    )
    moe_intermediate_size: int | None = flag(None, "width inside an expert; none: intermediate_size", minimum=1)

    def __post_init__(self) -> None:
        problems = self._problems()
        if problems:
            raise UserError("\n".join(problems))
        if _is_free(self.head_dim):
            self.head_dim = Derived(self.hidden_size // self.num_attention_heads)
        if _is_free(self.intermediate_size):
            self.intermediate_size = Derived(swiglu_width(self.hidden_size))
        if _is_free(self.moe_intermediate_size):
            self.moe_intermediate_size = Derived(self.intermediate_size)

    def _problems(self) -> list[str]:
        """What is impossible about the numbers given, one sentence each."""
        problems = []
        sizes = "vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads num_experts"
        for name in (*sizes.split(), "num_experts_per_tok", "max_position_embeddings"):
            if getattr(self, name) < 1:
                problems.append(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("head_dim", "intermediate_size", "moe_intermediate_size"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                problems.append(f"{name} must be at least 1, got {getattr(self, name)}")
        if problems:
            return problems
        heads, groups = self.num_attention_heads, self.num_key_value_heads
        if heads % groups:
            problems.append(f"num_attention_heads ({heads}) must be a multiple of num_key_value_heads ({groups})")
        if _is_free(self.head_dim) and self.hidden_size % heads:
            problems.append(
                f"hidden_size ({self.hidden_size}) is not a multiple of num_attention_heads ({heads}): "
                "change one of them or give head_dim"
            )
        elif (self.hidden_size // heads if _is_free(self.head_dim) else self.head_dim) % 2:
            problems.append("head_dim must be even, because rotary positions turn pairs of dimensions")
        if self.use_moe and self.num_experts_per_tok > self.num_experts:
            problems.append(
                f"num_experts_per_tok ({self.num_experts_per_tok}) is larger than num_experts ({self.num_experts})"
            )
        if self.n_shared_experts < 0:
            problems.append(f"n_shared_experts must not be negative, got {self.n_shared_experts}")
        if not 0 <= self.dropout < 1:
            problems.append(f"dropout must be at least 0 and below 1, got {self.dropout}")
        for name in ("rope_theta", "rms_norm_eps"):
            if not getattr(self, name) > 0:
                problems.append(f"{name} must be positive, got {getattr(self, name)}")
        return problems


def _is_free(value: int | None) -> bool:
    return value is None or isinstance(value, Derived)
