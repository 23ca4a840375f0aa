"""HDR to SDR, and wide color gamuts to that of BT.709."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

PQ, HLG = 16, 18  # transfer characteristics, as in H.273, Table 3
WHITE_NITS = 203.0  # HDR reference white, which becomes SDR white (ITU-R BT.2408)
_HLG_PEAK_NITS = 1000.0
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073  # ITU-R BT.2100, HLG
_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)  # of linear BT.2020
BT709_PRIMARIES, BT2020_PRIMARIES, P3_PRIMARIES = 1, 9, 12  # as in H.273, Table 2
_TO_BT709 = {  # linear RGB to linear BT.709
    BT709_PRIMARIES: np.eye(3, dtype=np.float32),
    BT2020_PRIMARIES: np.array(  # ITU-R BT.2087
        [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
    ),
    P3_PRIMARIES: np.array(  # Display P3, SMPTE EG 432-1
        [[1.2249, -0.2249, 0.0], [-0.0421, 1.0421, 0.0], [-0.0196, -0.0786, 1.0983]], np.float32
    ),
}
_STEPS = 4096  # of the tone curve's table


def to_sdr(
    rgb: NDArray[np.uint16], transfer: int, peak_nits: float = 1000.0, primaries: int = BT2020_PRIMARIES
) -> NDArray[np.uint8]:
    """(H, W, 3) uint16 RGB coded by `transfer` (PQ or HLG) to (H, W, 3) uint8 RGB in BT.709.

    Tone mapping is the EETF of ITU-R BT.2390, section 5.4.1, applied to max(R, G, B), which keeps the hue. `peak_nits`
    is the brightest value of the PQ content; HLG is shown at 1000. SDR is coded by the inverse of BT.1886 (gamma 2.4).
    Primaries other than those of BT.709 and P3 are taken for BT.2020.

    Measured: 58 ms of CPU time per frame at 1280x720 (HLG: 69 ms).
    """
    peak = _HLG_PEAK_NITS if transfer == HLG else max(peak_nits, WHITE_NITS)
    linear = _hlg_light(rgb) if transfer == HLG else _pq_light(peak)[rgb]  # (H, W, 3) in [0, 1], 1 is the peak
    brightest = linear.max(axis=2)  # (H, W)
    steps = (np.sqrt(np.sqrt(brightest)) * (_STEPS - 1)).astype(np.uint16)
    return _code(linear * _gains(peak)[steps][..., None], _TO_BT709.get(primaries, _TO_BT709[BT2020_PRIMARIES]))


def to_bt709(rgb: NDArray[np.uint8], primaries: int) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 SDR RGB in BT.2020 or P3 to the same in BT.709; what lies outside of it is clipped."""
    light = ((np.arange(256) / 255) ** 2.4).astype(np.float32)  # BT.1886
    return _code(light[rgb], _TO_BT709[primaries])


def _code(linear: NDArray[np.float32], matrix: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Linear RGB (H, W, 3), 1 is white, to gamma-coded BT.709."""
    coded = cv2.pow(np.clip(cv2.transform(linear, matrix), 0, 1), 1 / 2.4)
    return np.asarray(cv2.convertScaleAbs(coded, alpha=255), np.uint8)


@functools.cache
def _pq_light(peak: float) -> NDArray[np.float32]:
    """(65536,) light in [0, 1] of each 16-bit PQ code, 1 at `peak` nits."""
    nits = _pq_to_nits(np.linspace(0, 1, 1 << 16))
    return np.minimum(nits / peak, 1).astype(np.float32)


def _hlg_light(rgb: NDArray[np.uint16]) -> NDArray[np.float32]:
    """(H, W, 3) HLG codes to display light in [0, 1]: inverse OETF, then the OOTF with the gamma of 1000 nits."""
    scene = _hlg_scene()[rgb]
    luminance = cv2.transform(scene, _LUMINANCE)  # (H, W)
    return np.asarray(scene * cv2.pow(luminance, 0.2)[..., None], np.float32)


@functools.cache
def _hlg_scene() -> NDArray[np.float32]:
    """(65536,) scene light in [0, 1] of each 16-bit HLG code."""
    code = np.linspace(0, 1, 1 << 16)
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - _C) / _A) + _B) / 12).astype(np.float32)


@functools.cache
def _gains(peak: float) -> NDArray[np.float32]:
    """(4096,) the factor from light relative to `peak` to light relative to SDR white, by the light's fourth root."""
    light = np.linspace(0, 1, _STEPS) ** 4
    light[0] = light[1]  # the limit of the factor at 0
    mapped = np.asarray(_eetf(light * peak, peak))
    return (mapped / WHITE_NITS / light).astype(np.float32)


def _eetf(nits: NDArray[np.float64], peak: float) -> NDArray[np.float64]:
    """ITU-R BT.2390, section 5.4.1: a Hermite spline in PQ above the knee, so that `peak` comes to WHITE_NITS."""
    top = float(_nits_to_pq(np.array(peak)))
    code, white = _nits_to_pq(nits) / top, float(_nits_to_pq(np.array(WHITE_NITS))) / top
    knee = 1.5 * white - 0.5
    t = np.clip((code - knee) / max(1 - knee, 1e-6), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    return _pq_to_nits(np.where(code < knee, code, spline) * top)


def _pq_to_nits(code: NDArray[np.float64]) -> NDArray[np.float64]:
    power = code ** (1 / _M2)
    return np.asarray(10_000 * (np.maximum(power - _C1, 0) / (_C2 - _C3 * power)) ** (1 / _M1))


def _nits_to_pq(nits: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (nits / 10_000) ** _M1
    return np.asarray(((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2)
