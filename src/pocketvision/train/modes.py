"""The parts of a net while it is fine-tuned: their rates, which of them rest, and what their batch norms do."""

from torch.nn.modules.batchnorm import _BatchNorm

from pocketvision.models.blocks import Net
from pocketvision.train.loop import LayerGroup


def layer_groups(net: Net, decay: float) -> tuple[LayerGroup, ...]:
    """List a net's parts from the stem to the head; each learns at `decay` times the rate of the one after it.

    Source: Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification" (2018), section 3.2.
    """
    parts = [*net.features, net.classifier]
    own = {id(weight) for part in parts for weight in part.parameters()}
    assert all(id(weight) in own for weight in net.parameters()), "a weight outside features and classifier"
    return tuple(LayerGroup(part, decay ** (len(parts) - 1 - place)) for place, part in enumerate(parts))


def set_train_mode(net: Net, *, frozen: int, fixed_norms: bool) -> None:
    """Put the net in training mode, except the first `resting` layers, and the norms where they are fixed.

    Nothing is computed backwards through layers that rest, which is most of a step's time: their maps are the largest.
    """
    net.train()
    for place, layer in enumerate(net.features):
        for weight in layer.parameters():
            weight.requires_grad_(place >= frozen)
    quiet = list(net.features)[:frozen]
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)] if fixed_norms else []
    for module in (*quiet, *norms):
        module.eval()
