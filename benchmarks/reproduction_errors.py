"""Errors in papers, releases and folklore that counting brings to light, each with the commands that show it."""

from typing import NamedTuple


class Erratum(NamedTuple):
    """What is printed or said, what is right, and how to see it."""

    title: str
    text: str
    commands: tuple[str, ...]


ERRATA = (
    Erratum(
        "SqueezeNet does not cost 1700M multiply-adds",
        "Table 9 of the MobileNets paper gives it 1700M mult-adds, and blogs repeat it. These are FLOPs. The "
        "authors' own page says 1.72 GFLOPs an image, which is twice the 861,339,936 multiply-adds of their "
        "Caffe file at 227 pixels, whose last convolution is padded. Without that padding it is 832,667,936: "
        "ShuffleNet's Table 6 prints 833M. So MobileNet 0.5 at 160 pixels needs 11 times less computation than "
        "SqueezeNet, not 22 times.",
        (
            "reproduce mobilenet_v1 --table 9",
            "reproduce squeezenet1_0 --table release",
        ),
    ),
    Erratum(
        "200K, 800K and 600K are the first version of the MobileNetV2 paper",
        "Table 3, on memory, is often quoted so. That version writes the maps of 112x112 off as O(1); the last "
        "version counts them and gives 400K, 1600K and 600K. Both are thousands of bytes at 16 bits of single "
        "tensors, not counts of values, and not what a usual runtime needs (docs/design/decisions/memory.md).",
        ("reproduce mobilenet_v2 --table 3",),
    ),
    Erratum(
        "The same table's ShuffleNet has two groups, and more in it is off",
        "Its column says 2x, g=3, but 400, 800 and 1600 channels are those of g=2; with three groups the largest "
        "is 753K. Its 32 channels at 112x112 are 48. MobileNetV1's 7x7 maps take 100K, not 199K. MobileNetV2's "
        "column lists from 56x56 down what the next stage makes, such as 32 channels where the net carries 24.",
        ("reproduce mobilenet_v2 --table 3",),
    ),
    Erratum(
        "MobileNetV2 1.4 has 6.1M parameters, not 6.9M",
        "Table 4 prints 6.9M and 585M. The definition gives 6,108,776 parameters and 582,195,824 multiply-adds, "
        "and TF-slim prints 6.06M (without norms) and 582M for the released net.",
        (
            "reproduce mobilenet_v2 --table 4",
            "cost mobilenet_v2 --width 1.4",
        ),
    ),
    Erratum(
        "TF-slim counts MobileNetV1 and V2 by different rules",
        "Its MobileNetV2 sizes leave batch norms out. Its MobileNetV1 sizes fit three values for each channel of "
        "a norm and 1001 classes: scale, shift, and one moving statistic. The rule is inferred from the figures.",
        (
            "reproduce mobilenet_v1 --table slim",
            "reproduce mobilenet_v2 --table slim",
        ),
    ),
    Erratum(
        "TF-slim's multiply-adds of MobileNet 0.75 are low",
        "It prints 317M, 233M, 162M and 104M; counted are 325.4M, 239.3M, 166.4M and 106.8M, and the paper prints "
        "325M. Its 34M for 0.25 at 192 pixels are counted 30.2M.",
        ("reproduce mobilenet_v1 --table slim",),
    ),
    Erratum(
        "The first convolution of MobileNet takes 1.91% of its computation, not 1.19%",
        "With the printed 1.19 the column of Table 2 sums to 99.29. Two digits are swapped.",
        ("reproduce mobilenet_v1 --table 2",),
    ),
    Erratum(
        "The last depthwise convolution of MobileNet has stride 1",
        "Table 1 prints s2 for it, although its input and its output are both 7x7.",
        ("reproduce mobilenet_v1 --table 1",),
    ),
    Erratum(
        "MobileNet 0.25 at 128 pixels on ImageNet has neither 15M multiply-adds nor 200k parameters",
        "A widely read summary says so. These are the figures of the face attribute net of Table 12, which has no "
        "layer for 1000 classes. The ImageNet net has 470,072 parameters and 13,570,048 multiply-adds.",
        (
            "reproduce mobilenet_v1 --table said",
            "cost mobilenet_v1_0.25_128",
        ),
    ),
    Erratum(
        "15M and 45M in Table 12 are too many",
        "The body of MobileNet 0.25 costs 13.3M at 128 pixels and 40.8M at 224. The paper does not describe the "
        "layer for the attributes.",
        ("reproduce mobilenet_v1 --table 12",),
    ),
    Erratum(
        "75 million or 7.5 million parameters",
        "Section 4.5 gives the face attribute baseline 75 million, Table 12 gives it 7.5 million.",
        (
            "reproduce mobilenet_v1 --table said",
            "reproduce mobilenet_v1 --table 12",
        ),
    ),
    Erratum(
        "PlaNet MobileNet does not run on 0.58 million multiply-adds",
        "Section 4.4 says million where it must be billion: the body alone has 567.7M, with the final layer's 10M "
        "it is 0.578 billion.",
        ("reproduce mobilenet_v1 --table said",),
    ),
    Erratum(
        "A label in Table 14 is wrong",
        "Two rows are called 0.75 MobileNet-128, with 166M and 108M. 166M is what 0.75 costs at 160 pixels.",
        ("reproduce mobilenet_v1 --table 14",),
    ),
    Erratum(
        "MobileNetV1 costs 569M multiply-adds, not 575M",
        "Table 4 of the MobileNetV2 paper prints 575M; its own paper prints 569M.",
        ("reproduce mobilenet_v2 --table 4",),
    ),
    Erratum(
        "SSDLite's 0.35B are FLOPs",
        "In Table 5 of the MobileNetV2 paper, SSD's 1.25B are multiply-adds of its prediction layers at 320 "
        "pixels, while SSDLite's 0.35B are twice their 174M multiply-adds. Table 6's 0.8B for the whole detector "
        "fit 174M, not 350M. So SSDLite saves 7.2 times, not 3.6 times.",
        (
            "reproduce mobilenet_v2 --table 5",
            "reproduce mobilenet_v2 --table 6",
        ),
    ),
    Erratum(
        "A depthwise separable layer in a blog has 140 parameters, not 95",
        "Five 3x3 filters on 10 channels have 450 weights. The separable layer has 90 in its depthwise 3x3 and 50 "
        "in its 1x1, together 140.",
        ("reproduce mobilenet_v1 --table said",),
    ),
    Erratum(
        "33% sparsity keeps a third",
        "In the SqueezeNet papers 33% of the weights are kept, 66% are zero. One README gives the 421,098 that "
        "are kept as the net's parameters; it has 1,248,424.",
        ("reproduce squeezenet1_0 --table 1",),
    ),
    Erratum(
        "SqueezeNet's 4.8 MB are MiB, and its 0.66 MB are a third unit",
        "1,248,424 float32 values are 4,993,696 bytes: 4.99 MB, or 4.76 MiB. The compressed file has 675,763 "
        "bytes: 659.9 KiB, called 660KB and 0.66MB.",
        (
            "reproduce squeezenet1_0 --table 2",
            "reproduce squeezenet1_0 --table 3",
        ),
    ),
    Erratum(
        "SqueezeNet with complex bypass has no 7.7 MB",
        "Four 1x1 convolutions beside fire2, fire4, fire6 and fire8 add 341,248 parameters; that makes 6.06 MiB. "
        "What else the authors counted is not known.",
        (
            "reproduce squeezenet1_0_complex_bypass --table 3",
            "cost squeezenet1_0_complex_bypass",
        ),
    ),
    Erratum(
        "SqueezeNet 1.1 costs 0.698 GFLOPs at 224 pixels, or 0.776 at 227",
        "The authors' page says 0.72. No size gives it.",
        (
            "reproduce squeezenet1_1 --table release",
            "cost squeezenet1_1 --resolution 224",
        ),
    ),
    Erratum(
        "ShuffleNet's tables count by different rules",
        "Table 1 leaves the classifier out: only so all five numbers of groups hold. Tables 2 and 4 print classes "
        "of complexity, 140, 38 and 13 million. Table 5's 524M and 292M count the classifier, and hold only with "
        "48 and with 24 channels in the first convolution: it is not scaled at 1.5x.",
        (
            "reproduce shufflenet_v1 --table 1",
            "reproduce shufflenet_v1 --table 2",
            "reproduce shufflenet_v1 --table 5",
        ),
    ),
    Erratum(
        "MobileNetV3 small has 56M multiply-adds and 2.5M parameters",
        "TF-slim and Keras still print 66M and 2.9M, the figures of the paper's first arXiv version.",
        (
            "reproduce mobilenet_v3_small --table slim",
            "reproduce mobilenet_v3_small --table keras",
        ),
    ),
    Erratum(
        "imgclsmob's FLOPs/2 are no multiply-adds",
        "They count norms as four operations a value, and activations, pools and shuffles too: MobileNet has "
        "579.80M there. Under that rule they hold.",
        ("reproduce mobilenet_v1 --table imgclsmob",),
    ),
    Erratum(
        "torchvision's GFLOPS are multiply-adds, timm's gmacs are a few more",
        "torchvision's 4.089 for ResNet50 is the count of multiply-adds. timm prints 4.11, since its counter "
        "takes a norm for two operations a value.",
        (
            "reproduce resnet50 --table torchvision",
            "reproduce resnet50 --table timm",
        ),
    ),
    Erratum(
        "There are two ResNet50",
        "The paper, Caffe and Keras stride in the first 1x1 convolution of a block, torchvision in its 3x3: 3.86 "
        "or 4.09 billion multiply-adds, with the same parameters.",
        (
            "cost resnet50_paper",
            "cost resnet50",
        ),
    ),
    Erratum(
        "Keras counts what is not learned",
        "Its totals include the moving mean and variance of norms: MobileNet has 4,253,864 there and learns "
        "4,231,976. Its ResNets have biases before their norms, its Inception v3 has norms without scale, its "
        "EfficientNet seven values for the input.",
        (
            "reproduce mobilenet_v1 --table keras",
            "reproduce efficientnet_b0 --table keras",
        ),
    ),
    Erratum(
        "There are two GoogLeNets, and no 6.8M",
        "The paper's, with 5x5 convolutions and biases, has 6,998,552 parameters and 1583M multiply-adds. "
        "TF-slim's and torchvision's has 3x3 in their place, and norms: 6,624,904 and 1498M. The 6.8M and 1550M "
        "that the MobileNets paper quotes are neither; nor is VGG16's 15.3 billion a count, which is 15.47.",
        (
            "reproduce mobilenet_v1 --table 8",
            "reproduce googlenet_bn --table torchvision",
        ),
    ),
    Erratum(
        "27,161,264 parameters of Inception v3 are not all used",
        "torchvision counts the auxiliary head, which only training needs; without it they are 23,834,568.",
        ("reproduce inception_v3 --table torchvision",),
    ),
    Erratum(
        "FLOPs of EffNet and MFLOPs of FD-MobileNet are not the same unit",
        "EffNet's paper counts two for a multiply-add (and up to 5% on top, by a rule that is not given). "
        "FD-MobileNet's 144, 40 and 12 MFLOPs are multiply-adds.",
        (
            "reproduce effnet --table cifar10",
            "reproduce fd_mobilenet --table widths",
        ),
    ),
)
