"""The networks of the paper and MT3 in float64, from parameters under their T5X names."""

from collections.abc import Mapping

import numpy as np

HEAD_WIDTH = 8
Array = np.ndarray


class Params:
    """Parameters below a prefix: `params["decoder/layers_0"]["mlp/wo"]`."""

    def __init__(self, arrays: Mapping[str, Array], prefix: str = "params") -> None:
        self._arrays, self._prefix = arrays, prefix

    def __getitem__(self, name: str) -> "Params":
        return Params(self._arrays, f"{self._prefix}/{name}")

    def __contains__(self, name: str) -> bool:
        return any(key.startswith(f"{self._prefix}/{name}/") for key in self._arrays)

    def array(self, name: str) -> Array:
        return self._arrays[f"{self._prefix}/{name}"].astype(np.float64)

    def dense(self, name: str, x: Array) -> Array:
        return x @ self.array(f"{name}/kernel")

    def norm(self, name: str, x: Array) -> Array:
        rms = np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + 1e-6)
        return x / rms * self.array(f"{name}/scale")

    def layers(self) -> list["Params"]:
        names = (f"layers_{number}" for number in range(99))
        return [self[name] for name in names if name in self]


def gelu(x: Array) -> Array:
    """The approximation of GELU by a hyperbolic tangent."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def swish(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def sinusoids(length: int, width: int) -> Array:
    """Position rows: sines, then cosines, timescales from 1 to 10,000."""
    rates = 10_000.0 ** -np.linspace(0, 1, width // 2)
    angles = np.arange(length)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def attention(params: Params, x: Array, source: Array, mask: Array) -> Array:
    """Attends from x [B, T, D] to source [B, S, D]; a mask [B, T or 1, S] says what is seen."""

    def heads(name: str, values: Array) -> Array:  # [B, length, H * K] -> [B, H, length, K]
        values = params.dense(name, values)
        return values.reshape(*values.shape[:2], -1, HEAD_WIDTH).swapaxes(1, 2)

    logits = heads("query", x) @ heads("key", source).swapaxes(2, 3)
    logits = np.where(mask[:, None], logits, -1e10)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    attended = (weights @ heads("value", source)).swapaxes(1, 2)
    return params.dense("out", attended.reshape(*x.shape[:2], -1))


def feed_forward(params: Params, x: Array) -> Array:
    return params.dense("wo", gelu(params.dense("wi_0", x)) * params.dense("wi_1", x))


def encoder(params: Params, x: Array, mask: Array) -> Array:
    for layer in params.layers():
        normed = layer.norm("pre_attention_layer_norm", x)
        x = x + attention(layer["attention"], normed, normed, mask[:, None])
        x = x + feed_forward(layer["mlp"], layer.norm("pre_mlp_layer_norm", x))
    return params.norm("encoder_norm", x)


def encode_notes(params: Params, tokens: Array) -> Array:
    x = params.array("token_embedder/embedding")[tokens]
    return encoder(params, x + params.array("Embed_0/embedding")[: tokens.shape[1]], tokens > 0)


def encode_context(params: Params, context: Array, mask: Array) -> Array:
    rows, frames = params.array("Embed_0/embedding"), context.shape[1]
    # The newest valid frame has the last row, whatever the number of valid frames.
    places = (np.arange(frames) - mask.sum(axis=1)[:, None]) % frames
    return encoder(params, params.dense("input_proj", context) + rows[places], mask)


def time_embedding(time: Array, width: int) -> Array:
    """Sines, then cosines, of 20,000 times the time at geometrically spaced rates.

    Angles are float32 as in the reference: they reach 20,000, where float64 differs by 0.001.
    """
    half = width // 2
    rates = np.exp(np.arange(half, dtype=np.float32) * np.float32(-np.log(20_000.0) / (half - 1)))
    angles = np.float32(20_000) * time.astype(np.float32)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float64)


def film(params: Params, x: Array, time: Array) -> Array:
    scale, shift = np.split(params.dense("DenseGeneral_0", time)[:, None], 2, axis=-1)
    return x * (1 + scale) + shift


Source = tuple[Array, Array]  # encodings [B, S, D] and their mask [B, S]


def cross_attention(layer: Params, x: Array, sources: list[Source]) -> Array:
    """Sum over the attentions of a layer, each zero for examples whose keys are all masked."""
    result = np.zeros_like(x)
    for number, (source, mask) in enumerate(sources):
        attended = attention(
            layer[f"MultiHeadDotProductAttention_{number}"], x, source, mask[:, None]
        )
        result += attended * mask.any(axis=1)[:, None, None]
    return result


def denoise(params: Params, noisy: Array, time: Array, sources: list[Source]) -> Array:
    """Decoder of the diffusion model; no sources are those of which everything is masked."""
    x = params.dense("continuous_inputs_projection", noisy) + params.array("Embed_0/embedding")
    condition = time_embedding(time, x.shape[-1])
    for name in ("time_emb_dense0", "time_emb_dense1"):
        condition = swish(params.dense(name, condition))
    everything = np.ones((1, 1, x.shape[1]), bool)
    for layer in params.layers():
        normed = film(
            layer["FiLMLayer_0"], layer.norm("pre_self_attention_layer_norm", x), condition
        )
        x = x + attention(layer["self_attention"], normed, normed, everything)
        normed = layer.norm("pre_cross_attention_layer_norm", x)
        x = x + cross_attention(layer, normed, sources)
        normed = film(layer["FiLMLayer_1"], layer.norm("pre_mlp_layer_norm", x), condition)
        x = x + feed_forward(layer["mlp"], normed)
    return params.dense("spec_out_dense", params.norm("decoder_norm", x))


def encodings(arrays: Mapping[str, Array]) -> tuple[Array, Array]:
    """Encoded notes and context of a network with context."""
    params = Params(arrays)
    return (
        encode_notes(params["token_encoder"], arrays["tokens"]),
        encode_context(
            params["continuous_encoder"], arrays["context"].astype(float), arrays["context_mask"]
        ),
    )


def sources_of(arrays: Mapping[str, Array]) -> list[Source]:
    """Sources that the decoder of a file's network attends to."""
    params, notes_mask = Params(arrays), arrays["tokens"] > 0
    if "context" not in arrays:
        return [(encode_notes(params["encoder"], arrays["tokens"]), notes_mask)]
    notes, context = encodings(arrays)
    if "MultiHeadDotProductAttention_1" in params["decoder/layers_0"]:
        return [(notes, notes_mask), (context, arrays["context_mask"])]
    both = np.concatenate([notes, context], axis=1)
    return [(both, np.concatenate([notes_mask, arrays["context_mask"]], axis=1))]


def causal_decoder(params: Params, x: Array, source: Array, mask: Array) -> Array:
    """Decoder of the autoregressive network and of MT3, up to its last norm."""
    length, width = x.shape[1:]
    x = x + sinusoids(length, width)
    earlier = np.tril(np.ones((1, length, length), bool))
    for layer in params.layers():
        normed = layer.norm("pre_self_attention_layer_norm", x)
        x = x + attention(layer["self_attention"], normed, normed, earlier)
        normed = layer.norm("pre_cross_attention_layer_norm", x)
        x = x + attention(layer["encoder_decoder_attention"], normed, source, mask[:, None])
        x = x + feed_forward(layer["mlp"], layer.norm("pre_mlp_layer_norm", x))
    return params.norm("decoder_norm", x)


def shifted(x: Array) -> Array:
    """Rows moved one place back, zeros first."""
    return np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)


def predict_frames(arrays: Mapping[str, Array], frames: Array) -> Array:
    """Autoregressive network: each frame [B, F, M] from the notes and the frames before it."""
    params, tokens = Params(arrays), arrays["tokens"]
    embedded = params.array("encoder/token_embedder/embedding")[tokens]
    # Padding is seen by the encoder, though not by the decoder.
    notes = encoder(
        params["encoder"],
        embedded + sinusoids(*embedded.shape[1:]),
        np.ones(tokens.shape, bool),
    )
    decoder = params["decoder"]
    x = decoder.dense("continuous_inputs_projection", shifted(frames.astype(np.float64)))
    return decoder.dense("spec_out_dense", causal_decoder(decoder, x, notes, tokens > 0))


def transcribe(arrays: Mapping[str, Array], tokens: Array) -> Array:
    """MT3: logits [B, T, vocabulary] of each token from the sound and the tokens before it."""
    params, spectrogram = Params(arrays), arrays["spectrogram"].astype(np.float64)
    everything = np.ones(spectrogram.shape[:2], bool)
    x = params.dense("encoder/continuous_inputs_projection", spectrogram)
    sound = encoder(params["encoder"], x + sinusoids(*x.shape[1:]), everything)
    decoder = params["decoder"]
    x = decoder.array("token_embedder/embedding")[shifted(tokens)]
    return decoder.dense("logits_dense", causal_decoder(decoder, x, sound, everything))
