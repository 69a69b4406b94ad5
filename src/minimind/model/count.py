"""How large a model is and how much it computes, from its configuration alone."""

from minimind.model.config import ModelConfig


def parameters(config: ModelConfig) -> int:
    """Trainable numbers; a tied embedding counts once."""
    experts = config.num_experts if config.use_moe else 1
    return _embeddings(config) + config.num_hidden_layers * (_layer_matrices(config, experts) + _layer_gains(config))


def active_parameters(config: ModelConfig) -> int:
    """Those that one token meets: of the routed experts only the ones it is sent to."""
    experts = config.num_experts_per_tok if config.use_moe else 1
    return _embeddings(config) + config.num_hidden_layers * (_layer_matrices(config, experts) + _layer_gains(config))


def flops_per_token(config: ModelConfig, sequence_length: int) -> float:
    """Floating-point operations of the matrix products of one forward pass, per token of a sequence of that length.

    A multiplication and an addition count as two. Scores are counted for every pair of tokens, also where the causal
    mask hides them, as is usual. Training costs three times as much, as the backward pass multiplies twice for each
    product.
    """
    experts = config.num_experts_per_tok if config.use_moe else 1
    matrices = config.num_hidden_layers * _layer_matrices(config, experts) + config.vocab_size * config.hidden_size
    pairs = 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * sequence_length
    return 2.0 * (matrices + pairs)


def weight_bytes(config: ModelConfig, bytes_per_parameter: int = 2) -> int:
    """Size of the weights; 2 bytes each in half precision, 4 in fp32."""
    return parameters(config) * bytes_per_parameter


def summary(config: ModelConfig, sequence_length: int | None = None) -> dict[str, float]:
    """What `minimind count` prints; by default for sequences of 512 tokens, or of the model's limit if that is less."""
    return {
        "parameters": parameters(config),
        "active_parameters": active_parameters(config),
        "flops_per_token": flops_per_token(config, sequence_length or min(512, config.max_position_embeddings)),
        "bytes": weight_bytes(config),
    }


def _embeddings(config: ModelConfig) -> int:
    """Embedding, output layer unless it is the same matrix, and final norm."""
    tables = 1 if config.tie_word_embeddings else 2
    return tables * config.vocab_size * config.hidden_size + config.hidden_size


def _layer_matrices(config: ModelConfig, experts: int) -> int:
    """Attention, and a feed-forward or the router with so many routed experts and the shared ones."""
    D = config.hidden_size
    attention = 2 * D * (config.num_attention_heads + config.num_key_value_heads) * config.head_dim
    if not config.use_moe:
        return attention + 3 * D * config.intermediate_size
    feed_forwards = (experts + config.n_shared_experts) * 3 * D * config.moe_intermediate_size
    return attention + config.num_experts * D + feed_forwards


def _layer_gains(config: ModelConfig) -> int:
    return 2 * config.hidden_size + (2 * config.head_dim if config.qk_norm else 0)
