"""The cases of `race.py` in PyTorch, built from their descriptions: inputs bit by bit the same, layouts PyTorch's own."""

import importlib.util
import logging
import math
import os
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F

NAME = f"PyTorch {torch.__version__.split('+')[0]}"


# Where peers run, how volumes lie in memory, and whether functions are compiled first: see `use`.
DEVICE, LAYOUT, COMPILE = "cpu", torch.contiguous_format, False


def set_threads(n):
    torch.set_num_threads(n)


def use(device, layout, compiled):
    """Peers made from now on run on this device, keep volumes in this layout, and go through `torch.compile` or not."""
    global DEVICE, LAYOUT, COMPILE
    DEVICE, LAYOUT, COMPILE = device, layout, compiled


def compiled(function):
    return torch.compile(function) if COMPILE else function


def noise(dims, seed):
    """`inputs.rs`: numbers between -1/2 and 1/2."""
    z = np.arange(math.prod(dims), dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    z = (z ^ (z >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    z = (z ^ (z >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    z = (z ^ (z >> np.uint32(16))) >> np.uint32(8)
    return torch.from_numpy((z.astype(np.float32) / np.float32(1 << 24) - np.float32(0.5)).reshape(dims)).to(DEVICE)


def channels_first(t):
    return t.movedim(-1, 1).contiguous(memory_format=LAYOUT)


def channels_last(t):
    return t.movedim(1, -1).contiguous()


def gradient(y, inputs, grad):
    return torch.autograd.grad(y, inputs, grad, retain_graph=True)


def convolution(what, dtype):
    """Returns what is timed, and how its result is laid out here."""
    transposed = what["operation"] == "conv_transpose3d"
    x, w, g = (noise(what[name], seed).to(dtype) for name, seed in (("x", 1), ("w", 2), ("y", 3)))
    # [kd, kh, kw, in, out] to PyTorch's order.
    order, back = ((3, 4, 0, 1, 2), (2, 3, 4, 0, 1)) if transposed else ((4, 3, 0, 1, 2), (2, 3, 4, 1, 0))
    x, w, g = channels_first(x), w.permute(order).contiguous(memory_format=LAYOUT), channels_first(g)
    function = F.conv_transpose3d if transposed else F.conv3d
    forward = compiled(lambda: function(x, w, None, what["stride"], what["padding"]))
    if what["pass"] == "forward":
        return lambda: torch.no_grad()(forward)(), channels_last
    data = what["pass"] == "data gradient"
    wanted = (x if data else w).requires_grad_()
    y = forward()
    return lambda: gradient(y, wanted, g)[0], channels_last if data else lambda t: t.permute(back).contiguous()


def passes(what, x, function, grad):
    """What is timed of an operation on `x`; channels last again where it is a volume."""
    arrange = channels_last if x.ndim == 5 else lambda t: t
    function = compiled(function)
    if what["pass"] == "forward":
        return lambda: torch.no_grad()(function)(x), arrange
    x.requires_grad_()
    if what["pass"] == "gradient":
        y = function(x)
        return lambda: gradient(y, x, grad)[0], arrange
    return lambda: gradient(function(x), x, grad)[0], arrange


def pointwise(what, dtype):
    x, grad = (channels_first(noise(what[name], seed).to(dtype)) for name, seed in (("x", 1), ("y", 3)))
    functions = {
        "relu": F.relu,
        "dropout": lambda x: F.dropout(x, what["p"], True),
        "max_pool": lambda x: F.max_pool3d(x, 2),
        "softmax": lambda x: torch.softmax(x, 1),
        "trilinear": lambda x: F.interpolate(x, scale_factor=2, mode="trilinear"),
    }
    return passes(what, x, functions[what["operation"]], grad)


def norm(what, dtype):
    """Group norm alone, or with ReLU and dropout in the order of most networks or of WNet3D."""
    x, grad = (channels_first(noise(what[name], seed).to(dtype)) for name, seed in (("x", 1), ("y", 3)))
    gamma, beta = (noise([x.shape[1]], seed).to(dtype) for seed in (4, 5))
    alone = lambda x: F.group_norm(x, what["groups"], gamma, beta)
    rest = lambda x: F.dropout(F.relu(x), what["p"], True)
    orders = {"norm first": lambda x: rest(alone(x)), "norm last": lambda x: alone(rest(x)), "alone": alone}
    return passes(what, x, orders[what["order"]], grad)


def adam(what, dtype):
    """PyTorch's own fused step."""
    parameters = [noise([what["numbers"]], 1).requires_grad_() for _ in range(what["parameters"])]
    for p in parameters:
        p.grad = noise([what["numbers"]], 2)
    return torch.optim.Adam(parameters, fused=True).step, None


def window_attention(what, dtype):
    """`scaled_dot_product_attention` with the bias as its mask; queries, keys and values lie apart, as it likes them."""
    heads, dim, window = what["heads"], what["dim"], what["window"]
    n, tokens, _ = what["x"]
    table = noise(what["table"], 2).to(dtype)
    place = torch.stack(torch.meshgrid(*map(torch.arange, window), indexing="ij")).flatten(1)
    index = torch.zeros(place.shape[1], place.shape[1], dtype=torch.long)
    for axis, extent in zip(place, window):
        index = index * (2 * extent - 1) + (axis[:, None] - axis[None, :] + extent - 1)
    bias = table[index[:tokens, :tokens]].permute(2, 0, 1)[None].contiguous()
    apart = lambda t, parts: t.view(n, tokens, parts, heads, dim).permute(2, 0, 3, 1, 4).contiguous()
    q, k, v = apart(noise(what["x"], 1).to(dtype), 3)
    function = compiled(lambda: F.scaled_dot_product_attention(q, k, v, attn_mask=bias))
    if what["pass"] == "forward":
        return lambda: torch.no_grad()(function)(), lambda o: o.transpose(1, 2).contiguous()
    q, k, v = (t.requires_grad_() for t in (q, k, v))
    y, (grad,) = function(), apart(noise(what["y"], 3).to(dtype), 1)
    back = lambda grads: torch.stack(grads).permute(1, 3, 0, 2, 4).contiguous()
    return lambda: gradient(y, (q, k, v), grad), back


def cellseg3d_loss():
    """CellSeg3D's own class, its file unmodified: of the package it needs only a logger."""
    root = os.environ.get("CELLSEG3D")
    if root is None:
        return None
    package, utils = types.ModuleType("napari_cellseg3d"), types.ModuleType("napari_cellseg3d.utils")
    utils.LOGGER, utils.remap_image = logging.getLogger(), None
    sys.modules.setdefault("napari_cellseg3d", package)
    sys.modules.setdefault("napari_cellseg3d.utils", utils)
    path = os.path.join(root, "napari_cellseg3d/code_models/models/wnet/soft_Ncuts.py")
    spec = importlib.util.spec_from_file_location("soft_ncuts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SoftNCutsLoss


def soft_ncuts(what, dtype):
    loss_class = cellseg3d_loss()
    if loss_class is None:
        return None, None
    p = torch.softmax(4 * noise(what["probabilities"], 1), -1)
    image = noise(what["image"], 2) + 0.5
    p, image = channels_first(p), channels_first(image)
    loss = loss_class(what["image"][1:4], DEVICE, what["sigma_intensity"], what["sigma_space"], what["radius"])
    loss = compiled(loss)
    if what["pass"] == "forward":
        return lambda: torch.no_grad()(loss)(p, image), None
    p.requires_grad_()
    return lambda: torch.autograd.grad(loss(p, image), p)[0], None


class Block(torch.nn.Module):
    """Twice convolution, ReLU, dropout, group norm; `split` convolutions are one of 3^3 and one of 1^3 voxels."""

    def __init__(self, cin, cout, split, dropout, last=None):
        super().__init__()
        conv, layers = torch.nn.Conv3d, []
        for a in (cin, cout):
            layers += [conv(a, a, 3, padding=1), conv(a, cout, 1)] if split else [conv(a, cout, 3, padding=1)]
            layers += [torch.nn.ReLU(), torch.nn.Dropout(dropout), torch.nn.GroupNorm(4, cout)]
        if last is not None:
            layers.append(conv(cout, last, 1))
        self.module = torch.nn.Sequential(*layers)

    def forward(self, x):
        return self.module(x)


class UNet(torch.nn.Module):
    """One of the two U-Nets of WNet3D (Achard et al., eLife 2025), with the names of its state dict."""

    def __init__(self, cin, cout, w, dropout=0.65):
        super().__init__()
        up = lambda channels: torch.nn.ConvTranspose3d(2 * channels, channels, 2, 2)
        self.in_b = Block(cin, w, False, dropout)
        self.conv1, self.conv2, self.bot = (Block(w << i, w << i + 1, True, dropout) for i in range(3))
        self.conv_trans2, self.conv_trans3, self.conv_trans_out = up(4 * w), up(2 * w), up(w)
        self.deconv2, self.deconv3 = (Block(2 * c, c, True, dropout) for c in (4 * w, 2 * w))
        self.out_b = Block(2 * w, w, False, dropout, last=cout)

    def forward(self, x):
        levels = [self.in_b(x)]
        for down in (self.conv1, self.conv2, self.bot):
            levels.append(down(F.max_pool3d(levels[-1], 2)))
        x = levels.pop()
        joined = ((self.conv_trans2, self.deconv2), (self.conv_trans3, self.deconv3), (self.conv_trans_out, self.out_b))
        for up, block in joined:
            x = block(torch.cat([levels.pop(), up(x)], 1))
        return x


def wnet3d(what, dtype):
    torch.manual_seed(0)
    edge, width, batch = what["edge"], what["width"], what["batch"]
    place = lambda network: compiled(network.to(DEVICE, memory_format=LAYOUT))
    mixed = lambda: torch.autocast(DEVICE, dtype, enabled=dtype not in (torch.float32, torch.float64))
    if what["pass"] == "whole volume":
        return whole_volume(place(UNet(1, 2, width).eval()), edge, mixed), None
    if what["pass"] == "inference":
        network = place(UNet(1, 2, width).eval())
        x = channels_first(noise([1, edge, edge, edge, 1], 1))

        def infer():
            with torch.inference_mode(), mixed():
                return network(x)

        return infer, None
    loss_class = cellseg3d_loss()
    if loss_class is None:
        return None, None
    encoder, decoder = place(UNet(1, 2, width).train()), place(UNet(2, 1, width).train())
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-5, fused=DEVICE != "cpu")
    scaler = torch.amp.GradScaler(DEVICE, enabled=dtype == torch.float16)
    x = 100 * (channels_first(noise([batch, edge, edge, edge, 1], 1)) + 0.5)
    cuts, square = loss_class([edge] * 3, DEVICE, 1.0, 4.0, 2), torch.nn.MSELoss()

    def step():
        optimiser.zero_grad(set_to_none=True)
        with mixed():
            classes = torch.softmax(encoder(x), 1)
            painted = decoder(classes)
        loss = 0.5 * cuts(classes.float(), x) + 0.005 * square(painted.float(), x)
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()

    return step, None


def swin_unetr(what, dtype):
    """MONAI's, which computes attention at once where no gradient is asked for; no attention weights are dropped."""
    try:
        from monai.networks.nets import SwinUNETR
    except ImportError:
        return None, None
    torch.manual_seed(0)
    settings = {"feature_size": 48, "drop_rate": 0.5, "use_v2": True, "downsample": "mergingv2", "use_flash_attention": True}
    network = compiled(SwinUNETR(1, 1, **settings).to(DEVICE, memory_format=LAYOUT))
    mixed = lambda: torch.autocast(DEVICE, dtype, enabled=dtype not in (torch.float32, torch.float64))
    x = channels_first(noise([1, *[what["edge"]] * 3, 1], 1))
    if what["pass"] == "inference":
        network.eval()

        def infer():
            with torch.inference_mode(), mixed():
                return network(x)

        return infer, None
    network.train()

    def gradients():
        network.zero_grad(set_to_none=True)
        with mixed():
            logits = network(x)
        torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), torch.ones_like(logits)).backward()

    return gradients, None


def whole_volume(network, edge, mixed):
    """From host memory to probabilities in host memory, with the windows of the library's default; needs MONAI."""
    try:
        from monai.inferers import sliding_window_inference
    except ImportError:
        return None
    place = torch.arange(edge, dtype=torch.float32)
    x = ((place[:, None, None] * 7 + place[:, None] * 5 + place * 3) % 101)[None, None]

    def infer():
        with torch.inference_mode(), mixed():
            classes = lambda x: torch.softmax(network(x.contiguous(memory_format=LAYOUT)), 1).float()
            return sliding_window_inference(
                x, (64,) * 3, 8, classes, 0.25, mode="gaussian", sigma_scale=0.25, sw_device=DEVICE, device="cpu")

    return infer


BUILDERS = {
    "conv3d": convolution,
    "conv_transpose3d": convolution,
    "norm": norm,
    "relu": pointwise,
    "dropout": pointwise,
    "max_pool": pointwise,
    "softmax": pointwise,
    "trilinear": pointwise,
    "adam": adam,
    "window_attention": window_attention,
    "soft_ncuts": soft_ncuts,
    "wnet3d": wnet3d,
    "swin_unetr": swin_unetr,
}
# Whose results are a matter of chance, of how many numbers there are, or of another formula.
NOT_CHECKED = ("norm", "dropout", "adam", "soft_ncuts", "wnet3d", "swin_unetr")


def call(what, dtype=torch.float32):
    """What to time, or nothing where PyTorch has no such operation."""
    builder = BUILDERS.get(what["operation"])
    return builder(what, dtype)[0] if builder else None


def checks(what):
    """Whether results are numbers that both sides must agree on."""
    return what["operation"] not in NOT_CHECKED


def result(what, double=False):
    """The flattened result, in this library's layout."""
    run, arrange = BUILDERS[what["operation"]](what, torch.float64 if double else torch.float32)
    return arrange(run()).detach().cpu().numpy().ravel()
