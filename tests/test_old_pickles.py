"""Pickles written when the package had no folders: they name chainrule.layers and other modules that are gone."""

from __future__ import annotations

import base64
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from chainrule.sklearn import MLPClassifier

#: Written by `pickle.dumps(thing, 4)` on 29 November 2026, at commit 40ba0e1.
WRITTEN = {
    "two layers": """
        gASV2AIAAAAAAACMEWNoYWlucnVsZS5uZXR3b3JrlIwLVHdvTGF5ZXJOZXSUk5QpgZR9lCiMBmxheWVyc5SMC2NvbGxlY3Rpb25zlIwLT3Jk
        ZXJlZERpY3SUk5QpUpQojAdBZmZpbmUxlIwQY2hhaW5ydWxlLmxheWVyc5SMBkFmZmluZZSTlCmBlH2UKIwCX1eUjBZudW1weS5fY29yZS5t
        dWx0aWFycmF5lIwMX3JlY29uc3RydWN0lJOUjAVudW1weZSMB25kYXJyYXmUk5RLAIWUQwFilIeUUpQoSwFLAUsChpRoFIwFZHR5cGWUk5SM
        AmY4lImIh5RSlChLA4wBPJROTk5K/////0r/////SwB0lGKJQxClOCP4gZlUP4C1LyvhpFW/lHSUYowCX2KUaBNoFksAhZRoGIeUUpQoSwFL
        AoWUaCCJQxAAAAAAAAAAAAAAAAAAAAAAlHSUYowBeJROjBBvcmlnaW5hbF94X3NoYXBllE6MAmRXlE6MAmRilE6MCF9zY3JhdGNolIwSY2hh
        aW5ydWxlLl9rZXJuZWxzlIwHU2NyYXRjaJSTlClSlHVijAVSZWx1MZRoC4wEUmVsdZSTlCmBlH2UjARtYXNrlE5zYowHQWZmaW5lMpRoDSmB
        lH2UKGgQaBNoFksAhZRoGIeUUpQoSwFLAksChpRoIIlDIOiPSHZRO3o/Cn5pbtQvUT+qdUWG5vB1v2QrRqsyn20/lHSUYmglaBNoFksAhZRo
        GIeUUpQoSwFLAoWUaCCJQxAAAAAAAAAAAAAAAAAAAAAAlHSUYmgsTmgtTmguTmgvTmgwaDMpUpR1YnWMCWxhc3RMYXllcpRoC4wPU29mdG1h
        eFdpdGhMb3NzlJOUKYGUfZQojARsb3NzlE6MAXmUTowBdJROjANfZHiUTnVijAhtZXRhZGF0YZR9lIwHX3BhcmFtc5RoAIwKUGFyYW1ldGVy
        c5STlCmBlHViLg==
    """,
    "every layer": """
        gASVHQMAAAAAAACMEWNoYWlucnVsZS5uZXR3b3JrlIwHTmV0d29ya5STlCmBlH2UKIwGbGF5ZXJzlIwLY29sbGVjdGlvbnOUjAtPcmRlcmVk
        RGljdJSTlClSlCiMB0FmZmluZTGUjBBjaGFpbnJ1bGUubGF5ZXJzlIwGQWZmaW5llJOUKYGUfZQojAJfV5SMFm51bXB5Ll9jb3JlLm11bHRp
        YXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsBSwKGlGgUjAVkdHlwZZSTlIwCZjiU
        iYiHlFKUKEsDjAE8lE5OTkr/////Sv////9LAHSUYolDEAAAAAAAAABAAAAAAAAA8L+UdJRijAJfYpRoE2gWSwCFlGgYh5RSlChLAUsChZRo
        IIlDEAAAAAAAAOA/AAAAAAAA0D+UdJRijAF4lE6MEG9yaWdpbmFsX3hfc2hhcGWUTowCZFeUTowCZGKUTowIX3NjcmF0Y2iUjBJjaGFpbnJ1
        bGUuX2tlcm5lbHOUjAdTY3JhdGNolJOUKVKUdWKMBVJlbHUxlGgLjARSZWx1lJOUKYGUfZSMBG1hc2uUTnNijApMZWFreVJlbHUxlGgLjAlM
        ZWFreVJlbHWUk5QpgZR9lCiMBXNsb3BllEc/uZmZmZmZmmg6TnVijAhTaWdtb2lkMZRoC4wHU2lnbW9pZJSTlCmBlH2UjANvdXSUTnNijAVU
        YW5oMZRoC4wEVGFuaJSTlCmBlH2UaEZOc2KMCUlkZW50aXR5MZRoC4wISWRlbnRpdHmUk5QpgZR9lIwGX3NoYXBllE5zYowKUmVzY2FsaW5n
        MZRoC4wJUmVzY2FsaW5nlJOUKYGUfZQojAVzY2FsZZRHP+AAAAAAAABoUU51YnWMCWxhc3RMYXllcpRoC4wPU29mdG1heFdpdGhMb3NzlJOU
        KYGUfZQojARsb3NzlE6MAXmUTowBdJROjANfZHiUTnVijAhtZXRhZGF0YZR9lIwHX3BhcmFtc5RoAIwKUGFyYW1ldGVyc5STlCmBlHViLg==
    """,
    "a loss": """
        gASViAEAAAAAAACMEGNoYWlucnVsZS5sYXllcnOUjA9Tb2Z0bWF4V2l0aExvc3OUk5QpgZR9lCiMBGxvc3OURz/lyiI3z9MBjAF5lIwWbnVt
        cHkuX2NvcmUubXVsdGlhcnJheZSMDF9yZWNvbnN0cnVjdJSTlIwFbnVtcHmUjAduZGFycmF5lJOUSwCFlEMBYpSHlFKUKEsBSwJLAoaUaAqM
        BWR0eXBllJOUjAJmOJSJiIeUUpQoSwOMATyUTk5OSv////9K/////0sAdJRiiUMghrpUFFY20T+9otX11GTnP0ZUkDw0SKg/vfo2vHx77j+U
        dJRijAF0lGgJaAxLAIWUaA6HlFKUKEsBSwKFlGgTjAJpOJSJiIeUUpQoSwNoF05OTkr/////Sv////9LAHSUYolDEAAAAAAAAAAAAQAAAAAA
        AACUdJRijANfZHiUaAloDEsAhZRoDoeUUpQoSwFLAksChpRoFolDIL2i1fXUZNe/vaLV9dRk1z9GVJA8NEiYPzBUkDw0SJi/lHSUYnViLg==
    """,
    "parameters": """
        gASVvAAAAAAAAACMEWNoYWlucnVsZS5uZXR3b3JrlIwKUGFyYW1ldGVyc5STlCmBlIwBV5SMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxf
        cmVjb25zdHJ1Y3SUk5SMBW51bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsBhZRoCIwFZHR5cGWUk5SMAmY4lImIh5RSlChLA4wB
        PJROTk5K/////0r/////SwB0lGKJQwgAAAAAAADwP5R0lGJzLg==
    """,
    "optimizers": """
        gASVKwMAAAAAAABdlCiMFGNoYWlucnVsZS5vcHRpbWl6ZXJzlIwDU0dElJOUKYGUfZQojAJscpRHP7mZmZmZmZqMDHdlaWdodF9kZWNheZRH
        AAAAAAAAAACMBGl0ZXKUSwGMBGtlcHSUfZSMAVeUKXN1YmgBjAhNb21lbnR1bZSTlCmBlH2UKGgGRz+5mZmZmZmaaAdHAAAAAAAAAABoCEsB
        aAl9lGgLjBZudW1weS5fY29yZS5tdWx0aWFycmF5lIwMX3JlY29uc3RydWN0lJOUjAVudW1weZSMB25kYXJyYXmUk5RLAIWUQwFilIeUUpQo
        SwFLAYWUaBSMBWR0eXBllJOUjAJmOJSJiIeUUpQoSwOMATyUTk5OSv////9K/////0sAdJRiiUMImpmZmZmZub+UdJRihZRzjAhtb21lbnR1
        bZRHP+zMzMzMzM11YmgBjAhOZXN0ZXJvdpSTlCmBlH2UKGgGRz+5mZmZmZmaaAdHAAAAAAAAAABoCEsBaAl9lGgLaBNoFksAhZRoGIeUUpQo
        SwFLAYWUaCCJQwiamZmZmZm5v5R0lGKFlHNoJkc/7MzMzMzMzXViaAGMB0FkYUdyYWSUk5QpgZR9lChoBkc/uZmZmZmZmmgHRwAAAAAAAAAA
        aAhLAWgJfZRoC2gTaBZLAIWUaBiHlFKUKEsBSwGFlGggiUMIAAAAAAAA8D+UdJRihZRzdWJoAYwHUk1TcHJvcJSTlCmBlH2UKGgGRz+5mZmZ
        mZmaaAdHAAAAAAAAAABoCEsBaAl9lGgLaBNoFksAhZRoGIeUUpQoSwFLAYWUaCCJQwiAFK5H4XqEP5R0lGKFlHOMCmRlY2F5X3JhdGWURz/v
        rhR64UeudWJoAYwEQWRhbZSTlCmBlH2UKGgGRz+5mZmZmZmaaAdHAAAAAAAAAABoCEsBaAl9lGgLaBNoFksAhZRoGIeUUpQoSwFLAYWUaCCJ
        QwiYmZmZmZm5P5R0lGJoE2gWSwCFlGgYh5RSlChLAUsBhZRoIIlDCACq8dJNYlA/lHSUYoaUc4wFYmV0YTGURz/szMzMzMzNjAViZXRhMpRH
        P+/3ztkWhyt1YmUu
    """,
    "a run": """
        gASVgwEAAAAAAACME2NoYWlucnVsZS5jYWxsYmFja3OUjANSdW6Uk5QpgZR9lCiMA25ldJROjAlvcHRpbWl6ZXKUjBRjaGFpbnJ1bGUub3B0
        aW1pemVyc5SMA1NHRJSTlCmBlH2UKIwCbHKURz+EeuFHrhR7jAx3ZWlnaHRfZGVjYXmURwAAAAAAAAAAjARpdGVylEsAjARrZXB0lH2UdWKM
        BHNldHOUfZSMB2hpc3RvcnmUjBFjaGFpbnJ1bGUuaGlzdG9yeZSMB0hpc3RvcnmUk5QpgZR9lCiMBmxvc3Nlc5RdlEc/5i5KDme/fmGMBXN0
        ZXBzlF2USwFhjAp0cmFpbl9sb3NzlF2URz/mLkhsFAwXYYwOdHJhaW5fYWNjdXJhY3mUXZRHP+AAAAAAAABhjAl0ZXN0X2xvc3OUXZSMDXRl
        c3RfYWNjdXJhY3mUXZSMD3ZhbGlkYXRpb25fbG9zc5RdlIwTdmFsaWRhdGlvbl9hY2N1cmFjeZRdlHVijAdzdG9wcGVklIl1Yi4=
    """,
    "stopping": """
        gASVFgIAAAAAAACME2NoYWlucnVsZS5jYWxsYmFja3OUjA1FYXJseVN0b3BwaW5nlJOUKYGUfZQojAhwYXRpZW5jZZRLAYwHbW9uaXRvcpSM
        CnRyYWluX2xvc3OUjAltaW5fZGVsdGGURwAAAAAAAAAAjARiZXN0lEc/5i5IbBQMF4wKYmVzdF9lcG9jaJRLAYwGd2FpdGVklEsAjAdfcGFy
        YW1zlH2UKIwCVzGUjBZudW1weS5fY29yZS5tdWx0aWFycmF5lIwMX3JlY29uc3RydWN0lJOUjAVudW1weZSMB25kYXJyYXmUk5RLAIWUQwFi
        lIeUUpQoSwFLAUsChpRoEowFZHR5cGWUk5SMAmY4lImIh5RSlChLA4wBPJROTk5K/////0r/////SwB0lGKJQxAhLa2oajZQP4C1LyvhpFW/
        lHSUYowCYjGUaBFoFEsAhZRoFoeUUpQoSwFLAoWUaB6JQxAAABDEHvkevgAAAAAAAAAAlHSUYowCVzKUaBFoFEsAhZRoFoeUUpQoSwFLAksC
        hpRoHolDIA4ZEPRl+Xk/cllLd4I3Uj+qdUWG5vB1v2QrRqsyn20/lHSUYowCYjKUaBFoFEsAhZRoFoeUUpQoSwFLAoWUaB6JQxAAAGhouJeW
        vmdmZmi4l5Y+lHSUYnWMB19zaGFwZXOUfZQoaA5LAUsChpRoI0sChZRoKksCSwKGlGgxSwKFlHV1Yi4=
    """,
    "functions": """
        gASVVAAAAAAAAABdlCiME2NoYWlucnVsZS5mdW5jdGlvbnOUjAdzaWdtb2lklJOUjBNjaGFpbnJ1bGUuZ3JhZGllbnRzlIwSbnVtZXJpY2Fs
        X2dyYWRpZW50lJOUZS4=
    """,
}

#: Of a classifier for scikit-learn, at commit fa28494, when chainrule.sklearn was one file.
CLASSIFIER = """
    gASVnwgAAAAAAACMEWNoYWlucnVsZS5za2xlYXJulIwNTUxQQ2xhc3NpZmllcpSTlCmBlH2UKIwSaGlkZGVuX2xheWVyX3NpemVzlCmMCmFjdGl2
    YXRpb26UjAhpZGVudGl0eZSMBnNvbHZlcpSMA3NnZJSMBWFscGhhlEc/Gjbi6xxDLYwKYmF0Y2hfc2l6ZZSMBGF1dG+UjA1sZWFybmluZ19yYXRl
    lIwIY29uc3RhbnSUjBJsZWFybmluZ19yYXRlX2luaXSURz+5mZmZmZmajAdwb3dlcl90lEc/4AAAAAAAAIwIbWF4X2l0ZXKUSwOMDHJhbmRvbV9z
    dGF0ZZRLAIwDdG9slEc/Gjbi6xxDLYwHdmVyYm9zZZSJjAp3YXJtX3N0YXJ0lImMCG1vbWVudHVtlEc/7MzMzMzMzYwSbmVzdGVyb3ZzX21vbWVu
    dHVtlIiMDmVhcmx5X3N0b3BwaW5nlImME3ZhbGlkYXRpb25fZnJhY3Rpb26URz+5mZmZmZmajAZiZXRhXzGURz/szMzMzMzNjAZiZXRhXzKURz/v
    987ZFocrjBBuX2l0ZXJfbm9fY2hhbmdllEsKjA5uX2ZlYXR1cmVzX2luX5RLAowIX2VuY29kZXKUjBxza2xlYXJuLnByZXByb2Nlc3NpbmcuX2xh
    YmVslIwMTGFiZWxFbmNvZGVylJOUKYGUfZQojAhjbGFzc2VzX5SMFm51bXB5Ll9jb3JlLm11bHRpYXJyYXmUjAxfcmVjb25zdHJ1Y3SUk5SMBW51
    bXB5lIwHbmRhcnJheZSTlEsAhZRDAWKUh5RSlChLAUsChZRoKIwFZHR5cGWUk5SMAlUxlImIh5RSlChLA4wBPJROTk5LBEsESwh0lGKJQwhhAAAA
    YgAAAJR0lGKMEF9za2xlYXJuX3ZlcnNpb26UjAUxLjkuMZR1YmgkaC6MBV9tYWRllGgHSwJLAoaUhpSMCG5ldHdvcmtflIwUY2hhaW5ydWxlLm5u
    Lm5ldHdvcmuUjAdOZXR3b3JrlJOUKYGUfZQojAZsYXllcnOUjAtjb2xsZWN0aW9uc5SMC09yZGVyZWREaWN0lJOUKVKUjAdBZmZpbmUxlIwaY2hh
    aW5ydWxlLm5uLmxheWVycy5hZmZpbmWUjAZBZmZpbmWUk5QpgZR9lCiMAl9XlGgnaCpLAIWUaCyHlFKUKEsBSwJLAoaUaDGMAmY4lImIh5RSlChL
    A2g1Tk5OSv////9K/////0sAdJRiiUMgJJGFdw6fsj9a8bUOjV3iP9pJHBKMZeE/naqF/5dLx7+UdJRijAJfYpRoJ2gqSwCFlGgsh5RSlChLAUsC
    hZRoVolDEBRKJmRa/bG/wvM9+wLNzj+UdJRijAF4lE6MEG9yaWdpbmFsX3hfc2hhcGWUTowCZFeUTowCZGKUTowIX3NjcmF0Y2iUjBJjaGFpbnJ1
    bGUuX2tlcm5lbHOUjAdTY3JhdGNolJOUKVKUdWJzjAlsYXN0TGF5ZXKUjBNjaGFpbnJ1bGUubm4ubG9zc2VzlIwPU29mdG1heFdpdGhMb3NzlJOU
    KYGUfZQojARsb3NzlE6MAXmUTowBdJROjANfZHiUTnVijAhtZXRhZGF0YZR9lIwHX3BhcmFtc5SMHWNoYWlucnVsZS5ubi5wYXJhbWV0ZXJzLm5h
    bWVklIwKUGFyYW1ldGVyc5STlCmBlCiMAlcxlGhSjAJiMZRoXXV1YowJbl9sYXllcnNflEsCjApuX291dHB1dHNflEsCjA9vdXRfYWN0aXZhdGlv
    bl+UjAdzb2Z0bWF4lIwLbG9zc19jdXJ2ZV+UXZQoRz/kqLBvR2JtRz/iRhQ2/3Y1Rz/fygUFbawxZYwSdmFsaWRhdGlvbl9zY29yZXNflE6MCF9i
    YXRjaGVzlIwUbnVtcHkucmFuZG9tLl9waWNrbGWUjBBfX2dlbmVyYXRvcl9jdG9ylJOUaIWMFF9fYml0X2dlbmVyYXRvcl9jdG9ylJOUjBNudW1w
    eS5yYW5kb20uX3BjZzY0lIwFUENHNjSUk5SFlFKUfZQojA1iaXRfZ2VuZXJhdG9ylIwFUENHNjSUjAVzdGF0ZZR9lChokooRmKeoSdOJln+gEJ1J
    MtVwrwCMA2luY5SKEZmFnL5+bPGftGYyVBZ6dowAdYwKaGFzX3VpbnQzMpRLAYwIdWludGVnZXKUigW2BiCcAHWMGm51bXB5LnJhbmRvbS5iaXRf
    Z2VuZXJhdG9ylIwbX19weXhfdW5waWNrbGVfU2VlZFNlcXVlbmNllJOUaJeMDFNlZWRTZXF1ZW5jZZSTlEoiouoDToeUUpQoSiS3BXBLAGgnaCpL
    AIWUaCyHlFKUKEsBSwSFlGgxjAJ1NJSJiIeUUpQoSwNoNU5OTkr/////Sv////9LAHSUYolDECZAiw9ZQZQuFx4JOUJgu6mUdJRiSwQpdJRihpRi
    hZRSlIwFX3J1bGWUjB1jaGFpbnJ1bGUudHJhaW5pbmcub3B0aW1pemVyc5SMCE5lc3Rlcm92lJOUKYGUfZQojAJscpRHP7mZmZmZmZqMDHdlaWdo
    dF9kZWNheZRHPvo24uscQy2MBGl0ZXKUSwOMBGtlcHSUfZQoaHtoJ2gqSwCFlGgsh5RSlChLAUsCSwKGlGhWiUMgESeK34DXk79UL3PbWtaTPzcD
    801jvLc/qGCUaYy8t7+UdJRihZRofGgnaCpLAIWUaCyHlFKUKEsBSwKFlGhWiUMQCPfZFgMYoj8I99kWAxiiv5R0lGKFlHVoFkc/7MzMzMzMzXVi
    jAVfYmVzdJRHv9/KBQVtrDGMBl9zdGFsZZRLAIwFX3NlZW6USwCMB25faXRlcl+USwOMBWxvc3NflEc/38oFBW2sMYwKYmVzdF9sb3NzX5RHP9/K
    BQVtrDGMFmJlc3RfdmFsaWRhdGlvbl9zY29yZV+UTnViLg==
"""


def read(name: str) -> Any:
    return pickle.loads(base64.b64decode(WRITTEN[name]))


def test_the_tutorials_network_goes_on() -> None:
    net, same = read("two layers"), chainrule.TwoLayerNet(1, 2, 2, seed=0)
    x, t = np.array([[1.0], [3.0]]), [0, 1]
    assert type(net) is chainrule.TwoLayerNet
    assert all(np.array_equal(net.params[name], same.params[name]) for name in same.params)
    assert net.layers["Affine1"].W is net.params["W1"]
    assert chainrule.fit(net, x, t, epochs=2, batch_size=2, seed=0) == chainrule.fit(
        same, x, t, epochs=2, batch_size=2, seed=0
    )


def test_a_network_of_every_layer_gives_its_scores() -> None:
    net = read("every layer")
    assert [type(layer).__name__ for layer in net.layers.values()] == [name[:-1] for name in net.layers]
    assert all(type(layer) is getattr(chainrule, type(layer).__name__) for layer in net.layers.values())
    scores = np.maximum(np.array([[1.0], [3.0]]) @ [[2.0, -1.0]] + [0.5, 0.25], 0)
    np.testing.assert_allclose(net.predict([[1.0], [3.0]]), 0.5 * np.tanh(1 / (1 + np.exp(-scores))), rtol=1e-14)


def test_a_loss_still_knows_what_it_goes_back_through() -> None:
    loss = read("a loss")
    assert type(loss) is chainrule.SoftmaxWithLoss
    y = np.exp([[1.0, 2.0], [3.0, 6.0]])
    np.testing.assert_allclose(loss.backward(), (y / y.sum(axis=1, keepdims=True) - np.eye(2)) / 2, rtol=1e-14)


def test_parameters_still_fill_the_array_they_hold() -> None:
    params = read("parameters")
    assert type(params) is chainrule.Parameters
    held = params["W"]
    params["W"] = [2.0]
    assert held.tolist() == [2.0]


def test_optimizers_make_the_step_they_would_have_made() -> None:
    optimizers = read("optimizers")
    assert [type(optimizer) for optimizer in optimizers] == [SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam]
    for optimizer in optimizers:
        twin, got, wanted = type(optimizer)(0.1), {"W": np.ones(1)}, {"W": np.ones(1)}
        twin.update({"W": np.ones(1)}, {"W": np.ones(1)})
        optimizer.update(got, {"W": np.array([3.0])})
        twin.update(wanted, {"W": np.array([3.0])})
        assert got == wanted


def test_what_a_run_did_is_told() -> None:
    run = read("a run")
    assert type(run) is chainrule.Run
    assert type(run.history) is chainrule.History
    assert (run.step, run.epoch, run.history.train_accuracy) == (1, 1, [0.5])


def test_early_stopping_keeps_what_it_saw() -> None:
    stopping = read("stopping")
    assert type(stopping) is chainrule.EarlyStopping
    assert (stopping.monitor, stopping.patience, stopping.best_epoch) == ("train_loss", 1, 1)


def test_functions_are_found_by_name() -> None:
    assert read("functions") == [chainrule.sigmoid, chainrule.numerical_gradient]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_classifier_for_scikit_learn_goes_on() -> None:
    x, y = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [1.0, 2.0]], ["a", "b", "b", "a"]
    model = pickle.loads(base64.b64decode(CLASSIFIER))
    assert type(model) is MLPClassifier
    W, b = (array.copy() for array in (*model.coefs_, *model.intercepts_))  # two classes had two outputs then

    def probabilities() -> Any:
        e = np.exp(x @ W + b)
        return e / e.sum(axis=1, keepdims=True)

    np.testing.assert_allclose(model.predict_proba(x), probabilities(), rtol=1e-12)
    assert (model.shuffle, model.max_fun, model.t_) == (True, 15000, 0)
    velocities = [array.copy() for (array,) in model._rule.kept.values()]
    model.partial_fit(x, y)
    error = (probabilities() - np.eye(2)[[0, 1, 1, 0]]) / 4
    for p, v, g in zip((W, b), velocities, (np.transpose(x) @ error + 1e-4 / 4 * W, error.sum(axis=0)), strict=True):
        p += 0.9 * (0.9 * v - 0.1 * g) - 0.1 * g  # a step of Nesterov's momentum
    np.testing.assert_allclose(model.predict_proba(x), probabilities(), rtol=1e-12)
    assert (model.predict([[2.0, 1.0]]).tolist(), len(model.loss_curve_), model.t_) == (["b"], 4, 4)


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_read_where_nothing_has_been_imported(name: str) -> None:
    code = f"import base64, pickle; pickle.loads(base64.b64decode({WRITTEN[name]!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_written_now_names_no_module_that_is_gone() -> None:
    gone = b"chainrule." + b"layers", b"chainrule." + b"network", b"chainrule." + b"optimizers"
    written = pickle.dumps([read(name) for name in WRITTEN], 4)
    assert [name for name in gone if name in written] == []
