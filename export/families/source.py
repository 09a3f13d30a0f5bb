"""A model's files, on disk or on the hub, in diffusers' layout: configuration and safetensors weights, nothing else.

Takes what a user names and returns the configuration and the loaded network. Pickles are never read: loading one runs its code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import nn

from .errors import FamilyError

CONFIG: Final = "config.json"
CLASS: Final = "_class_name"

PICKLES: Final = (".bin", ".ckpt", ".pt", ".pth", ".pkl")
"""Suffixes of checkpoints that only pickle reads."""

HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Source:
    """Where a model lies. `name`: a folder, or a hub id such as "stabilityai/sd-vae-ft-mse"; the rest as diffusers' `from_pretrained`."""

    name: str
    subfolder: str | None = None
    revision: str | None = None
    variant: str | None = None
    local_files_only: bool = False

    def __str__(self) -> str:
        return self.name if self.subfolder is None else f"{self.name} (subfolder {self.subfolder})"

    @property
    def folder(self) -> Path | None:
        """The model's folder on disk; None where the hub is meant."""
        path = Path(self.name)
        return path / (self.subfolder or "") if path.exists() else None

    def config(self) -> dict[str, Any]:
        """The model's configuration. Raises FamilyError."""
        folder = self.folder
        if folder is None:
            path = self._fetched(CONFIG)
        else:
            self._refuse_files_of_other_kinds(folder)
            path = folder / CONFIG
        try:
            config = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise FamilyError(f"{self}: its {CONFIG} cannot be read: {error}") from error
        if not isinstance(config, dict) or not isinstance(config.get(CLASS), str):
            raise FamilyError(f"{self}: its {CONFIG} does not say which network it is ('{CLASS}'): not a model in diffusers' layout")
        return config

    def load(self, kind: Any) -> nn.Module:
        """The network of diffusers' class `kind` with its weights, in float32, for inference. Raises FamilyError."""
        from safetensors import SafetensorError

        try:
            model = kind.from_pretrained(
                self.name,
                subfolder=self.subfolder,
                revision=self.revision,
                variant=self.variant,
                local_files_only=self.local_files_only,
                use_safetensors=True,
                low_cpu_mem_usage=False,
            )
        except OSError as error:
            wanted = "safetensors weights" + ("" if self.variant is None else f" of the variant '{self.variant}'")
            raise FamilyError(f"{self}: no {wanted} to be had there: {_line(error)}") from error
        except (SafetensorError, RuntimeError, ValueError, TypeError) as error:
            raise FamilyError(f"{self}: its weights do not fit its {CONFIG}: {_line(error)}") from error
        module: nn.Module = model.float().eval().requires_grad_(False)
        return module

    def _refuse_files_of_other_kinds(self, folder: Path) -> None:
        path = Path(self.name)
        if path.is_file():
            raise FamilyError(
                f"{path}: a single checkpoint file; give a folder in diffusers' layout ({CONFIG} and safetensors weights), "
                "to which diffusers' from_single_file and save_pretrained convert it"
            )
        if not folder.is_dir():
            raise FamilyError(f"{path}: has no subfolder '{self.subfolder}'; it has {_listed(path)}")
        files = [file.name for file in folder.iterdir() if file.is_file()]
        weights = [name for name in files if name.endswith((".safetensors", ".safetensors.index.json"))]
        pickles = sorted(name for name in files if name.endswith(PICKLES))
        if pickles and not weights:
            raise FamilyError(
                f"{folder}: its weights ({pickles[0]}) are a pickle, which can run code when it is loaded and is never read here: "
                "convert it to safetensors (diffusers: save_pretrained)"
            )
        if CONFIG not in files:
            inside = sorted(child.name for child in folder.iterdir() if (child / CONFIG).is_file())
            hint = f"; name one of its parts: --subfolder {' or '.join(inside)}" if inside else ""
            raise FamilyError(f"{folder}: has no {CONFIG}, so it is not a model in diffusers' layout{hint}")

    def _fetched(self, file: str) -> Path:
        """A file of the hub's, from its cache where it is there."""
        from huggingface_hub import errors, hf_hub_download

        if not HUB_ID.fullmatch(self.name):
            raise FamilyError(f"{self.name}: there is no such folder, and it is not a hub id such as stabilityai/sd-vae-ft-mse either")
        try:
            return Path(
                hf_hub_download(self.name, file, subfolder=self.subfolder, revision=self.revision, local_files_only=self.local_files_only)
            )
        except errors.LocalEntryNotFoundError as error:
            raise FamilyError(
                f"{self}: there is no such folder, it is not in the hub's cache, and the hub is out of reach or not to be asked "
                "(local files only, HF_HUB_OFFLINE): download it where there is a network, or name a local folder"
            ) from error
        except errors.RevisionNotFoundError as error:
            raise FamilyError(f"{self}: the hub has no revision '{self.revision}' of it") from error
        except errors.RepositoryNotFoundError as error:
            raise FamilyError(f"{self}: there is no such folder, and the hub has no such model (or not for you)") from error
        except errors.EntryNotFoundError as error:
            where = "" if self.subfolder is None else f" in the subfolder '{self.subfolder}'"
            raise FamilyError(f"{self}: the hub's model has no {file}{where}; parts of a pipeline want --subfolder vae") from error
        except (errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
            raise FamilyError(f"{self}: the hub cannot be asked: {_line(error)}") from error


def _line(error: BaseException) -> str:
    """The first line of an error's text that says something."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _listed(folder: Path) -> str:
    return ", ".join(sorted(child.name for child in folder.iterdir() if child.is_dir())) or "none at all"
