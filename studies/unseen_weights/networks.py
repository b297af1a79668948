"""ResNet18 a quarter as wide, with torchvision's stem for large images or a stem for images of 32 by 32 pixels."""

from pathlib import Path

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from wmgp.experiments.data import ImageData
from wmgp.experiments.training.parents import load_or_train_parent
from wmgp.experiments.training.sgd import Recipe

WIDTH = 16  # channels of the first stage; torchvision's ResNet18 has 64
STEMS = {"resnet18_w16": "imagenet", "resnet18_w16_stem32": "cifar"}
N_IMAGES = 10_000  # the first training images, because one network costs minutes
# As the recorded ResNet18 parents, except for batches of 128 images: 79 steps an epoch (98 for these parents).
RECIPE = Recipe(0.2, 0.9, 5e-4, 128, nesterov=True, one_cycle=True, crop=4, flip=True, bfloat16=True)


def build(network: str, seed: int) -> nn.Module:
    """Return the untrained network of `STEMS`, drawn from `seed`: 10 classes, input [n, 3, 32, 32].

    The stem "imagenet" is torchvision's: 7 by 7, stride 2, then max-pooling with stride 2. The stem "cifar" is 3 by 3
    with stride 1 and no pooling (He et al. 2016, arXiv:1512.03385, section 4.2). Convolutions are initialised as
    torchvision does (He et al. 2015, arXiv:1502.01852). The global random state does not change.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=10)
        model.inplanes = WIDTH
        if STEMS[network] == "imagenet":
            model.conv1 = nn.Conv2d(3, WIDTH, 7, stride=2, padding=3, bias=False)
        else:
            model.conv1 = nn.Conv2d(3, WIDTH, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        model.bn1 = nn.BatchNorm2d(WIDTH)
        for i in range(4):
            stage = model._make_layer(BasicBlock, WIDTH << i, 2, stride=1 if i == 0 else 2)  # pyright: ignore
            setattr(model, f"layer{i + 1}", stage)
        model.fc = nn.Linear(WIDTH << 3, 10)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        return model


def trained(network: str, training: ImageData, seed: int, epochs: int, folder: Path | None) -> nn.Module:
    """Return the network after `epochs` on the first `N_IMAGES` images: read it from `folder`, or train and save it."""
    return load_or_train_parent(
        network,
        training.first(N_IMAGES),
        seed,
        epochs,
        RECIPE,
        folder and folder / f"{epochs}epochs",
        initial=lambda seed: build(network, seed),
    )
