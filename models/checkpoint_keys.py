"""Mapping of the key names of public checkpoints to those of this package."""

from __future__ import annotations

import re
from collections.abc import Callable

# Official AMC-Net names. `{3}` etc. in a flat Sequential are convolution, norm, PReLU, convolution, norm, PReLU, …
_AMCNET_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"conv(\d)_(RGB|Flow)\.(.+)", lambda m: f"{_stream(m[2])}_stages.{m[1]}.{m[3]}"),
    (r"atten_flow_channel_(\d)\.(.+)", lambda m: f"transfers.{m[1]}.channel.{m[2]}"),
    (r"atten_flow_spatial_(\d)\.conv1\.(.+)", lambda m: f"transfers.{m[1]}.spatial.conv.{m[2]}"),
    (r"attention_feature([012])\.3\.(.+)", lambda m: f"gates.{m[1]}.score.{m[2]}"),
    (r"attention_feature([34])\.6\.(.+)", lambda m: f"gates.{m[1]}.score.{m[2]}"),
    (r"attention_feature(\d)\.(\d)\.(.+)", lambda m: f"gates.{m[1]}.blocks.{_block(m[2])}.{m[3]}"),
    (r"gate_(RGB|Flow)(\d)\.(.+)", lambda m: f"{_stream(m[1])}_reductions.{m[2]}.{m[3]}"),
    (r"fuse(\d)_(RGB|Flow)\.(\d)\.(.+)", lambda m: f"corrections.{m[1]}.fuse_{_stream(m[2])}.{_block(m[3])}.{m[4]}"),
    (r"channel(\d)\.(.+)", lambda m: f"corrections.{m[1]}.channel.{m[2]}"),
    (r"spatial(\d)\.conv1\.(.+)", lambda m: f"corrections.{m[1]}.spatial.conv.{m[2]}"),
    (r"output5\.3\.(.+)", lambda m: f"head.{m[1]}"),
    (r"output(\d)\.(\d)\.(.+)", lambda m: f"outputs.{5 - int(m[1])}.{m[2]}.{m[3]}"),
)
# Layers of the published variant AMCNet_patch whose outputs are discarded there: the mask does not depend on them.
_AMCNET_UNUSED = ("rgb_dem0.", "flow_dem0.", "rgb_sa0.")

_NUMBERS = {"One": 1, "Two": 2, "Thr": 3, "Fou": 4, "Fiv": 5, "Six": 6}
_NUMBER = "(One|Two|Thr|Fou|Fiv|Six)"

_PWCNET_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    # NVlabs names. At level 6 the first two convolutions are called aa and a, at the others a and aa.
    (r"conv(\d)(aa?|b)\.0\.(.+)", lambda m: f"pyramid.{int(m[1]) - 1}.{_pyramid_index(m[1], m[2])}.0.{m[3]}"),
    (r"conv(\d)_(\d)\.0\.(.+)", lambda m: f"estimators.{6 - int(m[1])}.convs.{m[2]}.0.{m[3]}"),
    (r"predict_flow(\d)\.(.+)", lambda m: f"estimators.{6 - int(m[1])}.predict.{m[2]}"),
    (r"deconv(\d)\.(.+)", lambda m: f"estimators.{7 - int(m[1])}.upsample_flow.{m[2]}"),
    (r"upfeat(\d)\.(.+)", lambda m: f"estimators.{7 - int(m[1])}.upsample_features.{m[2]}"),
    (r"dc_conv(\d)\.(0\.)?(weight|bias)", lambda m: f"context.{int(m[1]) - 1}.{m[2] or ''}{m[3]}"),
    # sniklaus names.
    (rf"netExtractor\.net{_NUMBER}\.(\d)\.(.+)", lambda m: f"pyramid.{_NUMBERS[m[1]] - 1}.{int(m[2]) // 2}.0.{m[3]}"),
    (rf"net{_NUMBER}\.netUpflow\.(.+)", lambda m: f"estimators.{6 - _NUMBERS[m[1]]}.upsample_flow.{m[2]}"),
    (rf"net{_NUMBER}\.netUpfeat\.(.+)", lambda m: f"estimators.{6 - _NUMBERS[m[1]]}.upsample_features.{m[2]}"),
    (rf"net{_NUMBER}\.netSix\.0\.(.+)", lambda m: f"estimators.{6 - _NUMBERS[m[1]]}.predict.{m[2]}"),
    (
        rf"net{_NUMBER}\.net{_NUMBER}\.0\.(.+)",
        lambda m: f"estimators.{6 - _NUMBERS[m[1]]}.convs.{_NUMBERS[m[2]] - 1}.0.{m[3]}",
    ),
    (r"netRefiner\.netMain\.12\.(.+)", lambda m: f"context.6.{m[1]}"),
    (r"netRefiner\.netMain\.(\d+)\.(.+)", lambda m: f"context.{int(m[1]) // 2}.0.{m[2]}"),
)
_PWCNET_UNUSED = ("deconv2.",)

# Official RAFT names. A block's shortcut norm is also listed as its last norm, `norm3` or `norm4`: one module.
_RAFT_RULES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(f|c)net\.(conv|norm)1\.(.+)", lambda m: f"{_encoder(m[1])}.stem.{_conv_or_norm(m[2])}.{m[3]}"),
    (r"(f|c)net\.conv2\.(.+)", lambda m: f"{_encoder(m[1])}.output.{m[2]}"),
    (
        r"(f|c)net\.layer(\d)\.(\d)\.(conv|norm)(\d)\.(.+)",
        lambda m: f"{_raft_block(m)}.convs.{int(m[5]) - 1}.{_conv_or_norm(m[4])}.{m[6]}",
    ),
    (r"(f|c)net\.layer(\d)\.(\d)\.downsample\.(.+)", lambda m: f"{_raft_block(m)}.shortcut.{m[4]}"),
    (r"update_block\.encoder\.convc(\d)\.(.+)", lambda m: f"update.motion.correlation.{int(m[1]) - 1}.0.{m[2]}"),
    (r"update_block\.encoder\.convf(\d)\.(.+)", lambda m: f"update.motion.flow.{int(m[1]) - 1}.0.{m[2]}"),
    (r"update_block\.encoder\.conv\.(.+)", lambda m: f"update.motion.output.0.{m[1]}"),
    (r"update_block\.gru\.conv([zrq])(\d?)\.(.+)", lambda m: f"update.units.{int(m[2] or 1) - 1}.{m[1]}.{m[3]}"),
    (r"update_block\.flow_head\.conv(\d)\.(.+)", lambda m: f"update.flow_head.{2 * int(m[1]) - 2}.{m[2]}"),
    (r"update_block\.mask\.(.+)", lambda m: f"update.mask.{m[1]}"),
)
_RAFT_UNUSED = ("cnet.layer2.0.norm3.", "cnet.layer3.0.norm3.")


def _stream(name: str) -> str:
    return "image" if name == "RGB" else "flow"


def _block(index: str) -> str:
    return f"{int(index) // 3}.{int(index) % 3}"


def _pyramid_index(level: str, letter: str) -> int:
    order = ("aa", "a", "b") if level == "6" else ("a", "aa", "b")
    return order.index(letter)


def _encoder(letter: str) -> str:
    return "features" if letter == "f" else "context"


def _raft_block(match: re.Match[str]) -> str:
    return f"{_encoder(match[1])}.blocks.{2 * int(match[2]) - 2 + int(match[3])}"


def _conv_or_norm(name: str) -> int:
    return ("conv", "norm").index(name)


def amcnet_key(key: str) -> str | None:
    """Return this package's name of the official AMC-Net `key`, None for an unused tensor, other keys unchanged."""
    return _rename(key, _AMCNET_RULES, _AMCNET_UNUSED)


def pwcnet_key(key: str) -> str | None:
    """Return this package's name of a PWC-Net `key` of NVlabs or sniklaus, None if unused, other keys unchanged."""
    # The published sniklaus files have `moduleOne` where the current code has `netOne`.
    return _rename(re.sub(r"module(?=[A-Z])", "net", key), _PWCNET_RULES, _PWCNET_UNUSED)


def raft_key(key: str) -> str | None:
    """Return this package's name of an official RAFT `key`, None for the second name of a tensor, others unchanged."""
    return _rename(key, _RAFT_RULES, _RAFT_UNUSED)


def _rename(
    key: str, rules: tuple[tuple[str, Callable[[re.Match[str]], str]], ...], unused: tuple[str, ...]
) -> str | None:
    if key.startswith(unused):
        return None
    for pattern, name in rules:
        if match := re.fullmatch(pattern, key):
            return name(match)
    return key
