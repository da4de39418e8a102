"""Names of the parameters in the released layouts.

In the tables, "{}" is the number of the layer; names on both sides are relative to their stack
(note encoder, context encoder, decoder).
"""

from collections.abc import Mapping

from spectrodiff.checkpoints.tree import Source
from spectrodiff.models.config import ModelConfig

_T5X_ENCODER = {
    "positions": "Embed_0/embedding",
    "norm/scale": "encoder_norm/scale",
    "layers/attention_norm/scale": "layers_{}/pre_attention_layer_norm/scale",
    "layers/attention/query/kernel": "layers_{}/attention/query/kernel",
    "layers/attention/key/kernel": "layers_{}/attention/key/kernel",
    "layers/attention/value/kernel": "layers_{}/attention/value/kernel",
    "layers/attention/out/kernel": "layers_{}/attention/out/kernel",
    "layers/mlp_norm/scale": "layers_{}/pre_mlp_layer_norm/scale",
    "layers/mlp/gate/kernel": "layers_{}/mlp/wi_0/kernel",
    "layers/mlp/up/kernel": "layers_{}/mlp/wi_1/kernel",
    "layers/mlp/down/kernel": "layers_{}/mlp/wo/kernel",
}
_T5X_NOTE_ENCODER = {**_T5X_ENCODER, "embedding": "token_embedder/embedding"}
_T5X_CONTEXT_ENCODER = {**_T5X_ENCODER, "input/kernel": "input_proj/kernel"}
_T5X_DECODER = {
    "input/kernel": "continuous_inputs_projection/kernel",
    "positions": "Embed_0/embedding",
    "time/in/kernel": "time_emb_dense0/kernel",
    "time/out/kernel": "time_emb_dense1/kernel",
    "norm/scale": "decoder_norm/scale",
    "output/kernel": "spec_out_dense/kernel",
    "layers/self_attention_norm/scale": "layers_{}/pre_self_attention_layer_norm/scale",
    "layers/self_attention_film/kernel": "layers_{}/FiLMLayer_0/DenseGeneral_0/kernel",
    "layers/self_attention/query/kernel": "layers_{}/self_attention/query/kernel",
    "layers/self_attention/key/kernel": "layers_{}/self_attention/key/kernel",
    "layers/self_attention/value/kernel": "layers_{}/self_attention/value/kernel",
    "layers/self_attention/out/kernel": "layers_{}/self_attention/out/kernel",
    "layers/cross_attention_norm/scale": "layers_{}/pre_cross_attention_layer_norm/scale",
    "layers/mlp_norm/scale": "layers_{}/pre_mlp_layer_norm/scale",
    "layers/mlp_film/kernel": "layers_{}/FiLMLayer_1/DenseGeneral_0/kernel",
    "layers/mlp/gate/kernel": "layers_{}/mlp/wi_0/kernel",
    "layers/mlp/up/kernel": "layers_{}/mlp/wi_1/kernel",
    "layers/mlp/down/kernel": "layers_{}/mlp/wo/kernel",
}

_MT3_ENCODER = {
    **{name: entry for name, entry in _T5X_ENCODER.items() if name != "positions"},
    "input/kernel": "continuous_inputs_projection/kernel",
}
_MT3_DECODER = {
    "embedding": "token_embedder/embedding",
    "norm/scale": "decoder_norm/scale",
    "output/kernel": "logits_dense/kernel",
    "layers/self_attention_norm/scale": "layers_{}/pre_self_attention_layer_norm/scale",
    "layers/cross_attention_norm/scale": "layers_{}/pre_cross_attention_layer_norm/scale",
    "layers/mlp_norm/scale": "layers_{}/pre_mlp_layer_norm/scale",
    "layers/mlp/gate/kernel": "layers_{}/mlp/wi_0/kernel",
    "layers/mlp/up/kernel": "layers_{}/mlp/wi_1/kernel",
    "layers/mlp/down/kernel": "layers_{}/mlp/wo/kernel",
    **{
        f"layers/{ours}/{part}/kernel": f"layers_{{}}/{theirs}/{part}/kernel"
        for ours, theirs in (
            ("self_attention", "self_attention"),
            ("cross_attention", "encoder_decoder_attention"),
        )
        for part in ("query", "key", "value", "out")
    },
}

# The autoregressive baseline outputs frames where MT3 outputs tokens; its positions are not stored.
_AUTOREGRESSIVE_ENCODER = {
    name: entry for name, entry in _T5X_NOTE_ENCODER.items() if name != "positions"
}
_AUTOREGRESSIVE_DECODER = {
    **{name: entry for name, entry in _MT3_DECODER.items() if name != "embedding"},
    "input/kernel": "continuous_inputs_projection/kernel",
    "output/kernel": "spec_out_dense/kernel",
}

_PORT_ENCODER = {
    "positions": "position_encoding.weight",
    "norm/scale": "layer_norm.weight",
    "layers/attention_norm/scale": "encoders.{}.layer.0.layer_norm.weight",
    "layers/attention/query/kernel": "encoders.{}.layer.0.SelfAttention.q.weight",
    "layers/attention/key/kernel": "encoders.{}.layer.0.SelfAttention.k.weight",
    "layers/attention/value/kernel": "encoders.{}.layer.0.SelfAttention.v.weight",
    "layers/attention/out/kernel": "encoders.{}.layer.0.SelfAttention.o.weight",
    "layers/mlp_norm/scale": "encoders.{}.layer.1.layer_norm.weight",
    "layers/mlp/gate/kernel": "encoders.{}.layer.1.DenseReluDense.wi_0.weight",
    "layers/mlp/up/kernel": "encoders.{}.layer.1.DenseReluDense.wi_1.weight",
    "layers/mlp/down/kernel": "encoders.{}.layer.1.DenseReluDense.wo.weight",
}
_PORT_NOTE_ENCODER = {**_PORT_ENCODER, "embedding": "token_embedder.weight"}
_PORT_CONTEXT_ENCODER = {**_PORT_ENCODER, "input/kernel": "input_proj.weight"}
_PORT_DECODER = {
    "input/kernel": "continuous_inputs_projection.weight",
    "positions": "position_encoding.weight",
    "time/in/kernel": "conditioning_emb.0.weight",
    "time/out/kernel": "conditioning_emb.2.weight",
    "norm/scale": "decoder_norm.weight",
    "output/kernel": "spec_out.weight",
    "layers/self_attention_norm/scale": "decoders.{}.layer.0.layer_norm.weight",
    "layers/self_attention_film/kernel": "decoders.{}.layer.0.FiLMLayer.scale_bias.weight",
    "layers/self_attention/query/kernel": "decoders.{}.layer.0.attention.to_q.weight",
    "layers/self_attention/key/kernel": "decoders.{}.layer.0.attention.to_k.weight",
    "layers/self_attention/value/kernel": "decoders.{}.layer.0.attention.to_v.weight",
    "layers/self_attention/out/kernel": "decoders.{}.layer.0.attention.to_out.0.weight",
    "layers/cross_attention_norm/scale": "decoders.{}.layer.1.layer_norm.weight",
    "layers/cross_attention/query/kernel": "decoders.{}.layer.1.attention.to_q.weight",
    "layers/cross_attention/key/kernel": "decoders.{}.layer.1.attention.to_k.weight",
    "layers/cross_attention/value/kernel": "decoders.{}.layer.1.attention.to_v.weight",
    "layers/cross_attention/out/kernel": "decoders.{}.layer.1.attention.to_out.0.weight",
    "layers/mlp_norm/scale": "decoders.{}.layer.2.layer_norm.weight",
    "layers/mlp_film/kernel": "decoders.{}.layer.2.film.scale_bias.weight",
    "layers/mlp/gate/kernel": "decoders.{}.layer.2.DenseReluDense.wi_0.weight",
    "layers/mlp/up/kernel": "decoders.{}.layer.2.DenseReluDense.wi_1.weight",
    "layers/mlp/down/kernel": "decoders.{}.layer.2.DenseReluDense.wo.weight",
}


def t5x_sources(config: ModelConfig) -> dict[str, Source]:
    """Returns the T5X name of each parameter, the levels of the tree joined by "/"."""
    if config.kind == "autoregressive":
        return {
            **_stack("note_encoder", "encoder", _AUTOREGRESSIVE_ENCODER, config.encoder_layers),
            **_stack("decoder", "decoder", _AUTOREGRESSIVE_DECODER, config.decoder_layers),
        }
    # Without context there is one encoder, named "encoder".
    notes = "token_encoder" if config.has_context else "encoder"
    sources = _stack("note_encoder", notes, _T5X_NOTE_ENCODER, config.encoder_layers)
    if config.has_context:
        sources |= _stack(
            "context_encoder", "continuous_encoder", _T5X_CONTEXT_ENCODER, config.encoder_layers
        )
    summed = config.cross_attention == "sum"
    names = ("cross_attention/notes", "cross_attention/context") if summed else ("cross_attention",)
    crosses = {
        f"layers/{ours}/{part}/kernel": (
            f"layers_{{}}/MultiHeadDotProductAttention_{index}/{part}/kernel"
        )
        for index, ours in enumerate(names)
        for part in ("query", "key", "value", "out")
    }
    sources |= _stack("decoder", "decoder", _T5X_DECODER | crosses, config.decoder_layers)
    return _with_trained_tables(sources) if config.trains_positions else sources


def mt3_sources(config: ModelConfig) -> dict[str, Source]:
    """Returns the T5X name of each parameter of MT3."""
    return {
        **_stack("encoder", "encoder", _MT3_ENCODER, config.encoder_layers),
        **_stack("decoder", "decoder", _MT3_DECODER, config.decoder_layers),
    }


def port_sources(config: ModelConfig) -> dict[str, Source]:
    """Returns the name of each parameter, "folder/name", in the diffusers and Paddle ports."""
    encoder, decoder = config.encoder_layers, config.decoder_layers
    sources = {
        **_stack("note_encoder", "notes_encoder", _PORT_NOTE_ENCODER, encoder),
        **_stack("context_encoder", "continuous_encoder", _PORT_CONTEXT_ENCODER, encoder),
        **_stack("decoder", "decoder", _PORT_DECODER, decoder),
    }
    return _with_trained_tables(sources) if config.trains_positions else sources


def _with_trained_tables(sources: dict[str, Source]) -> dict[str, Source]:
    """Returns sources whose position tables are parameters; files name them like fixed ones."""
    return {
        name.replace("/positions", "/trained_positions") if name.endswith("/positions") else name: (
            source
        )
        for name, source in sources.items()
    }


def _stack(ours: str, theirs: str, names: Mapping[str, str], layers: int) -> dict[str, Source]:
    sources: dict[str, Source] = {}
    for name, entry in names.items():
        if name.startswith("layers/"):
            sources[f"{ours}/{name}"] = [f"{theirs}/{entry.format(i)}" for i in range(layers)]
        else:
            sources[f"{ours}/{name}"] = f"{theirs}/{entry}"
    return sources
