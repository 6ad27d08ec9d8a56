"""Channel means and deviations as recipes write them down, from 0 to 255."""

from resatlas.recipes.images import Constants, Standardise

CIFAR_10 = Constants(data="cifar-10", mean=(125.3, 123.0, 113.9), std=(63.0, 62.1, 66.7))
_CIFAR_100 = Constants(data="cifar-100", mean=(129.3, 124.1, 112.4), std=(68.2, 65.4, 70.4))
IMAGENET = Constants(data="imagenet", mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))

FB_CIFAR = Standardise(constants=(CIFAR_10, _CIFAR_100))
"""Source: fb.resnet.torch, datasets/cifar10.lua and cifar100.lua."""

FB_IMAGENET = Standardise(constants=(IMAGENET,))
"""Source: fb.resnet.torch, datasets/imagenet.lua: (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225) of 1."""
