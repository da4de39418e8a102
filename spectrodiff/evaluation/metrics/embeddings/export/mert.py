"""MERT, a model of music that is trained like HuBERT; one of its layers is the embedding."""

import os
from typing import Any

import numpy as np

from spectrodiff.core.errors import ConfigError
from spectrodiff.evaluation.metrics.embeddings.export.exporting import Exportable, need
from spectrodiff.evaluation.metrics.embeddings.onnx_recipe import OnnxRecipe

PUBLISHED = "m-a-p/MERT-v1-95M"
SAMPLE_RATE = 24_000
# Attention is over a whole window, in memory that grows with its square.
WINDOW_SECONDS = 30.0
_EPSILON = 1e-7


def open_mert(
    weights: str | os.PathLike[str] | None,
    layer: int,
    window_seconds: float = WINDOW_SECONDS,
) -> Exportable:
    """Opens a layer of MERT-v1-95M.

    Args:
        weights: folder or Hub repository, m-a-p/MERT-v1-95M; its own code is run, as its authors
            intend. None for random weights in the same architecture.
        layer: output of this transformer layer, from 1 to 12.
        window_seconds: length of the windows that a recording is cut into. (Fadtk embeds up to six
            minutes at once.)

    Raises:
        ConfigError: if there is no such layer, or packages are missing.
    """
    torch, transformers = need(["torch", "transformers"], "export of MERT-v1-95M")
    torch.manual_seed(0)
    if weights is None:
        config = transformers.HubertConfig(attn_implementation="eager")
        model = transformers.HubertModel(config)
        processor = transformers.Wav2Vec2FeatureExtractor(
            sampling_rate=SAMPLE_RATE, do_normalize=True
        )
    else:
        name, trusted = os.fspath(weights), {"trust_remote_code": True}
        config = transformers.AutoConfig.from_pretrained(name, **trusted)
        # The published settings lack it.
        config.conv_pos_batch_norm = False
        model = transformers.AutoModel.from_pretrained(
            name, config=config, attn_implementation="eager", **trusted
        )
        processor = transformers.Wav2Vec2FeatureExtractor.from_pretrained(name, **trusted)
    model.eval()
    if not 1 <= layer <= config.num_hidden_layers:
        raise ConfigError("--layer", f"1 to {config.num_hidden_layers}", str(layer))
    normalizes = processor.do_normalize

    class Network(torch.nn.Module):  # type: ignore[name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, samples: Any) -> Any:
            if normalizes:
                centered = samples - samples.mean()
                samples = centered / torch.sqrt((centered**2).mean() + _EPSILON)
            return self.model(samples[None], output_hidden_states=True).hidden_states[layer][0]

    window = round(window_seconds * SAMPLE_RATE)

    def original(audio: np.ndarray) -> np.ndarray:
        layers = []
        for start in range(0, len(audio), window):
            part = audio[start : start + window]
            inputs = processor(part, sampling_rate=SAMPLE_RATE, return_tensors="pt")
            with torch.no_grad():
                found = model(inputs["input_values"], output_hidden_states=True)
            layers.append(torch.stack(found.hidden_states).squeeze()[layer])
        return torch.cat(layers).numpy()

    source = f"transformers {transformers.__version__}, {weights or 'random weights'}"
    return Exportable(
        recipe=OnnxRecipe(
            f"MERT-v1-95M-{layer}",
            source,
            SAMPLE_RATE,
            window_samples=window,
            # The convolutions need 400 samples.
            shortest_samples=SAMPLE_RATE // 10,
        ),
        network=Network(),
        example_samples=2 * SAMPLE_RATE,
        any_length=True,
        original=original,
    )
